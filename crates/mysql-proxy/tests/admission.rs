//! Who is let in: limits on clients, and what those hear who are turned away.

mod scripted;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{fs, thread};

use testkit::{
    Client, ClientError, Connection, MariaDb, ProxyProcess, ScratchDirectory, Server, command,
    process, wait,
};

use scripted::{BINARY, DEADLINE, connect, plugin_address};

const TOO_MANY_CONNECTIONS: Option<u16> = Some(1040);

fn proxy(server: &Server, options: &[&str]) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    ProxyProcess::start(BINARY, &[&[backend.as_str()], options].concat())
}

fn refusal(proxy: &ProxyProcess) -> ClientError {
    let refused = Client::connect(proxy.address(), "app", "app");
    refused.expect_err("it is turned away")
}

#[test]
fn so_many_are_served_and_the_next_ones_hear_why_not() {
    let server = MariaDb::start(&[]);
    let options = [
        "--max-connections=2",
        "--plugins=proxy,admin",
        "--admin-address=127.0.0.1:0",
        "--admin-username=root",
        "--admin-password=secret",
    ];
    let proxy = proxy(&server, &options);
    let (mut first, second) = (connect(&proxy), connect(&proxy));
    for _ in 0..3 {
        let error = refusal(&proxy);
        assert_eq!(error.code(), TOO_MANY_CONNECTIONS, "{error}");
        assert!(
            error
                .to_string()
                .contains("2 clients are served (--max-connections)"),
            "{error}"
        );
    }
    let mut client = command::mariadb(proxy.address());
    client.arg("--execute=SELECT 1");
    let said = process::run(client, DEADLINE);
    assert!(said.stderr.contains("ERROR 1040"), "{}", said.stderr);
    // Operators come in nevertheless, and see who is there.
    let admin = plugin_address(&proxy, "admin");
    let mut operator = Client::connect(admin, "root", "secret").expect("operators are not counted");
    assert_eq!(operator.query("SHOW SESSIONS").expect("rows").rows.len(), 2);
    let status = operator.query("SHOW STATUS").expect("rows").text();
    let value = |name: &str| {
        let row = status.iter().find(|row| row[0].as_deref() == Some(name));
        row.and_then(|row| row[1].as_deref()?.parse::<u64>().ok())
    };
    assert_eq!(value("Threads_connected"), Some(2));
    assert!(value("Connections_refused") >= Some(4), "{status:?}");
    first
        .query("SELECT 1")
        .expect("those who are there are served");
    second.quit().expect("it may go");
    wait::until("there is room again", DEADLINE, || {
        Client::connect(proxy.address(), "app", "app").is_ok()
    });
    assert_eq!(
        proxy.count_in_log("as many as --max-connections=2 allows"),
        1
    );
    proxy.wait_for_log("there is room for clients again", DEADLINE);
}

#[test]
fn there_is_room_for_as_many_as_files_allow() {
    let server = MariaDb::start(&[]);
    // Files of the process itself, and two for each of four clients.
    let proxy = proxy(&server, &["--max-open-files=72", "--event-threads=1"]);
    let clients: Vec<_> = (0..4).map(|_| connect(&proxy)).collect();
    let error = refusal(&proxy);
    assert!(
        error.to_string().contains("4 clients are served"),
        "{error}"
    );
    assert!(proxy.open_files() < 72);
    drop(clients);
    wait::until("there is room again", DEADLINE, || {
        Client::connect(proxy.address(), "app", "app").is_ok()
    });
}

#[test]
fn an_address_that_comes_too_often_is_turned_away_and_no_other() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(&server, &["--max-connection-rate=1"]);
    let flood = |address: [u8; 4]| -> Vec<Option<u16>> {
        let come = || {
            let connection = Connection::tcp_from(address.into(), proxy.address())?;
            testkit::Login::new("app", "app").connect(connection)
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..60).map(|_| scope.spawn(come)).collect();
            let clients = clients
                .into_iter()
                .map(|client| client.join().expect("no panic"));
            clients
                .filter_map(Result::err)
                .map(|error| error.code())
                .collect()
        })
    };
    let refused = flood([127, 0, 0, 2]);
    assert!(refused.len() >= 20, "{refused:?}");
    assert!(
        refused.iter().all(|code| *code == TOO_MANY_CONNECTIONS),
        "{refused:?}"
    );
    let honest = Connection::tcp_from([127, 0, 0, 3].into(), proxy.address());
    let honest = testkit::Login::new("app", "app").connect(honest.expect("it listens"));
    honest.expect("another address is served");
    proxy.wait_for_log("clients of 127.0.0.2 are turned away", DEADLINE);
    assert_eq!(proxy.count_in_log("127.0.0.3"), 0);
    wait::until("it is forgiven", DEADLINE, || {
        let connection = Connection::tcp_from([127, 0, 0, 2].into(), proxy.address());
        testkit::Login::new("app", "app")
            .connect(connection.expect("it listens"))
            .is_ok()
    });
}

#[test]
fn a_socket_file_has_the_mode_that_was_asked_for() {
    let server = MariaDb::start(&[]);
    let directory = ScratchDirectory::new();
    let socket = directory.file("proxy.sock");
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("it listens there")
            .permissions()
            .mode()
            & 0o7777
    };
    for (options, expected) in [(&[][..], 0o777), (&["--proxy-socket-mode=0660"], 0o660)] {
        let address = format!("--proxy-address={}", socket.display());
        let backend = format!("--proxy-backend-addresses={}", server.address());
        let proxy = ProxyProcess::start(BINARY, &[&[address.as_str(), &backend], options].concat());
        assert_eq!(mode(&socket), expected);
        Client::connect_unix(&socket, "app", "app").expect("it serves");
        drop(proxy);
    }
}
