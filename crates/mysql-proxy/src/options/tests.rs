//! What the options mean: values, precedence, the lines of errors, and that the documentation has them all.

use std::collections::BTreeSet;
use std::fs;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use proxy::Settings;
use tempfile::NamedTempFile;
use transport::proxy_protocol::Version;

use super::*;
use crate::settings;

fn request(arguments: &[&str]) -> Result<Request> {
    let arguments = iter::once(&"mysql-proxy").chain(arguments);
    read(&arguments.map(OsString::from).collect::<Vec<_>>())
}

fn options(arguments: &[&str]) -> Options {
    match request(arguments).unwrap() {
        Request::Run { options, .. } => *options,
        Request::Print(text) => panic!("{text}"),
    }
}

fn proxy_settings(arguments: &[&str]) -> Settings {
    let settings = settings::Settings::new(&options(arguments)).unwrap();
    settings.proxy
}

/// `text` in section `[mysql-proxy]` of a file that other users cannot read, from its second line on.
fn defaults_file(text: &str) -> (NamedTempFile, String) {
    let mut file = NamedTempFile::new().unwrap();
    write!(file, "[mysql-proxy]\n{text}").unwrap();
    fs::set_permissions(file.path(), Permissions::from_mode(0o660)).unwrap();
    let argument = format!("--defaults-file={}", file.path().display());
    (file, argument)
}

fn error(arguments: &[&str]) -> String {
    let error = match request(arguments) {
        Ok(Request::Run { options, .. }) => settings::Settings::new(&options).unwrap_err(),
        Ok(Request::Print(text)) => panic!("{text}"),
        Err(error) => error,
    };
    format!("{error:#}")
}

fn listens(settings: &Settings) -> String {
    let address = settings.listen.as_ref();
    address.map_or_else(|| "nowhere".to_owned(), ToString::to_string)
}

fn backends(settings: &Settings) -> Vec<String> {
    settings
        .backends
        .iter()
        .map(|(address, role)| format!("{address} {role:?}"))
        .collect()
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
    described().debug_assert();
}

#[test]
fn defaults_are_those_of_the_proxy() {
    let settings = proxy_settings(&[]);
    assert_eq!(listens(&settings), ":4040");
    assert_eq!(backends(&settings), ["127.0.0.1:3306 ReadWrite"]);
    let expected = Settings::new(settings.listen.clone(), settings.backends.clone());
    assert_eq!(format!("{settings:?}"), format!("{expected:?}"));
}

#[test]
fn every_spelling_of_a_value() {
    for arguments in [
        &["--proxy-address=[::1]:5"][..],
        &["--proxy-address", "[::1]:5"],
        &["-P", "[::1]:5"],
        &["--proxy-proxy-address=[::1]:5"],
        &["-P", ":7", "-P", "[::1]:5"],
    ] {
        assert_eq!(
            listens(&proxy_settings(arguments)),
            "[::1]:5",
            "{arguments:?}"
        );
    }
}

#[test]
fn lists_are_split_and_appended() {
    let arguments = [
        "-b",
        "a, b:1,",
        "-r",
        "c",
        "--proxy-backend-addresses=/d\\,e",
        "--proxy-read-only-backend-addresses=f",
    ];
    assert_eq!(
        backends(&proxy_settings(&arguments)),
        [
            "a ReadWrite",
            "b:1 ReadWrite",
            "/d,e ReadWrite",
            "c ReadOnly",
            "f ReadOnly"
        ]
    );
}

#[test]
fn networks_are_listed_or_none() {
    let networks = |arguments: &[&str]| -> Vec<String> {
        let networks = proxy_settings(arguments).proxy_protocol_networks;
        networks.iter().map(ToString::to_string).collect()
    };
    assert!(networks(&[]).is_empty());
    assert!(networks(&["--proxy-protocol-networks="]).is_empty());
    let arguments = [
        "--proxy-protocol-networks=192.0.2.1, 2001:db8::/32,localhost,",
        "--proxy-protocol-networks=*",
    ];
    assert_eq!(
        networks(&arguments),
        ["192.0.2.1/32", "2001:db8::/32", "localhost", "*"]
    );
    let error = error(&["--proxy-protocol-networks=192.0.2.1,db1"]);
    assert!(error.contains("`db1` is no address"), "{error}");
    for (value, expected) in [
        ("off", None),
        ("v1", Some(Version::V1)),
        ("v2", Some(Version::V2)),
    ] {
        let settings = proxy_settings(&["--server-proxy-protocol", value]);
        assert_eq!(settings.server_proxy_protocol, expected);
    }
}

#[test]
fn flags_have_a_false() {
    for (argument, expected) in [
        ("--daemon", true),
        ("--daemon=true", true),
        ("--daemon=1", true),
        ("--daemon=false", false),
        ("--daemon=0", false),
    ] {
        assert_eq!(options(&[argument]).process.daemon, expected, "{argument}");
    }
    assert!(!options(&["--daemon", "--daemon=false"]).process.daemon);
    assert!(options(&["--proxy-no-proxy"]).proxy.no_proxy);
}

#[test]
fn numbers_have_three_bases() {
    for (number, expected) in [("8192", 8192), ("0x2000", 8192), ("020000", 8192), ("0", 0)] {
        assert_eq!(
            options(&["--max-open-files", number])
                .process
                .max_open_files,
            expected
        );
    }
    assert_eq!(proxy_settings(&["--event-threads=0x10"]).workers.get(), 16);
}

#[test]
fn deadlines_are_decimal_and_negative_ones_the_default() {
    let settings = proxy_settings(&[
        "--proxy-connect-timeout=0.25",
        "--proxy-read-timeout",
        "-1",
        "--proxy-login-timeout=1e1",
        "--shutdown-timeout=0",
    ]);
    assert_eq!(settings.connect_timeout, Duration::from_millis(250));
    assert_eq!(settings.read_timeout, Duration::from_secs(8 * 3600));
    assert_eq!(settings.login_timeout, Duration::from_secs(10));
    assert_eq!(settings.shutdown_timeout, Duration::ZERO);
}

/// What is typed, and how the error begins.
const ERRORS: &[(&[&str], &str)] = &[
    (&["--prox"], "unknown option: --prox"),
    (
        &["--log-fil=x"],
        "unknown option: --log-fil (did you mean --log-file?)",
    ),
    (
        &["start"],
        "unknown option: start (--help lists the options)",
    ),
    (
        &["--daemon", "true"],
        "unknown option: true (--help lists the options)",
    ),
    (&["--log-file"], "--log-file needs a value"),
    (
        &["--log-level=loud"],
        "--log-level: `loud` is not one of error, critical, warning, message, info, debug",
    ),
    (&["--daemon=no"], "--daemon: `no` is neither true nor false"),
    (
        &["-P", "h:70000"],
        "--proxy-address: address `h:70000`: `70000` is not a port number (0 to 65535)",
    ),
    (
        &["-b", "a,,b"],
        "--proxy-backend-addresses: there is an empty address in the list",
    ),
    (
        &["-b", ""],
        "--proxy-backend-addresses: there is an empty address in the list",
    ),
    (
        &["-b", "a,b", "-r", "a"],
        "backend a is already known! Name each backend once",
    ),
    (
        &["-r", "a"],
        "all backends are read-only, which only a script would use",
    ),
    (
        &["--event-threads=0"],
        "--event-threads: `0` is not a number of threads (1 to 1024)",
    ),
    (
        &["--proxy-socket-mode=0888"],
        "--proxy-socket-mode: `0888` is not a mode of three octal digits, like 0770",
    ),
    (
        &["--max-connection-rate=5000000000"],
        "--max-connection-rate: `5000000000` is more than 4294967295",
    ),
    (
        &["--max-open-files", "-1"],
        "--max-open-files: `-1` is not a whole number of 0 or more",
    ),
    (
        &["--proxy-connect-timeout=0"],
        "--proxy-connect-timeout: a deadline must be longer than 0 seconds",
    ),
    (
        &["--proxy-write-timeout=nan"],
        "--proxy-write-timeout: `nan` is not a number of seconds",
    ),
    (
        &["--proxy-greeting-timeout=-1"],
        "--proxy-greeting-timeout: `-1` is not a number of seconds of 0 or more",
    ),
    (
        &["--shutdown-timeout=inf"],
        "--shutdown-timeout: `inf` is more than a year",
    ),
    (
        &["--plugins=proxy,admin"],
        "--plugins=admin needs --admin-username, which is not given or empty",
    ),
    (
        &["--plugins=admin", "--admin-username=x", "--admin-password="],
        "--plugins=admin needs --admin-password, which is not given or empty",
    ),
    (
        &[
            "--plugins=debug",
            "--admin-username=x",
            "--admin-password=y",
            "--debug-address=:4043",
        ],
        "--debug-address: :4043 can be reached from other hosts",
    ),
    (
        &["--http-address=:8080"],
        "--http-address: :8080 can be reached from other hosts, without TLS",
    ),
    (
        &["--http-address=/tmp/http"],
        "--http-address: /tmp/http is no HOST:PORT",
    ),
    (
        &["--plugins=replicant"],
        "--plugins: the plugin replicant is gone; mysqlbinlog",
    ),
    (
        &["--plugins=proxy,cli"],
        "--plugins: the plugin cli is gone; use the client mysql",
    ),
    (
        &["--plugins=client"],
        "--plugins: the plugin cli is gone; use the client mysql",
    ),
    (
        &["--plugins=other"],
        "--plugins: this program has no plugin other",
    ),
    (
        &["--replicant-master-address=:4040"],
        "--replicant-master-address: the plugin replicant is gone; mysqlbinlog",
    ),
    (
        &["--replicant-username", "repl"],
        "--replicant-username: the plugin replicant is gone",
    ),
    (
        &["--replicant-password="],
        "--replicant-password: the plugin replicant is gone",
    ),
    (
        &["--replicant-read-binlogs=a"],
        "--replicant-read-binlogs: the plugin replicant is gone",
    ),
    (
        &["--address=127.0.0.1"],
        "--address: the plugin cli is gone",
    ),
    (&["--username=mysql"], "--username: the plugin cli is gone"),
    (&["--password", "x"], "--password: the plugin cli is gone"),
    (&["--usr=x"], "unknown option: --usr (did you mean --user?)"),
    (&["--basedir=x"], "--basedir: `x` is not an absolute path"),
    (
        &["--log-use-syslog", "--log-file=x"],
        "--log-file and --log-use-syslog exclude each other",
    ),
];

#[test]
fn errors_are_one_line_that_names_the_option() {
    for (arguments, expected) in ERRORS {
        let error = error(arguments);
        assert!(error.starts_with(expected), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn relative_paths_start_at_the_base_directory() {
    let options = options(&["--basedir=/srv", "--log-file=log/x", "--pid-file=/run/x"]);
    let settings = settings::Settings::new(&options).unwrap();
    assert_eq!(settings.log, crate::log::Choice::File("/srv/log/x".into()));
    assert_eq!(settings.pid_file, Some("/run/x".into()));
}

#[test]
fn a_daemon_without_a_log_file_logs_to_syslog() {
    let log = |arguments: &[&str]| settings::Settings::new(&options(arguments)).unwrap().log;
    assert_eq!(log(&[]), crate::log::Choice::Stdout);
    assert_eq!(log(&["--daemon"]), crate::log::Choice::Syslog);
    assert_eq!(log(&["--log-use-syslog"]), crate::log::Choice::Syslog);
    assert_eq!(
        log(&["--daemon", "--log-file=/x"]),
        crate::log::Choice::File("/x".into())
    );
}

#[test]
fn the_file_sets_every_kind_of_option() {
    let text = "proxy-address = :5\nproxy-backend-addresses = a, b\nproxy-connect-timeout=0.5\nevent-threads=3\n\
                proxy-balance=least-connections\nlog-level=debug\nproxy-skip-profiling=true\nkeepalive=1\n";
    let (_file, argument) = defaults_file(text);
    let settings = proxy_settings(&[&argument]);
    assert_eq!(listens(&settings), ":5");
    assert_eq!(backends(&settings), ["a ReadWrite", "b ReadWrite"]);
    assert_eq!(settings.connect_timeout, Duration::from_millis(500));
    assert_eq!(settings.workers.get(), 3);
    assert_eq!(settings.balance, backend::Balance::LeastConnections);
    let options = options(&[&argument]);
    assert_eq!(options.log.level, Level::Debug);
    assert!(options.process.keepalive && !options.proxy.no_proxy);
}

#[test]
fn the_command_line_wins_over_the_file() {
    let text = "proxy-address=:5\nproxy-backend-addresses=a,b\nproxy-connect-timeout=9\nevent-threads=3\nno-proxy=true\n";
    let (_file, file) = defaults_file(text);
    let settings = proxy_settings(&[
        "-P",
        ":6",
        &file,
        "-b",
        "c",
        "--proxy-connect-timeout=1",
        "--event-threads=2",
        "--no-proxy=false",
    ]);
    assert_eq!(listens(&settings), ":6");
    assert_eq!(backends(&settings), ["c ReadWrite"]);
    assert_eq!(settings.connect_timeout, Duration::from_secs(1));
    assert_eq!(settings.workers.get(), 2);
    assert!(options(&[&file]).proxy.no_proxy);
}

#[test]
fn an_unknown_key_is_a_warning_with_its_line() {
    let (file, argument) = defaults_file("log-fil=x\nversion=1\nmyoption=\n");
    let Request::Run { warnings, .. } = request(&[&argument]).unwrap() else {
        panic!("it has to run");
    };
    let path = file.path().display();
    assert_eq!(
        warnings,
        [
            format!("{path}:2: unknown key log-fil is ignored (did you mean log-file?)"),
            format!("{path}:3: unknown key version is ignored"),
            format!("{path}:4: unknown key myoption is ignored"),
        ]
    );
}

#[test]
fn options_of_plugins_that_are_gone_are_ignored_in_the_file_and_say_so() {
    let text = "replicant-read-binlogs=a,b\npassword=x\nlog-level=debug\n";
    let (file, argument) = defaults_file(text);
    let Request::Run { options, warnings } = request(&[&argument]).unwrap() else {
        panic!("it has to run");
    };
    assert_eq!(options.log.level, Level::Debug);
    let path = file.path().display();
    let [replicant, cli] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    let replicant_is_gone = format!(
        "{path}:2: replicant-read-binlogs is ignored: the plugin replicant is gone; mysqlbinlog"
    );
    assert!(replicant.starts_with(&replicant_is_gone), "{replicant}");
    let cli_is_gone = format!("{path}:3: password is ignored: the plugin cli is gone");
    assert!(cli.starts_with(&cli_is_gone), "{cli}");
    let (_file, argument) = defaults_file("plugins=proxy,replicant\n");
    assert!(error(&[&argument]).contains(":2: --plugins: the plugin replicant is gone"));
}

#[test]
fn a_wrong_value_in_the_file_is_an_error_with_its_line() {
    let (file, argument) = defaults_file("# x\nproxy-address=h:\n");
    let expected = format!(
        "{}:3: --proxy-address: address `h:` has no port after the colon",
        file.path().display()
    );
    assert_eq!(error(&[&argument]), expected);
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let (file, argument) = defaults_file("");
    fs::set_permissions(file.path(), Permissions::from_mode(0o664)).unwrap();
    let error_text = error(&[&argument]);
    assert!(
        error_text.contains("permissions 0664 are too open"),
        "{error_text}"
    );
    assert!(error(&["--defaults-file=/dev/null"]).contains("not a regular file"));
}

/// The options that a text speaks of.
fn mentioned(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let names = words.filter_map(|word| word.strip_prefix("--"));
    names
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_documentation_has_every_option_and_no_other() {
    let text = include_str!("../../../../docs/command-line.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .map(|line| line.split('|').map(str::trim).skip(1).collect())
        .collect();
    let command = command();
    let mut known = BTreeSet::new();
    for option in command.get_arguments() {
        let long = option.get_long().unwrap();
        known.insert(long.to_owned());
        known.extend(
            option
                .get_all_aliases()
                .unwrap_or_default()
                .iter()
                .map(|alias| (*alias).to_owned()),
        );

        let short = option
            .get_short()
            .map(|short| format!(", `-{short}`"))
            .unwrap_or_default();
        let name = format!("`--{long}`{short}");
        let row = rows.iter().find(|row| row[0].starts_with(&name));
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        let default = option
            .get_default_values()
            .first()
            .and_then(|value| value.to_str());
        match default {
            Some("false") => assert_eq!(row[1], "flag", "{name}"),
            Some("0") => assert!(row[2].starts_with('0'), "{name}"),
            Some(default) => assert_eq!(row[2], format!("`{default}`"), "{name}"),
            None => {}
        }
    }
    assert_eq!(
        rows.len(),
        command.get_arguments().count(),
        "an option has two rows, or a row no option"
    );
    let unknown: Vec<_> = mentioned(text).difference(&known).cloned().collect();
    assert!(unknown.is_empty(), "no options: {unknown:?}");
}

#[test]
fn the_page_on_migrating_speaks_of_no_option_that_does_not_exist() {
    let command = command();
    let options = command.get_arguments();
    let known: BTreeSet<String> = options
        .filter_map(|option| option.get_long().map(str::to_owned))
        .collect();
    // Of programs that it recommends.
    let others = BTreeSet::from(["verbose".to_owned()]);
    let mentioned = mentioned(include_str!("../../../../docs/migrating.md"));
    let unknown: Vec<_> = mentioned.difference(&(&known | &others)).cloned().collect();
    assert!(unknown.is_empty(), "no options: {unknown:?}");
}

#[test]
fn help_has_every_option_that_can_be_used() {
    let Request::Print(help) = request(&["--help-all"]).unwrap() else {
        panic!("help has to be printed");
    };
    let shown = mentioned(&help);
    for option in described().get_arguments() {
        assert_ne!(
            shown.contains(option.get_long().unwrap()),
            option.is_hide_set(),
            "{option}"
        );
    }
}
