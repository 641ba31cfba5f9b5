//! Two hundred clients of four users over eight connections, while servers die, connections are killed and clients vanish:
//! each answer is the client's own, an error, or a close.
//!
//! Every choice comes from a seed, which a failure prints; `POOLED_RUN_SEED` repeats them, `POOLED_RUN_SECONDS` makes the
//! run longer. Which choices meet is up to the scheduler.

mod pooled_client;
mod scripted;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use progress::Progress;
use testkit::{Client, Connection, MariaDb, Mysql97, ProxyProcess, Random, Server, wait};

use pooled_client::{Expected, PooledClient, Trouble, USERS};
use scripted::ScriptFile;

const CLIENTS: usize = 200;
const CONNECTIONS: usize = 8;
const SECONDS: u64 = 8;
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the connections.
const PAUSE: Duration = Duration::from_millis(5);
/// Before a client says something: so much that not all of them wait all the time, and logins find idle connections too.
const THOUGHT_MILLIS: usize = 250;
/// What a login that was broken off still takes: it is brought to its refusal.
const ABANDONED: Duration = Duration::from_secs(3);

/// Gives its connection up whenever it is asked anything: the proxy has to know when it must not. Makes no more than
/// eight. Commands go on in each way that there is.
const SCRIPT: &str = r#"
local users = { 'app', 'adm', 'one', 'two' }
local backends = proxy.global.backends
local choosing = proxy.global.choosing or {}
proxy.global.choosing = choosing
local me = {}

local function idle(backend)
  local sum = 0
  for _, user in ipairs(users) do sum = sum + backend.pool.users[user].cur_idle_connections end
  return sum
end
local function connections()
  local sum = 0
  for _ in pairs(choosing) do sum = sum + 1 end
  for i = 1, #backends do sum = sum + backends[i].connected_clients + idle(backends[i]) end
  return sum
end
-- One that is up, and has an idle connection of this user if there is any.
local function choose(user)
  local from, chosen = math.random(#backends), nil
  for i = from, from + #backends - 1 do
    local ndx = i % #backends + 1
    if user and backends[ndx].pool.users[user].cur_idle_connections > 0 then return ndx end
    if backends[ndx].state ~= proxy.BACKEND_STATE_DOWN then chosen = chosen or ndx end
  end
  return chosen or from
end

function connect_server()
  choosing[me] = nil
  if connections() < 8 then
    choosing[me] = true
    proxy.connection.backend_ndx = choose()
    return
  end
  local from = math.random(#backends)
  for i = from, from + #backends - 1 do
    proxy.connection.backend_ndx = i % #backends + 1
    if proxy.connection.server then return proxy.PROXY_IGNORE_RESULT end
  end
  proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errcode = 1040, errmsg = 'there are eight' }
  return proxy.PROXY_SEND_RESULT
end
function read_handshake() choosing[me] = nil end
function read_auth_result(auth)
  if auth.packet:byte() == proxy.MYSQLD_PACKET_OK then proxy.connection.backend_ndx = 0 end
end
function read_query(packet)
  if packet:sub(2) == 'counts' then
    local row = { 0, 0 }
    for i = 1, #backends do
      row[1], row[2] = row[1] + backends[i].connected_clients, row[2] + idle(backends[i])
    end
    proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
      fields = { { name = 'clients' }, { name = 'idle' } }, rows = { row } } }
    return proxy.PROXY_SEND_RESULT
  end
  proxy.connection.backend_ndx = 0
  if packet:byte() == proxy.COM_QUIT then
    proxy.response = { type = proxy.MYSQLD_PACKET_OK }
    return proxy.PROXY_SEND_RESULT
  end
  if not proxy.connection.server then proxy.connection.backend_ndx = choose(proxy.connection.client.username) end
  local way = math.random(20)
  if way == 1 then return end
  proxy.queries:append(1, packet, { resultset_is_needed = way > 10 })
  return proxy.PROXY_SEND_QUERY
end
function read_query_result() proxy.connection.backend_ndx = 0 end
function disconnect_client()
  choosing[me] = nil
  proxy.connection.backend_ndx = 0
end
"#;

/// What the clients and those who watch them share.
#[derive(Default)]
struct Crowd {
    is_over: AtomicBool,
    logins: Mutex<Logins>,
    /// How often each thing was done to its end.
    done: Mutex<BTreeMap<&'static str, usize>>,
    wrong: Mutex<Vec<String>>,
}

/// A connection may be one more than eight while a login is under way.
#[derive(Default)]
struct Logins {
    begun: usize,
    ended: usize,
    abandoned: Vec<Instant>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crowd {
    fn run(&self, proxy: &ProxyProcess, number: usize, seed: u64, expected: &Expected) {
        let mut random = Random::new(seed, number);
        while !self.is_over.load(Ordering::Relaxed) {
            let Some(mut client) = self.log_in(proxy, number, &mut random, expected) else {
                think(&mut random);
                continue;
            };
            while !self.is_over.load(Ordering::Relaxed) {
                think(&mut random);
                match client.act(&mut random) {
                    Ok(what) => *locked(&self.done).entry(what).or_default() += 1,
                    // With a new login its user has a connection again.
                    Err(Trouble::Busy) if random.one_in(2) => break,
                    Err(Trouble::Busy) => {}
                    Err(Trouble::Wrong(what)) => {
                        locked(&self.wrong).push(what);
                        return;
                    }
                    Err(Trouble::Lost) => break,
                }
                if random.one_in(150) {
                    client.vanish(&mut random);
                    *locked(&self.done).entry("vanish").or_default() += 1;
                    break;
                }
            }
        }
    }

    /// `None` when there is no room now, or no server.
    fn log_in<'a>(
        &self,
        proxy: &ProxyProcess,
        number: usize,
        random: &mut Random,
        expected: &'a Expected,
    ) -> Option<PooledClient<'a>> {
        locked(&self.logins).begun += 1;
        let connection = Connection::tcp(proxy.address());
        if random.one_in(50) {
            drop(connection.and_then(|mut connection| connection.read_packet()));
            let mut logins = locked(&self.logins);
            logins.ended += 1;
            logins.abandoned.push(Instant::now());
            return None;
        }
        let client = connection
            .ok()
            .map(|connection| PooledClient::log_in(connection, number, random, expected));
        locked(&self.logins).ended += 1;
        match client? {
            Ok(client) => Some(client),
            Err(Trouble::Wrong(what)) => {
                locked(&self.wrong).push(format!("client {number} (login): {what}"));
                None
            }
            Err(_) => None,
        }
    }

    /// How many connections there may be beside the eight, while `count` is called.
    fn count_beside<T>(&self, count: impl FnOnce() -> T) -> (T, usize) {
        let ended = locked(&self.logins).ended;
        let counted = count();
        let mut logins = locked(&self.logins);
        logins.abandoned.retain(|since| since.elapsed() < ABANDONED);
        (counted, logins.begun - ended + logins.abandoned.len())
    }
}

fn think(random: &mut Random) {
    thread::sleep(Duration::from_millis(random.below(THOUGHT_MILLIS) as u64));
}

/// The proxy's own ends of TCP connections to this port.
fn connections_to(ports: &[u16]) -> usize {
    const ESTABLISHED: &str = "01";
    const CLOSE_WAIT: &str = "08";
    let table = fs::read_to_string("/proc/net/tcp").expect("it is Linux");
    let is_to = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        let port = fields.next().and_then(|remote| remote.rsplit_once(':'));
        let port = port.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        let state = fields.next();
        port.is_some_and(|port| ports.contains(&port))
            && (state == Some(ESTABLISHED) || state == Some(CLOSE_WAIT))
    };
    table.lines().skip(1).filter(is_to).count()
}

struct Run {
    servers: Vec<Server>,
    expected: Expected,
    seed: u64,
}

impl Run {
    fn new(servers: Vec<Server>) -> Self {
        servers.iter().for_each(pooled_client::prepare);
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
        Self {
            expected: Expected::of(&servers[0]),
            servers,
            seed: number("POOLED_RUN_SEED").unwrap_or(time.as_nanos() as u64),
        }
    }

    fn time() -> Duration {
        let seconds = env::var("POOLED_RUN_SECONDS")
            .ok()
            .and_then(|text| text.parse().ok());
        Duration::from_secs(seconds.unwrap_or(SECONDS))
    }

    fn run(mut self, more: &[&str]) {
        let seed = self.seed;
        let script = ScriptFile::new(SCRIPT);
        let servers: Vec<_> = self.servers.iter().collect();
        let options = ["--proxy-pool-wait=2", "--event-threads=2"];
        let mut proxy = script.proxy(&servers, &[&options, more].concat());
        let crowd = Crowd::default();
        let expected = self.expected.clone();
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (crowd, proxy, expected) = (&crowd, &proxy, &expected);
                scope.spawn(move || crowd.run(proxy, number, seed, expected));
            }
            self.disturb(&crowd);
            crowd.is_over.store(true, Ordering::Relaxed);
        });
        let wrong = locked(&crowd.wrong);
        assert!(
            wrong.is_empty(),
            "POOLED_RUN_SEED={seed}: {:#?}",
            &wrong[..wrong.len().min(10)]
        );
        let done = locked(&crowd.done);
        for what in PooledClient::ACTIONS {
            assert!(done.contains_key(what), "nobody ever did {what}: {done:?}");
        }
        self.check_counts(&proxy);
        assert_eq!(proxy.terminate().code(), Some(0));
        assert_eq!(proxy.count_in_log("panicked"), 0, "{:#?}", proxy.log());
    }

    /// Until the time is up: connections are killed, servers die and come back; and there are never too many.
    fn disturb(&mut self, crowd: &Crowd) {
        let mut random = Random::new(self.seed, CLIENTS);
        let until = Instant::now() + Self::time();
        let is_done = || locked(&crowd.done).len() > PooledClient::ACTIONS.len();
        let ports: Vec<_> = self.servers.iter().map(Server::port).collect();
        let mut next = Instant::now() + Duration::from_millis(500);
        let progress = Progress::new("clients of pools", Self::time().as_secs());
        // On a busy machine it takes longer until everything was done.
        while (Instant::now() < until || !is_done() && Instant::now() < until + PATIENCE)
            && locked(&crowd.wrong).is_empty()
        {
            let left = until.saturating_duration_since(Instant::now());
            progress.at((Self::time() - left).as_secs(), "s");
            let (count, beside) = crowd.count_beside(|| connections_to(&ports));
            // A server that is down is probed.
            let most = CONNECTIONS + beside + ports.len();
            if count > most {
                let what = format!("{count} connections, {most} at most");
                locked(&crowd.wrong).push(what);
            }
            if Instant::now() > next {
                let index = random.below(self.servers.len());
                match random.below(8) {
                    0 => {
                        self.servers[index].kill9();
                        self.servers[index].restart();
                    }
                    1..=4 => kill(&self.servers[index], "command = 'Sleep'", &mut random),
                    _ => kill(&self.servers[index], "TRUE", &mut random),
                }
                next = Instant::now() + Duration::from_millis(50 + random.below(400) as u64);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Nobody is there any more: no client is counted, and the servers have the idle connections that the pools have.
    fn check_counts(&self, proxy: &ProxyProcess) {
        let mut last = [0, 0];
        let is_quiet = wait::poll(Duration::from_secs(30), || {
            let Ok(mut client) = Client::connect(proxy.address(), "app", "app") else {
                return None;
            };
            let row = client.query("counts").expect("the script answers").text();
            let number = |at: usize| row[0][at].as_deref().and_then(|text| text.parse().ok());
            let [clients, idle] = [number(0)?, number(1)?];
            let there: usize = self.servers.iter().map(connections_of_users).sum();
            last = [clients, idle];
            // Where those that died are replaced at logins, other logins may count meanwhile and make more.
            (clients == 0 && idle == there && idle <= 2 * CONNECTIONS).then_some(())
        });
        assert!(
            is_quiet.is_some(),
            "POOLED_RUN_SEED={}: {last:?} clients and idle connections",
            self.seed
        );
    }
}

fn of_users() -> String {
    format!("user IN ('{}')", USERS.join("', '"))
}

fn connections_of_users(server: &Server) -> usize {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE {}",
        of_users()
    );
    let count = server.query(&sql)[0][0].clone();
    count
        .and_then(|count| count.parse().ok())
        .expect("a number")
}

/// One of the connections that are in this state.
fn kill(server: &Server, state: &str, random: &mut Random) {
    let sql = format!(
        "SELECT id FROM information_schema.processlist WHERE {} AND {state}",
        of_users()
    );
    let ids = server.query(&sql);
    if ids.is_empty() {
        return;
    }
    let id = ids[random.below(ids.len())][0].clone().unwrap_or_default();
    let root = Client::connect_unix(&server.socket(), "root", "");
    // It may be gone.
    let _ = root.and_then(|mut root| root.query(&format!("KILL {id}")));
}

#[test]
fn no_row_reaches_another_client_on_mariadb() {
    Run::new(vec![MariaDb::start(&[]), MariaDb::start(&[])]).run(&[]);
}

#[test]
fn no_row_reaches_another_client_on_mysql97() {
    if let Some(server) = Mysql97::start(&[]) {
        Run::new(vec![server]).run(&[]);
    }
}

#[test]
fn no_row_reaches_another_client_under_tls() {
    if let Some(server) = Mysql97::start(&[]) {
        Run::new(vec![server]).run(&["--server-ssl-mode=REQUIRED"]);
    }
}

/// So that a run is worth something: the checks notice a wrong answer.
#[test]
fn a_wrong_answer_is_noticed() {
    let server = MariaDb::start(&[]);
    let run = Run::new(vec![server]);
    // Everybody gets what others left: no run lasts.
    let script = ScriptFile::new(SCRIPT);
    let proxy = script.proxy(
        &[&run.servers[0]],
        &["--proxy-pool-reset=never", "--proxy-pool-wait=2"],
    );
    let crowd = Crowd::default();
    thread::scope(|scope| {
        for number in 0..20 {
            let (crowd, proxy, run) = (&crowd, &proxy, &run);
            scope.spawn(move || crowd.run(proxy, number, run.seed, &run.expected));
        }
        let found = wait::poll(Duration::from_secs(30), || {
            (!locked(&crowd.wrong).is_empty()).then_some(())
        });
        crowd.is_over.store(true, Ordering::Relaxed);
        assert!(found.is_some(), "nobody has noticed");
    });
}
