//! Instructions of the proxy for each query and login, counted by valgrind: the same on a busy machine as on an idle one.
//!
//! A number is the difference between two runs of which one has more to do, so that the start and the end do not count.
//! Compared with a baseline, which holds for one toolchain: `cargo xtask gauge`.
#![expect(clippy::print_stdout, reason = "a command speaks on standard output")]

use std::{
    collections::BTreeMap,
    fs,
    hint::black_box,
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use playground::{PASSWORD, Server, USER};
use protocol::{
    Capabilities, ResponseTracker, StatusFlags, command::Layout, connection_phase::HandshakeV10,
    packet::put_payload,
};
use testkit::{Client, ScratchDirectory, wait};

/// What the smaller run does, and the larger one.
const QUERIES: [u64; 2] = [200, 1200];
const LOGINS: [u64; 2] = [20, 120];
/// Percent by which a number may be worse.
const TOLERANCE: f64 = 5.0;
/// Under valgrind all takes fifty times as long.
const DEADLINE: Duration = Duration::from_secs(120);
const QUERY: &str = "SELECT id, title FROM films WHERE id = 1";

/// Without the compiler, which decides by the clock when to run.
const SCRIPT: &str = r#"
if jit then jit.off() end
function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    proxy.queries:append(1, packet, { resultset_is_needed = true })
    return proxy.PROXY_SEND_QUERY
end
function read_query_result(inj)
    local n = 0
    for row in inj.resultset.rows do n = n + #row end
end
"#;

/// Counts instructions and compares them with the baseline.
#[derive(Parser)]
struct Options {
    /// The proxy
    #[arg(long, required_unless_present = "work")]
    proxy: Option<PathBuf>,
    /// Numbers to compare with
    #[arg(long, required_unless_present = "work")]
    baseline: Option<PathBuf>,
    /// Write the baseline instead
    #[arg(long)]
    update: bool,
    /// Do one piece of work so many times, to be counted from outside
    #[arg(long, num_args = 2, value_names = ["WORK", "TIMES"])]
    work: Option<Vec<String>>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            println!("gauge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    if let Some([work, times]) = options.work.as_deref() {
        do_work(work, times.parse()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let proxy = options.proxy.as_deref().context("--proxy is needed")?;
    let file = options
        .baseline
        .as_deref()
        .context("--baseline is needed")?;
    let measured = measure(proxy)?;
    if options.update {
        fs::write(file, text(&toolchain()?, &measured))?;
        println!("{} is written:\n{}", file.display(), text("", &measured));
        return Ok(ExitCode::SUCCESS);
    }
    let baseline =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    compare(&baseline, &measured)
}

/// Instructions by what is done.
type Numbers = BTreeMap<&'static str, u64>;

fn measure(proxy: &Path) -> Result<Numbers> {
    let mut numbers = Numbers::new();
    let cases: [(_, &[&str], _, Act, _); 4] = [
        ("query, relayed", &[], None, ask, QUERIES),
        (
            "query, relayed, no digests",
            &["--digest-limit=0"],
            None,
            ask,
            QUERIES,
        ),
        (
            "query, injected and read by Lua",
            &[],
            Some(SCRIPT),
            ask,
            QUERIES,
        ),
        ("login", &[], None, log_in, LOGINS),
    ];
    for (name, options, script, act, runs) in cases {
        let number = per_time(runs, |times| of_proxy((proxy, options), script, act, times));
        numbers.insert(name, number?);
    }
    for name in WORK.map(|(name, _)| name) {
        numbers.insert(name, per_time(QUERIES, |times| of_work(name, times))?);
    }
    Ok(numbers)
}

fn per_time([few, many]: [u64; 2], count: impl Fn(u64) -> Result<u64>) -> Result<u64> {
    Ok(count(many)?.saturating_sub(count(few)?) / (many - few))
}

/// What clients do so many times.
type Act = fn(SocketAddr, u64) -> Result<()>;

fn ask(proxy: SocketAddr, times: u64) -> Result<()> {
    let mut client = Client::connect(proxy, USER, PASSWORD)?;
    client.query("USE playground")?;
    for _ in 0..times {
        client.query(QUERY)?;
    }
    client.quit()?;
    Ok(())
}

fn log_in(proxy: SocketAddr, times: u64) -> Result<()> {
    for _ in 0..times {
        Client::connect(proxy, USER, PASSWORD)?.quit()?;
    }
    Ok(())
}

/// Instructions of a proxy from its start to its end, with clients who do that.
fn of_proxy(
    (proxy, options): (&Path, &[&str]),
    script: Option<&str>,
    act: Act,
    times: u64,
) -> Result<u64> {
    let server = Server::start("gauge", "127.0.0.1:0".parse()?)?;
    let directory = ScratchDirectory::new();
    let mut command = under_valgrind(proxy);
    command
        .args(["--proxy-address=127.0.0.1:0", "--event-threads=1"])
        .arg(format!("--proxy-backend-addresses={}", server.address()))
        .arg("--client-ssl-mode=DISABLED")
        .args(options)
        .arg(format!("--log-file={}", directory.file("log").display()));
    if let Some(script) = script {
        let file = directory.file("script.lua");
        fs::write(&file, script)?;
        command.arg(format!("--proxy-lua-script={}", file.display()));
    }
    let mut child = command.spawn().context("cannot start valgrind")?;
    let acted = listening_at(&directory.file("log")).and_then(|address| act(address, times));
    kill(Pid::from_raw(child.id().try_into()?), Signal::SIGTERM)?;
    let count = collected(&mut child);
    acted?;
    count
}

fn listening_at(log: &Path) -> Result<SocketAddr> {
    let address = wait::poll(DEADLINE, || {
        let log = fs::read_to_string(log).ok()?;
        let line = log
            .lines()
            .find_map(|line| line.split_once("proxy listening on port "))?;
        line.1.trim().parse().ok()
    });
    address.context("the proxy does not listen")
}

/// Pieces of work that need no proxy.
const WORK: [(&str, fn()); 3] = [
    ("tokens of a statement", tokenize),
    ("response of a hundred rows, tracked", track),
    ("greeting, decoded and encoded", greet),
];

fn do_work(name: &str, times: u64) -> Result<()> {
    let Some((_, work)) = WORK.iter().find(|(known, _)| *known == name) else {
        bail!("there is no work {name}");
    };
    (0..times).for_each(|_| work());
    Ok(())
}

fn tokenize() {
    for token in sql::tokenize(black_box(QUERY.as_bytes())) {
        black_box(token);
    }
}

fn track() {
    static RESPONSE: LazyLock<Vec<u8>> = LazyLock::new(response);
    let mut tracker = ResponseTracker::new(Layout::Resultsets, Capabilities::PROTOCOL_41);
    let progress = tracker.feed(black_box(&RESPONSE));
    assert!(progress.is_ok_and(|progress| progress.consumed == RESPONSE.len()));
}

/// One column, a hundred rows.
fn response() -> Vec<u8> {
    const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];
    let mut payloads = vec![vec![1], vec![b'd'; 40], EOF.to_vec()];
    payloads.extend((0..100).map(|_| [&[60][..], &[b'r'; 60]].concat()));
    payloads.push(EOF.to_vec());
    let mut bytes = Vec::new();
    for (sequence_id, payload) in (1..).zip(&payloads) {
        put_payload(&mut bytes, sequence_id, payload);
    }
    bytes
}

fn greet() {
    let greeting = HandshakeV10 {
        server_version: b"10.11.6-MariaDB".to_vec(),
        thread_id: 1,
        auth_plugin_data: vec![b'x'; 20],
        capabilities: Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION,
        character_set: 45,
        status: StatusFlags::AUTOCOMMIT,
        auth_plugin_name: b"mysql_native_password".to_vec(),
    };
    let mut payload = Vec::new();
    black_box(&greeting).encode(&mut payload);
    let _ = black_box(HandshakeV10::decode(black_box(&payload)));
}

fn of_work(name: &str, times: u64) -> Result<u64> {
    let this = std::env::current_exe()?;
    let mut command = under_valgrind(&this);
    command.args(["--work", name, &times.to_string()]);
    collected(&mut command.spawn().context("cannot start valgrind")?)
}

fn under_valgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--"])
        .arg(program)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// What valgrind says at the end of a program: `Collected : 123`.
fn collected(child: &mut Child) -> Result<u64> {
    let mut text = String::new();
    let deadline = Instant::now() + DEADLINE;
    let mut stderr = child.stderr.take().context("standard error is piped")?;
    let reader = thread::spawn(move || {
        let read = stderr.read_to_string(&mut text);
        read.map(|_| text)
    });
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill()?;
                bail!("not ended after {DEADLINE:?}");
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let Ok(text) = reader.join() else {
        bail!("the reader of its output panicked");
    };
    let text = text?;
    ensure!(status.success(), "{status}: {text}");
    let line = text
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, number) = line.with_context(|| format!("no count from valgrind: {text}"))?;
    Ok(number.trim().parse()?)
}

/// What numbers hold for: the compiler, and the processor, by which libraries choose their ways.
fn toolchain() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output()?;
    let compiler = String::from_utf8(output.stdout)?;
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.split_once("model name"));
    let model = model.map_or("", |(_, model)| model.trim_start_matches([' ', '\t', ':']));
    Ok(format!("{}, {model}", compiler.trim()))
}

fn text(toolchain: &str, numbers: &Numbers) -> String {
    let lines = numbers
        .iter()
        .map(|(name, number)| format!("{number:>9} {name}\n"));
    format!("{toolchain}\n{}", lines.collect::<String>())
}

fn compare(baseline: &str, measured: &Numbers) -> Result<ExitCode> {
    let mut lines = baseline.lines();
    let (of, here) = (lines.next().unwrap_or_default(), toolchain()?);
    if of != here {
        println!(
            "SKIPPED: the baseline is of {of}, this is {here}:\n{}",
            text("", measured)
        );
        return Ok(ExitCode::SUCCESS);
    }
    let known: BTreeMap<_, u64> = lines
        .filter_map(|line| line.trim().split_once(' '))
        .filter_map(|(number, name)| Some((name, number.parse().ok()?)))
        .collect();
    let mut worse = Vec::new();
    for (name, number) in measured {
        let before = known.get(name).copied().unwrap_or_default();
        let change = (*number as f64 / before as f64 - 1.0) * 100.0;
        println!("{number:>9} instructions, {change:+5.1} %  {name}");
        if before == 0 || change > TOLERANCE {
            worse.push(*name);
        }
    }
    if worse.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "more than {TOLERANCE} % worse: {}. Find out why, or, if it is worth it: cargo xtask gauge --update",
        worse.join("; ")
    );
    Ok(ExitCode::FAILURE)
}
