//! Clients that people use, against servers that people use, through the proxy: each combination has to print what it
//! prints without the proxy. What was seen is `docs/matrix.md`, and in short `README.md`; a run that finds them different writes
//! them, and fails: run it again and commit the files. Rows of what is not on this machine stay as they are.

mod certificate;
mod clients;
mod driver;
mod page;
mod verification;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use certificate::Certificate;
use clients::{Client, PASSWORD, Target};
use page::Row;
use testkit::{MariaDb, MariaDb118, Mysql97, ProxyProcess, ScratchDirectory, Server};

const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
/// Clients that run at once.
const THREADS: usize = 4;
/// What the last statement gives: who printed it was logged in to the end.
const END: &str = "the end";

/// The server's side of the proxy.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Plain,
    Tls,
    PassedThrough,
}

const SIDES: [(Side, &str, &str); 3] = [
    (Side::Plain, "plain", "--server-ssl-mode=DISABLED"),
    (Side::Tls, "TLS", "--server-ssl-mode=REQUIRED"),
    (
        Side::PassedThrough,
        "passed",
        "--client-ssl-mode=PASSTHROUGH",
    ),
];

/// A server and the proxies in front of it.
struct Tested {
    server: Server,
    /// For clients without TLS and for those with it, the proxy of each side.
    proxies: [Vec<ProxyProcess>; 2],
}

impl Tested {
    fn new(server: Server, certificate: &Certificate) -> Self {
        let backend = format!("--proxy-backend-addresses={}", server.address());
        let files = certificate.options();
        let proxies = ["PREFERRED", "REQUIRED"].map(|client_mode| {
            let client_mode = format!("--client-ssl-mode={client_mode}");
            let start = |(side, _, mode): &(Side, _, &str)| {
                let mut options = vec![backend.as_str(), mode];
                if *side != Side::PassedThrough {
                    options.push(&client_mode);
                    options.extend(files.iter().map(String::as_str));
                }
                ProxyProcess::start(BINARY, &options)
            };
            SIDES.iter().map(start).collect()
        });
        Self { server, proxies }
    }

    /// A new account with a database of its own, whose password the server has not seen yet.
    fn new_account(&self) -> String {
        static ACCOUNTS: AtomicUsize = AtomicUsize::new(0);
        // Of one length: it is in the widths of columns.
        let user = format!("user{:04}", ACCOUNTS.fetch_add(1, Ordering::Relaxed));
        let sql = format!("CREATE USER {user}@'%' IDENTIFIED BY '{PASSWORD}'");
        self.server.query(&sql);
        let sql = format!("CREATE DATABASE {user} CHARACTER SET utf8mb4");
        self.server.query(&sql);
        self.server
            .query(&format!("GRANT ALL ON {user}.* TO {user}@'%'"));
        user
    }

    /// What the client says at this address.
    fn said(&self, client: &Client, address: SocketAddr, ca: Option<&Path>) -> Option<Said> {
        let run = client.run.as_ref()?;
        let user = self.new_account();
        let target = Target {
            address,
            user: &user,
            ca,
        };
        let mut said = Said::new(&run(&target), &user);
        if !said.text.contains(END) {
            // Some clients cannot send a password without TLS, and log in once the server has it in its cache.
            testkit::Client::connect_unix(&self.server.socket(), &user, PASSWORD)
                .expect("the account is there");
            let again = Said::new(&run(&target), &user);
            said.text.push_str(&again.text);
            said.is_encrypted = again.is_encrypted;
            said.is_warm = true;
        }
        Some(said)
    }
}

/// What a client printed.
struct Said {
    text: String,
    /// Whether the server said that its session was under TLS.
    is_encrypted: bool,
    /// Whether a login was refused until the server had the password in its cache.
    is_warm: bool,
}

impl Said {
    fn new(text: &str, user: &str) -> Self {
        let is_cipher = |line: &&str| line.starts_with("[\"cipher\"");
        let cipher = text.lines().find(is_cipher);
        let others = text.lines().filter(|line| !is_cipher(line));
        Self {
            text: others.collect::<Vec<_>>().join("\n").replace(user, "user"),
            is_encrypted: cipher.is_some_and(|line| !line.ends_with("\"\"]")),
            is_warm: false,
        }
    }

    fn is_wrong_password_refused(&self) -> bool {
        let wrong = self.text.rsplit_once("wrong password");
        wrong.is_some_and(|(_, refusal)| refusal.contains("1045"))
    }

    /// What the table says of it, or what is wrong: `direct` is what the client says without the proxy.
    fn verdict(&self, direct: &Self, is_to_be_encrypted: bool) -> Result<&'static str, String> {
        if self.text != direct.text {
            return Err(first_difference(&direct.text, &self.text));
        }
        if !self.text.contains(END) {
            return Ok("no login, nor without the proxy");
        }
        if !self.is_wrong_password_refused() {
            return Err("a wrong password is not refused with 1045".to_owned());
        }
        if self.is_encrypted != is_to_be_encrypted {
            return Err(format!("TLS with the server: {}", self.is_encrypted));
        }
        Ok(if self.is_warm { "ok, warm" } else { "ok" })
    }
}

fn first_difference(direct: &str, proxied: &str) -> String {
    let mut lines = direct.lines().zip(proxied.lines());
    let number = lines.position(|(direct, proxied)| direct != proxied);
    let number = number.unwrap_or_else(|| direct.lines().count().min(proxied.lines().count()));
    let line = |text: &str| {
        let line = text.lines().nth(number).unwrap_or("(nothing)");
        line.chars().take(400).collect::<String>()
    };
    format!(
        "line {number} differs:\n  direct:  {}\n  proxied: {}",
        line(direct),
        line(proxied)
    )
}

/// What a client with or without TLS gets, for each side of the proxy; `None` where it is not on this machine.
fn cells(
    client: &Client,
    tested: &Tested,
    has_tls: bool,
    certificate: &Certificate,
) -> [Option<Result<&'static str, String>>; 3] {
    let ca = has_tls.then(|| certificate.ca());
    let direct = tested.said(client, tested.server.address(), ca);
    let mut proxies = tested.proxies[usize::from(has_tls)].iter();
    SIDES.map(|(side, ..)| {
        let proxy = proxies.next().expect("there is one for each side");
        if side == Side::PassedThrough && !has_tls {
            return Some(Ok("-"));
        }
        let said = tested.said(client, proxy.address(), ca)?;
        let verdict = said.verdict(direct.as_ref()?, side != Side::Plain);
        Some(verdict.map_err(|error| format!("{error}\n  {}", proxy.log().join("\n  "))))
    })
}

fn servers(certificate: &Certificate) -> [(&'static str, Option<Tested>); 3] {
    let files = certificate.options();
    let options = files.each_ref().map(String::as_str);
    let with_schema = [&options[..], &["--performance-schema=ON"]].concat();
    [
        ("MariaDB 10.11", Some(MariaDb::start(&options))),
        ("MariaDB 11.8", MariaDb118::start(&options)),
        ("MySQL 9.7", Mysql97::start(&with_schema)),
    ]
    .map(|(name, server)| {
        let tested = server.map(|server| Tested::new(server, certificate));
        (name, tested)
    })
}

#[test]
fn every_client_says_through_the_proxy_what_it_says_without() {
    let scratch = ScratchDirectory::new();
    let certificate = Certificate::signed(scratch.path(), "signed");
    let clients = clients::all(scratch.path());
    let servers = servers(&certificate);
    let mut tasks = Vec::new();
    for client in &clients {
        for has_tls in [false, true] {
            for (_, tested) in &servers {
                tasks.push((client, has_tls, tested.as_ref()));
            }
        }
    }
    let done = in_parallel(&tasks, |&(client, has_tls, tested)| match tested {
        _ if has_tls && !client.has_tls => [const { Some(Ok("-")) }; 3],
        Some(tested) => cells(client, tested, has_tls, &certificate),
        None => [const { None }; 3],
    });

    let mut failures = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    for (row, done) in tasks.chunks(servers.len()).zip(done.chunks(servers.len())) {
        let (client, has_tls, _) = row[0];
        let name = format!("{}, {}", client.name, if has_tls { "TLS" } else { "plain" });
        let mut row = (name.clone(), Vec::new());
        for ((server, _), cells) in servers.iter().zip(done) {
            for ((_, side, _), cell) in SIDES.iter().zip(cells) {
                row.1.push(match cell {
                    Some(Ok(cell)) => Some((*cell).to_owned()),
                    Some(Err(error)) => {
                        failures.push(format!("{name}, {server}, {side}: {error}"));
                        None
                    }
                    None => None,
                });
            }
        }
        rows.push(row);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    page::check(&rows, &verification::rows(&certificate));
}

/// Runs every task on one of a few threads; the results are in the order of the tasks.
fn in_parallel<T: Sync, R: Send>(tasks: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((number, task)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    tasks.get(number).map(|task| (number, task))
                } {
                    let result = run(task);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
