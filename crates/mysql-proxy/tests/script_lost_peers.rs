//! Peers that leave while a script's query runs: the one that is left behind is told or let go, the last hook is called
//! once, and the log says once who it was.

mod scripted;

use std::time::Duration;

use testkit::{Client, Direction, FaultLink, Faults, MariaDb, Mysql97, ProxyProcess, Server, wait};

use scripted::{BINARY, DEADLINE, ScriptFile, connect, value};

/// Servers look for a client that is gone every five seconds.
const NOTICED: Duration = Duration::from_secs(30);

/// Runs two queries for each that says so; the response to one that says so is kept, or comes after the answer.
const SCRIPT: &str = r#"
    function read_query(packet)
        if packet:byte() ~= proxy.COM_QUERY then return end
        if packet:find("answered", 1, true) then
            proxy.queries:append(2, packet, { resultset_is_needed = true })
            proxy.response = { type = proxy.MYSQLD_PACKET_OK, affected_rows = 7 }
            return proxy.PROXY_SEND_RESULT
        end
        if packet:find("after another", 1, true) then
            proxy.queries:append(0, "\003SELECT SLEEP(0.3)", { resultset_is_needed = true })
        end
        proxy.queries:append(1, packet, { resultset_is_needed = packet:find("kept", 1, true) ~= nil })
        return proxy.PROXY_SEND_QUERY
    end
    function read_query_result(inj)
        if inj.id ~= 1 then return proxy.PROXY_IGNORE_RESULT end
    end
    function disconnect_client() print("disconnected") end
"#;

const KINDS: [&str; 3] = ["", "/* kept */", "/* kept, after another */"];

fn wait_until_runs(server: &Server, query: &str) {
    let running = format!(
        "SELECT 1 FROM information_schema.processlist WHERE user = 'app' AND info = '{query}'"
    );
    wait::until(query, DEADLINE, || !server.query(&running).is_empty());
}

/// A client goes away in this way amid a query of each kind: nobody is left at the server, the last hook runs once for
/// each, and what the log says of a session is one line that blames no server.
fn clients_leave(server: &Server, leave: fn(Client)) {
    let script = ScriptFile::new(SCRIPT);
    let mut proxy = script.proxy(&[server], &[]);
    let clients = KINDS.map(|kind| {
        let mut client = connect(&proxy);
        let query = format!("SELECT SLEEP(3600) {kind}");
        client.send_query(&query).expect("the proxy is there");
        wait_until_runs(server, query.trim_end());
        client
    });
    clients.into_iter().for_each(leave);
    let sessions = "SELECT 1 FROM information_schema.processlist WHERE user = 'app'";
    wait::until("the server's sessions end", NOTICED, || {
        server.query(sessions).is_empty()
    });
    let left = || proxy.count_in_log("disconnected");
    wait::until("the last hooks", DEADLINE, || left() == KINDS.len());
    proxy.terminate();
    assert_eq!(proxy.count_in_log("disconnected"), KINDS.len());
    let log = proxy.log();
    for id in 1..=KINDS.len() {
        let session = format!(" session {id} ");
        let lines: Vec<_> = log.iter().filter(|line| line.contains(&session)).collect();
        // None where the server's answer, broken off, was complete.
        let Some(line) = lines.first() else { continue };
        assert_eq!(lines.len(), 1, "{lines:#?}");
        let reasons = ["client left amid a command", "connection to client lost"];
        let has_reason = reasons.iter().any(|reason| line.contains(reason));
        assert!(line.contains("(message)") && has_reason, "{line}");
    }
}

fn reset(client: Client) {
    client.into_connection().reset().expect("it is open");
}

#[test]
fn clients_that_close_leave_nothing_at_mariadb() {
    clients_leave(&MariaDb::start(&[]), drop);
}

#[test]
fn clients_that_close_leave_nothing_at_mysql97() {
    if let Some(server) = Mysql97::start(&[]) {
        clients_leave(&server, drop);
    }
}

#[test]
fn clients_that_reset_leave_nothing_at_mariadb() {
    clients_leave(&MariaDb::start(&[]), reset);
}

#[test]
fn clients_that_reset_leave_nothing_at_mysql97() {
    if let Some(server) = Mysql97::start(&[]) {
        clients_leave(&server, reset);
    }
}

/// As a pipe into a program does: no more to say, and an answer to wait for.
#[test]
fn a_client_that_half_closes_gets_its_answers() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(SCRIPT);
    let proxy = script.proxy(&[&server], &[]);
    for kind in KINDS {
        let mut client = connect(&proxy);
        client
            .send_query(&format!("SELECT SLEEP(0.3), 'late' {kind}"))
            .expect("the proxy is there");
        client.connection().shutdown_write().expect("it is open");
        let results = client
            .read_results()
            .unwrap_or_else(|error| panic!("`{kind}`: {error}"));
        assert_eq!(results[0].text()[0][1].as_deref(), Some("late"), "`{kind}`");
        wait::until("the close", DEADLINE, || client.connection().is_closed());
    }
}

/// The log's one line of session 1, once its last hook has run; session 2 goes on.
#[track_caller]
fn only_session_1_is_lost(proxy: &mut ProxyProcess, other: &mut Client, backend: &str) {
    proxy.wait_for_log("disconnected", DEADLINE);
    assert_eq!(value(other, "SELECT 'goes on'"), "goes on");
    proxy.terminate();
    assert_eq!(proxy.count_in_log("disconnected"), 2);
    let log = proxy.log();
    let lines: Vec<_> = log
        .iter()
        .filter(|line| line.contains("session 1 "))
        .collect();
    assert_eq!(lines.len(), 1, "{log:#?}");
    let text = format!(", backend {backend}): backend closed the connection; closing the client");
    let reset = format!(", backend {backend}): connection to backend lost: ");
    assert!(lines[0].contains("(warning)"), "{}", lines[0]);
    assert!(
        lines[0].contains(&text) || lines[0].contains(&reset),
        "{}",
        lines[0]
    );
}

/// The rest of what the client gets, up to a close in order.
#[track_caller]
fn rest(client: &mut Client) -> Vec<u8> {
    let rest = client.connection().read_to_end(1 << 20);
    rest.expect("the connection is closed, not reset")
}

#[test]
fn a_server_that_is_killed_before_it_answers_is_named_to_the_client() {
    let script = ScriptFile::new(SCRIPT);
    let surviving = MariaDb::start(&[]);
    for kind in KINDS {
        let mut dying = MariaDb::start(&[]);
        let mut proxy = script.proxy(&[&dying, &surviving], &[]);
        let (mut client, mut other) = (connect(&proxy), connect(&proxy));
        let query = format!("SELECT SLEEP(3600) {kind}");
        client.send_query(&query).expect("the proxy is there");
        wait_until_runs(&dying, query.trim_end());
        dying.kill9();
        let error = client.read_results().expect_err("the server is dead");
        assert_eq!(error.code(), Some(2013), "{error}");
        let backend = dying.address().to_string();
        assert!(error.to_string().contains(&backend), "{error}");
        assert_eq!(rest(&mut client), []);
        only_session_1_is_lost(&mut proxy, &mut other, &backend);
    }
}

#[test]
fn a_server_that_dies_behind_the_scripts_own_answer_is_no_second_answer() {
    let script = ScriptFile::new(SCRIPT);
    let (mut dying, surviving) = (MariaDb::start(&[]), MariaDb::start(&[]));
    let mut proxy = script.proxy(&[&dying, &surviving], &[]);
    let (mut client, mut other) = (connect(&proxy), connect(&proxy));
    let query = "SELECT SLEEP(3600) /* answered */";
    assert_eq!(client.query(query).expect("an answer").affected_rows, 7);
    wait_until_runs(&dying, query);
    dying.kill9();
    assert_eq!(rest(&mut client), []);
    only_session_1_is_lost(&mut proxy, &mut other, &dying.address().to_string());
}

/// Each response is cut after its first bytes, amid its rows, before its last byte.
#[test]
fn a_response_that_is_cut_is_followed_by_nothing_once_it_has_begun() {
    let script = ScriptFile::new(SCRIPT);
    let (server, surviving) = (MariaDb::start(&[]), MariaDb::start(&[]));
    for kind in ["", "/* kept */"] {
        for place in [2, 500, usize::MAX] {
            let link = FaultLink::to(server.address());
            let mut proxy = ProxyProcess::start(
                BINARY,
                &[
                    &format!("--proxy-lua-script={}", script.path.display()),
                    &format!("--proxy-backend-addresses={}", link.address()),
                    &format!("--proxy-backend-addresses={}", surviving.address()),
                ],
            );
            let (mut client, mut other) = (connect(&proxy), connect(&proxy));
            client.query("USE test").expect("the database is there");
            let query = format!("SELECT seq, REPEAT('x', 50) FROM seq_1_to_20 {kind}");
            let start = link.recorded(Direction::ToClient).len();
            client.query(&query).expect("the response is whole");
            let recorded = link.recorded(Direction::ToClient);
            let kept = place.min(recorded.len() - start - 1);
            let cut_after = Some((recorded.len() + kept) as u64);
            let faults = Faults {
                cut_after,
                ..Faults::default()
            };
            link.set(Direction::ToClient, faults);
            client.send_query(&query).expect("the proxy is there");
            if kind.is_empty() {
                assert_eq!(rest(&mut client), recorded[start..start + kept]);
            } else {
                let error = client.read_results().expect_err("the script had it");
                assert_eq!(error.code(), Some(2013), "{error}");
                assert_eq!(rest(&mut client), []);
            }
            only_session_1_is_lost(&mut proxy, &mut other, &link.address().to_string());
        }
    }
}
