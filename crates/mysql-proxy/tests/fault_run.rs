//! Everything breaks, all the time: links are cut, reset, delayed, stalled and taken apart, servers are killed, stopped, restarted
//! and full, clients vanish. An answer is right, or the client gets an error or a close; afterwards nothing is left behind.
//!
//! Every choice comes from a seed, which a failure prints; `FAULT_RUN_SEED` repeats them, `FAULT_RUN_SECONDS` makes the runs
//! longer. Which choices meet is up to the scheduler.

mod pooled_client;
mod scripted;

use std::collections::BTreeMap;
use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use progress::Progress;
use testkit::{
    Client, Connection, Direction, FaultLink, Faults, MariaDb, Mysql97, ProxyProcess, Random,
    Server, wait,
};

use pooled_client::{Expected, PooledClient, Trouble};
use scripted::{BINARY, SHARING, ScriptFile, plugin_address};

const CLIENTS: usize = 24;
const SECONDS: u64 = 6;
/// The proxy's patience in this test, and what a stall has to exceed now and then.
const PATIENCE: Duration = Duration::from_secs(2);
/// For everything to end after its deadlines, on a machine that does a lot else. A server has a minute to check a password.
const END: Duration = Duration::from_secs(60 + 30);
/// Kinds of actions that somebody has done to their end.
const ENOUGH: usize = PooledClient::ACTIONS.len() / 2;
/// Buffers and Lua states that were needed stay.
const GROWTH_MAX: u64 = 64 << 20;

const SEES: &str = "function read_query(packet) end function read_query_result(inj) end";
const KEEPS: &str = "
    function read_query(packet)
        if packet:byte() == proxy.COM_QUIT then return end
        proxy.queries:append(1, packet, { resultset_is_needed = math.random(2) == 1 })
        return proxy.PROXY_SEND_QUERY
    end
    function read_query_result(inj) assert(inj.resultset.row_count >= 0) end";

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Two servers, a link to each, and one between the clients and the proxy.
struct Scene {
    seed: u64,
    expected: Expected,
    to_proxy: FaultLink,
    to_servers: Vec<FaultLink>,
    proxy: ProxyProcess,
    servers: Vec<Server>,
    _script: Option<ScriptFile>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    done: Mutex<BTreeMap<&'static str, usize>>,
    wrong: Mutex<Vec<String>>,
}

/// Ends the clients, also where the test itself fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Scene {
    fn new(servers: Vec<Server>, script: Option<&str>) -> Self {
        servers.iter().for_each(pooled_client::prepare);
        let to_servers: Vec<_> = servers
            .iter()
            .map(|server| FaultLink::to(server.address()))
            .collect();
        let patience = PATIENCE.as_secs_f64();
        let mut options = vec![
            "--plugins=proxy,admin".to_owned(),
            "--admin-address=127.0.0.1:0".to_owned(),
            "--admin-username=root".to_owned(),
            "--admin-password=secret".to_owned(),
            "--event-threads=2".to_owned(),
        ];
        for wait in ["connect", "greeting", "login", "read", "write"] {
            options.push(format!("--proxy-{wait}-timeout={patience}"));
        }
        options.push(format!("--proxy-pool-wait={patience}"));
        for link in &to_servers {
            options.push(format!("--proxy-backend-addresses={}", link.address()));
        }
        let script = script.map(ScriptFile::new);
        if let Some(script) = &script {
            options.push(format!("--proxy-lua-script={}", script.path.display()));
        }
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let proxy = ProxyProcess::start(BINARY, &options);
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            seed: number("FAULT_RUN_SEED").unwrap_or(time.as_nanos() as u64),
            expected: Expected::of(&servers[0]),
            to_proxy: FaultLink::to(proxy.address()),
            to_servers,
            proxy,
            servers,
            _script: script,
        }
    }

    fn run(mut self) {
        // What the first client needs is there from now on.
        self.status();
        drop(Client::connect(self.proxy.address(), "app", "app"));
        self.wait_for_nobody();
        let (files, bytes) = (self.proxy.open_files(), self.proxy.resident_bytes());

        let shared = Shared::default();
        let (seed, address) = (self.seed, self.to_proxy.address());
        let expected = self.expected.clone();
        let time = Duration::from_secs(number("FAULT_RUN_SECONDS").unwrap_or(SECONDS));
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (shared, expected) = (&shared, &expected);
                scope.spawn(move || shared.visit(address, number, seed, expected));
            }
            let _over = Over(&shared.is_over);
            self.disturb(&shared, Instant::now() + time);
            // The last clients find every link stalled, and end with the proxy's patience.
            for link in self.to_servers.iter().chain([&self.to_proxy]) {
                link.set(Direction::ToServer, stalled());
            }
            shared.is_over.store(true, Ordering::Relaxed);
            self.wait_for_nobody();
            self.calm();
        });
        let wrong = locked(&shared.wrong);
        let first = &wrong[..wrong.len().min(10)];
        assert!(wrong.is_empty(), "FAULT_RUN_SEED={seed}: {first:#?}");
        let done = locked(&shared.done);
        assert!(
            done.len() > ENOUGH,
            "the faults left too little room: {done:?}"
        );
        self.check_what_is_left(files, bytes);
    }

    /// One fault after the other, some of them at the same time.
    fn disturb(&mut self, shared: &Shared, until: Instant) {
        let mut random = Random::new(self.seed, CLIENTS);
        let is_done = || locked(&shared.done).len() > ENOUGH;
        let left = || until.saturating_duration_since(Instant::now()).as_secs();
        let total = left();
        let progress = Progress::new("faults", total);
        // Where faults leave little room it takes longer until something was done.
        while (Instant::now() < until || !is_done() && Instant::now() < until + END)
            && locked(&shared.wrong).is_empty()
        {
            progress.at(total.saturating_sub(left()), "s");
            let link = match random.below(3) {
                0 => &self.to_proxy,
                _ => &self.to_servers[random.below(self.to_servers.len())],
            };
            let server = random.below(self.servers.len());
            match random.below(16) {
                0 => link.cut(),
                1 => link.reset(),
                2 => {
                    link.refuse();
                    pause(&mut random, 400);
                    link.accept();
                }
                3 => {
                    self.servers[server].pause();
                    pause(&mut random, 2 * PATIENCE.as_millis() as usize);
                    self.servers[server].resume();
                }
                4 => {
                    self.servers[server].kill9();
                    self.servers[server].restart();
                }
                5 => fill(&self.servers[server], &mut random),
                _ => {
                    let direction = [Direction::ToServer, Direction::ToClient][random.below(2)];
                    link.set(direction, faults(&mut random));
                }
            }
            pause(&mut random, 200);
        }
    }

    fn calm(&self) {
        for link in self.to_servers.iter().chain([&self.to_proxy]) {
            link.set(Direction::ToServer, Faults::default());
            link.set(Direction::ToClient, Faults::default());
        }
    }

    fn operator(&self) -> Client {
        let address = plugin_address(&self.proxy, "admin");
        Client::connect(address, "root", "secret").expect("the operator may")
    }

    /// Clients that are served, and sessions that panicked.
    fn status(&self) -> [u64; 2] {
        let rows = self.operator().query("SHOW STATUS").expect("rows").text();
        ["Threads_connected", "Sessions_panicked"].map(|name| {
            let row = rows.iter().find(|row| row[0].as_deref() == Some(name));
            let value = row.and_then(|row| row[1].as_deref()?.parse().ok());
            value.expect("a number")
        })
    }

    fn wait_for_nobody(&self) {
        let ended = wait::poll(END, || (self.status()[0] == 0).then_some(()));
        if ended.is_none() {
            let left = self.operator().query("SHOW SESSIONS").expect("rows").text();
            panic!(
                "FAULT_RUN_SEED={}: sessions without end: {left:#?}\n{}",
                self.seed,
                self.proxy.log().join("\n")
            );
        }
    }

    /// Everything works, as in the beginning; nobody and nothing is left.
    fn check_what_is_left(&self, files: usize, bytes: u64) {
        let column = |name: &str| -> Vec<String> {
            let result = self.operator().query("SHOW BACKENDS").expect("rows");
            let at = result.columns.iter().position(|column| column == name);
            let at = at.expect("it has the column");
            let rows = result.text().into_iter();
            rows.map(|mut row| row.swap_remove(at).unwrap_or_default())
                .collect()
        };
        wait::until("all backends are taken back", END, || {
            column("state").iter().all(|state| state == "up")
        });
        self.wait_for_nobody();
        assert!(
            column("connected_clients").iter().all(|count| count == "0"),
            "FAULT_RUN_SEED={}",
            self.seed
        );
        for _ in 0..2 * self.servers.len() {
            let client = Client::connect(self.proxy.address(), "app", "app");
            let answer = client.and_then(|mut client| client.value("SELECT 1"));
            assert_eq!(answer.expect("it serves as before"), "1");
        }
        let idle: usize = column("idle_connections")
            .iter()
            .filter_map(|count| count.parse::<usize>().ok())
            .sum();
        wait::until("the files are closed", END, || {
            self.proxy.open_files() <= files + idle
        });
        let grown = self.proxy.resident_bytes().saturating_sub(bytes);
        assert!(
            grown < GROWTH_MAX,
            "FAULT_RUN_SEED={}: {grown} bytes more",
            self.seed
        );
        assert_eq!(self.status()[1], 0, "{:#?}", self.proxy.log());
    }
}

impl Shared {
    /// Logs in, acts until something is lost or it has enough, and again.
    fn visit(&self, address: std::net::SocketAddr, number: usize, seed: u64, expected: &Expected) {
        let mut random = Random::new(seed, number);
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok(connection) = Connection::tcp(address) else {
                pause(&mut random, 50);
                continue;
            };
            connection.set_timeout(END).expect("it is a socket");
            if random.one_in(20) {
                // It leaves before or behind the greeting.
                if random.one_in(2) {
                    drop(connection.reset());
                }
                continue;
            }
            let mut client = match PooledClient::log_in(connection, number, &mut random, expected) {
                Ok(client) => client,
                Err(trouble) => {
                    self.note(number, trouble);
                    continue;
                }
            };
            while !self.is_over.load(Ordering::Relaxed) {
                pause(&mut random, 20);
                match client.act(&mut random) {
                    Ok(what) => *locked(&self.done).entry(what).or_default() += 1,
                    Err(trouble) => {
                        self.note(number, trouble);
                        break;
                    }
                }
                if random.one_in(40) {
                    client.vanish(&mut random);
                    break;
                }
            }
        }
    }

    /// Losses are what this test is about.
    fn note(&self, number: usize, trouble: Trouble) {
        if let Trouble::Wrong(what) = trouble {
            locked(&self.wrong).push(format!("client {number}: {what}"));
        }
    }
}

fn pause(random: &mut Random, millis_max: usize) {
    thread::sleep(Duration::from_millis(random.below(millis_max) as u64));
}

/// No room for anybody else, for a while. Whoever says so has to be there already.
fn fill(server: &Server, random: &mut Random) {
    if let Ok(mut root) = Client::connect_unix(&server.socket(), "root", "") {
        root.query("SET GLOBAL max_connections = 10")
            .expect("an OK");
        pause(random, 500);
        root.query("SET GLOBAL max_connections = 1000")
            .expect("an OK");
    }
}

fn stalled() -> Faults {
    Faults {
        stalled: true,
        ..Faults::default()
    }
}

/// Nothing in half of all cases, so that something gets done.
fn faults(random: &mut Random) -> Faults {
    let mut faults = Faults::default();
    match random.below(10) {
        0 => faults.cut_after = Some(random.below(2000) as u64),
        1 => faults.cut_after = Some(random.below(400_000) as u64),
        2 => faults.delay = Duration::from_millis(random.below(100) as u64),
        3 => faults.single_bytes = true,
        4 => faults.stalled = true,
        _ => {}
    }
    faults
}

fn mariadb() -> Vec<Server> {
    vec![MariaDb::start(&[]), MariaDb::start(&[])]
}

#[test]
fn without_a_script() {
    Scene::new(mariadb(), None).run();
}

#[test]
fn with_a_script_that_sees_everything() {
    Scene::new(mariadb(), Some(SEES)).run();
}

#[test]
fn with_a_script_that_keeps_results() {
    Scene::new(mariadb(), Some(KEEPS)).run();
}

#[test]
fn with_connections_that_are_shared() {
    Scene::new(vec![MariaDb::start(&[])], Some(SHARING)).run();
}

#[test]
fn with_mysql97() {
    if let Some(server) = Mysql97::start(&[]) {
        Scene::new(vec![server], Some(KEEPS)).run();
    }
}
