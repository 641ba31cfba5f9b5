//! Many clients and long runs: memory stays flat, files are given back, and no error comes that nothing explains.
//!
//! In the ordinary test run these are small. `ENDURANCE_CONNECTIONS`, `ENDURANCE_IDLE`, `ENDURANCE_BUSY` and `ENDURANCE_SECONDS` make them
//! as large as one likes; what they measure is printed. `docs/reliability.md` has figures of large ones.

mod scripted;

use std::env;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use progress::Progress;
use testkit::{Client, ClientError, MariaDb, ProxyProcess, Server, wait};

use scripted::{DEADLINE, ScriptFile};

const MIB: u64 = 1 << 20;
/// Clients that connect at once.
const THREADS: usize = 8;

/// Sees everything, sends every query itself, and keeps every other result.
const SCRIPT: &str = "
    local version = 'VERSION'
    local count = 0
    function read_query(packet)
        if packet:byte() ~= proxy.COM_QUERY then return end
        if packet:sub(2) == 'version' then
            proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
                fields = { { name = 'version' } }, rows = { { version } } } }
            return proxy.PROXY_SEND_RESULT
        end
        count = count + 1
        proxy.queries:append(count, packet, { resultset_is_needed = count % 2 == 0 })
        return proxy.PROXY_SEND_QUERY
    end
    function read_query_result(inj)
        if inj.id % 2 == 0 then for row in inj.resultset.rows do assert(row[1]) end end
    end";

fn script(version: usize) -> String {
    SCRIPT.replace("VERSION", &version.to_string())
}

fn size(name: &str, small: usize) -> usize {
    let given = env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(small)
}

/// What a process may have open: as much as the system lets it. The proxy and the server inherit it.
fn raise_open_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the soft limit may be raised");
}

/// Logs in, asks one thing, and says goodbye.
fn visit(address: SocketAddr, number: usize) -> Result<(), ClientError> {
    let mut client = Client::connect(address, "app", "app")?;
    let answer = client.value(&format!("SELECT 'visit {number}'"))?;
    assert_eq!(answer, format!("visit {number}"));
    client.quit()
}

fn visits(proxy: &ProxyProcess, count: usize) {
    let next = AtomicUsize::new(0);
    let progress = Progress::new("short connections", count as u64);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    progress.at(number as u64, "");
                    visit(proxy.address(), number).expect("each visit is served");
                }
            });
        }
    });
}

#[test]
fn short_connections_leave_nothing_behind() {
    let count = size("ENDURANCE_CONNECTIONS", 3_000);
    let server = MariaDb::start(&[]);
    let file = ScriptFile::new(&script(1));
    let proxy = file.proxy(&[&server], &[]);
    // Buffers and the script's memory come to what they need.
    visits(&proxy, count / 2);
    let (files, bytes) = (proxy.open_files(), proxy.resident_bytes());
    let started = Instant::now();
    visits(&proxy, count - count / 2);
    let seconds = started.elapsed().as_secs_f64();
    wait::until("the files are closed", DEADLINE, || {
        proxy.open_files() <= files
    });
    let grown = proxy.resident_bytes().saturating_sub(bytes);
    println!(
        "{count} connections: in the second half {:.0}/s, {:.1} MiB at its start, {grown} bytes more at its end",
        (count / 2) as f64 / seconds,
        bytes as f64 / MIB as f64
    );
    assert!(grown < 4 * MIB, "{grown} bytes more");
}

#[test]
fn idle_and_busy_clients_at_once() {
    let (idle, busy) = (size("ENDURANCE_IDLE", 400), size("ENDURANCE_BUSY", 50));
    let time = Duration::from_secs(size("ENDURANCE_SECONDS", 3) as u64);
    raise_open_files();
    let room = format!("--max-connections={}", idle + busy + 10);
    let server = MariaDb::start(&[&room, "--thread-stack=192K"]);
    let file = ScriptFile::new(&script(1));
    let files = format!("--max-open-files={}", 2 * (idle + busy) + 200);
    let proxy = file.proxy(&[&server], &[&files]);
    drop(scripted::connect(&proxy));
    let before = proxy.resident_bytes();
    let mut waiting: Vec<Client> = in_parallel(idle, |_| scripted::connect(&proxy));
    let of_idle = proxy.resident_bytes().saturating_sub(before) / idle as u64;
    let until = Instant::now() + time;
    let answers = in_parallel_all(busy, |number| {
        let mut client = scripted::connect(&proxy);
        let mut answers = 0;
        while Instant::now() < until {
            let tag = format!("busy {number} {answers}");
            let answer = client.value(&format!("SELECT '{tag}'"));
            assert_eq!(answer.expect("it is served"), tag);
            answers += 1;
        }
        answers
    });
    for (number, client) in waiting.iter_mut().enumerate() {
        let answer = client.value(&format!("SELECT {number}"));
        assert_eq!(answer.expect("it was only idle"), number.to_string());
    }
    let queries: usize = answers.iter().sum();
    println!(
        "{idle} idle and {busy} busy clients: {of_idle} bytes for an idle one, {:.0} queries/s, the slowest had {} of {}",
        queries as f64 / time.as_secs_f64(),
        answers.iter().min().expect("there is one"),
        answers.iter().max().expect("there is one"),
    );
    assert!(of_idle < 64 << 10, "{of_idle} bytes for an idle client");
}

/// The results of `count` calls, by a few threads.
fn in_parallel<R: Send>(count: usize, call: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let result = call(number);
                    results.lock().expect("no call panics").push(result);
                }
            });
        }
    });
    results.into_inner().expect("no call panics")
}

/// The same, each on a thread of its own.
fn in_parallel_all<R: Send>(count: usize, call: impl Fn(usize) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let call = &call;
        let threads: Vec<_> = (0..count)
            .map(|number| scope.spawn(move || call(number)))
            .collect();
        let threads = threads.into_iter();
        threads
            .map(|thread| thread.join().expect("no call panics"))
            .collect()
    })
}

/// Clients of all kinds while the script is edited again and again, and a server is killed now and then.
#[test]
fn reloads_and_restarts_under_load() {
    const BUSY: usize = 16;
    let seconds = size("ENDURANCE_SECONDS", 6) as u64;
    let mut servers = [MariaDb::start(&[]), MariaDb::start(&[])];
    let file = ScriptFile::new(&script(0));
    let proxy = file.proxy(&[&servers[0], &servers[1]], &["--event-threads=2"]);
    visits(&proxy, 500);
    let (files, bytes) = (proxy.open_files(), proxy.resident_bytes());
    let load = Load::default();
    let (versions, restarts) = thread::scope(|scope| {
        for number in 0..BUSY {
            let (load, address) = (&load, proxy.address());
            scope.spawn(move || load.run(address, number));
        }
        let disturbed = disturb(&file, &proxy, &mut servers, seconds);
        load.is_over.store(true, Ordering::Relaxed);
        disturbed
    });
    let wrong = load.wrong.into_inner().expect("nobody panics");
    assert!(wrong.is_empty(), "{wrong:#?}");
    let versions = versions.expect("each version of the script serves somebody");
    let (lost, answers) = (load.lost.into_inner(), load.answers.into_inner());
    wait::until("the files are closed", DEADLINE, || {
        proxy.open_files() <= files
    });
    let grown = proxy.resident_bytes().saturating_sub(bytes);
    println!(
        "{seconds} s of mixed load: {answers} answers, {versions} versions of the script, {restarts} servers killed, {lost} \
         clients lost with them, {:.1} MiB at the start, {grown} bytes more at the end",
        bytes as f64 / MIB as f64
    );
    // A kill takes with it whoever is there, and whoever comes before it is noticed.
    assert!(
        lost <= restarts * BUSY * 20,
        "{lost} clients lost for {restarts} restarts"
    );
    assert!(restarts > 0 && grown < 32 * MIB, "{grown} bytes more");
}

/// A version of the script each second, which has to serve whoever comes then, and a killed server now and then. How many there
/// were of each; no versions where one served nobody.
fn disturb(
    file: &ScriptFile,
    proxy: &ProxyProcess,
    servers: &mut [Server],
    seconds: u64,
) -> (Option<usize>, usize) {
    // An hour has a restart a minute.
    let between_restarts = Duration::from_secs((seconds / 3).clamp(1, 60));
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut next_restart = Instant::now() + between_restarts;
    let (mut versions, mut restarts) = (0, 0);
    let progress = Progress::new("mixed load", seconds);
    while Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now()).as_secs();
        let detail = format!("s, {versions} versions, {restarts} servers killed");
        progress.at(seconds.saturating_sub(left), &detail);
        thread::sleep(Duration::from_secs(1));
        versions += 1;
        file.edit(&script(versions));
        let seen = wait::poll(DEADLINE, || {
            let client = Client::connect(proxy.address(), "app", "app");
            let version = client.and_then(|mut client| client.value("version"));
            (version.ok()? == versions.to_string()).then_some(())
        });
        if seen.is_none() {
            return (None, restarts);
        }
        if Instant::now() > next_restart {
            let server = &mut servers[restarts % 2];
            server.kill9();
            server.restart();
            restarts += 1;
            next_restart = Instant::now() + between_restarts;
        }
    }
    (Some(versions), restarts)
}

/// What busy clients come to.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    answers: AtomicUsize,
    /// Clients that lost their server.
    lost: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Load {
    fn run(&self, address: SocketAddr, number: usize) {
        let mut round = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            round += 1;
            match mixed(address, number * 1_000_000 + round, &self.is_over) {
                Ok(count) => self.answers.fetch_add(count, Ordering::Relaxed),
                Err(error) if is_loss(&error) => self.lost.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    let mut wrong = self.wrong.lock().expect("nobody panics");
                    return wrong.push(error.to_string());
                }
            };
        }
    }
}

/// What a killed server explains.
fn is_loss(error: &ClientError) -> bool {
    const OF_A_LOST_SERVER: [u16; 3] = [1053, 1105, 2013];
    match error {
        ClientError::Io(_) => true,
        error => error
            .code()
            .is_some_and(|code| OF_A_LOST_SERVER.contains(&code)),
    }
}

/// A client that comes, asks this and that, and goes. How many answers it got.
fn mixed(address: SocketAddr, number: usize, is_over: &AtomicBool) -> Result<usize, ClientError> {
    let mut client = Client::connect(address, "app", "app")?;
    let mut answers = 0;
    while answers < number % 50 && !is_over.load(Ordering::Relaxed) {
        let tag = format!("{number} {answers}");
        let (sql, expected) = match answers % 4 {
            0 => (format!("SELECT '{tag}'"), tag),
            1 => (
                format!("SELECT REPEAT('{tag} ', 5000)"),
                format!("{tag} ").repeat(5000),
            ),
            2 => (
                format!("SELECT '{tag}' FROM DUAL WHERE SLEEP(0.002) = 0"),
                tag,
            ),
            _ => (
                format!("SELECT CONCAT('{tag}', COUNT(*)) FROM information_schema.schemata"),
                String::new(),
            ),
        };
        let answer = client.value(&sql)?;
        if !expected.is_empty() && answer != expected {
            return Err(ClientError::Unexpected(format!(
                "{answer} instead of {expected}"
            )));
        }
        answers += 1;
    }
    client.quit()?;
    Ok(answers)
}
