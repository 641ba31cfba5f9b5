//! The clients of the matrix: command lines, and a program for each library. Each logs in, runs the same statements and what
//! else it has, logs in again, tries a wrong password, and tells as text what it got.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use testkit::{Finished, MariaDb118, Mysql97, command, process, skip};

use crate::driver;

pub(crate) const PASSWORD: &str = "correct horse";
/// For everything that one client does, on a machine that does a lot else.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Where to log in and how. The database has the user's name.
pub(crate) struct Target<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) user: &'a str,
    /// The CA that vouches for the peer's certificate; `None` is no TLS.
    pub(crate) ca: Option<&'a Path>,
}

type Run = Box<dyn Fn(&Target<'_>) -> String + Send + Sync>;

/// A client that people use.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) has_tls: bool,
    /// Runs everything and tells it. `None`, after a line that says so, where it is not on this machine.
    pub(crate) run: Option<Run>,
}

/// All of them. They read files in `scratch`.
pub(crate) fn all(scratch: &Path) -> Vec<Client> {
    let input = scratch.join("input.sql");
    fs::write(&input, command_line_input()).expect("the directory is ours");
    let client = |name, run| Client {
        name,
        has_tls: true,
        run,
    };
    vec![
        client(
            "`mariadb` 10.11",
            mariadb(Path::new("mariadb"), &[], &input),
        ),
        client("`mariadb` 11.8", mariadb(&mariadb118(), &[], &input)),
        client(
            "`mariadb` 11.8, zlib",
            mariadb(&mariadb118(), &["--compress"], &input),
        ),
        client("`mysql` 9.7", mysql(&[], &input)),
        client(
            "`mysql` 9.7, zstd",
            mysql(&["--compression-algorithms=zstd,uncompressed"], &input),
        ),
        client("PyMySQL", python("use_pymysql.py")),
        client("MySQL Connector/Python", python("use_mysql_connector.py")),
        client("mysqlclient (Python)", mysqldb()),
        client("mysql2 (Node.js)", node("use_mysql2.js")),
        client("mariadb (Node.js)", node("use_mariadb.js")),
        client("mysqli (PHP)", php("use_mysqli.php")),
        Client {
            name: "mysql_async (Rust)",
            has_tls: false,
            run: Some(Box::new(driver::run)),
        },
    ]
}

/// The program, which need not be there.
pub(crate) fn mariadb118() -> PathBuf {
    MariaDb118::prefix().join("bin/mariadb")
}

/// The statements that every client runs, one a line.
pub(crate) fn statements() -> String {
    fs::read_to_string(directory().join("statements.sql")).expect("it is there")
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix")
}

/// The statements, in which semicolons end nothing, and one of 2 MB.
fn command_line_input() -> String {
    let large = "2 MB! ".repeat(349_526);
    let statements = statements().replace('\n', "//\n");
    format!("DELIMITER //\nSELECT LENGTH('{large}'), 1//\n{statements}")
}

fn mariadb(program: &Path, options: &'static [&str], input: &Path) -> Option<Run> {
    command_line(program, options, input, |ca| match ca {
        None => vec!["--skip-ssl".to_owned()],
        Some(ca) => vec![
            "--ssl-verify-server-cert".to_owned(),
            format!("--ssl-ca={}", ca.display()),
        ],
    })
}

fn mysql(options: &'static [&str], input: &Path) -> Option<Run> {
    let program = Mysql97::prefix().join("bin/mysql");
    command_line(&program, options, input, |ca| match ca {
        None => vec![
            "--ssl-mode=DISABLED".to_owned(),
            "--get-server-public-key".to_owned(),
        ],
        Some(ca) => vec![
            "--ssl-mode=VERIFY_IDENTITY".to_owned(),
            format!("--ssl-ca={}", ca.display()),
        ],
    })
}

/// `tls` has the options for a target's CA.
fn command_line(
    program: &Path,
    options: &'static [&str],
    input: &Path,
    tls: fn(Option<&Path>) -> Vec<String>,
) -> Option<Run> {
    if program.is_absolute() && !program.exists() {
        skip(&format!("needs {}", program.display()));
        return None;
    }
    let (program, input) = (program.to_owned(), input.to_owned());
    Some(Box::new(move |target| {
        let run = |password: &str, more: &[&str], input: &Path| {
            let mut client = process::command(&program);
            client.arg("--no-defaults").args(tls(target.ca));
            log_in(&mut client, target, password);
            client.arg("--default-character-set=utf8mb4");
            client.args(options).args(more);
            client.arg(target.user);
            client.stdin(File::open(input).expect("it is there"));
            process::run(client, DEADLINE)
        };
        // With rows go their types, and what is not a row: how many were changed.
        let told = ["--force", "--batch", "-vv", "--column-type-info"];
        let first = run(PASSWORD, &told, &input);
        let cipher = "--execute=SHOW SESSION STATUS LIKE 'Ssl_cipher'";
        let second = run(
            PASSWORD,
            &["--batch", "--skip-column-names", cipher],
            Path::new("/dev/null"),
        );
        let wrong = run("wrong", &[], Path::new("/dev/null"));
        let cipher = second.text();
        let cipher = cipher.trim_end_matches('\n').split_once('\t');
        format!(
            "{}{}second login: {}\n[\"cipher\", {:?}]\nwrong password: {}{}",
            first.text(),
            first.stderr,
            second.stderr,
            cipher.unwrap_or_default().1,
            wrong.text(),
            wrong.stderr
        )
    }))
}

/// The options of all command lines that say where to log in.
pub(crate) fn log_in(client: &mut Command, target: &Target<'_>, password: &str) {
    client
        .arg("--protocol=tcp")
        .arg(format!("--host={}", target.address.ip()))
        .arg(format!("--port={}", target.address.port()))
        .arg(format!("--user={}", target.user))
        .arg(format!("--password={password}"));
}

fn python(script: &'static str) -> Option<Run> {
    let libraries = libraries("python", script)?;
    Some(library(libraries.join("bin/python"), script, None))
}

/// It can only be built with a server's headers, so Debian's is taken, of Debian's own Python.
fn mysqldb() -> Option<Run> {
    if Path::new("/usr/lib/python3/dist-packages/MySQLdb").is_dir() {
        let python = PathBuf::from("/usr/bin/python3");
        return Some(library(python, "use_mysqldb.py", None));
    }
    skip("needs mysqlclient: the package python3-mysqldb");
    None
}

fn node(script: &'static str) -> Option<Run> {
    let libraries = libraries("node", script)?;
    Some(library(
        PathBuf::from("node"),
        script,
        Some(libraries.join("node_modules")),
    ))
}

fn php(script: &'static str) -> Option<Run> {
    let php = Path::new("/usr/bin/php");
    if php.exists() {
        return Some(library(php.to_owned(), script, None));
    }
    skip("needs PHP with mysqli: the packages php-cli and php-mysql");
    None
}

fn libraries(language: &str, script: &str) -> Option<PathBuf> {
    let libraries = command::client_libraries(language);
    if libraries.is_none() {
        skip(&format!(
            "needs client libraries for {script}: `cargo xtask fetch clients`"
        ));
    }
    libraries
}

fn library(interpreter: PathBuf, script: &str, node_path: Option<PathBuf>) -> Run {
    let script = directory().join(script);
    Box::new(move |target| {
        let mut client = process::command(&interpreter);
        client
            .env("NODE_PATH", node_path.as_deref().unwrap_or(Path::new("")))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TZ", "UTC")
            .arg(&script)
            .arg(target.address.ip().to_string())
            .arg(target.address.port().to_string())
            .args([target.user, PASSWORD])
            .arg(target.ca.map_or(OsStr::new("-"), Path::as_os_str));
        let Finished { stdout, stderr, .. } = process::run(client, DEADLINE);
        format!("{}{stderr}", String::from_utf8_lossy(&stdout))
    })
}
