//! Peers that leave while a script's query runs: the one that is left behind is told or let go, the last hook is called
//! once, and the log says once who it was.

mod scripted;

use std::time::Duration;

use testkit::{Client, MariaDb, Mysql97, Server, wait};

use scripted::{DEADLINE, ScriptFile, connect};

/// Servers look for a client that is gone every five seconds.
const NOTICED: Duration = Duration::from_secs(30);

/// Runs two queries for each that says so; the response to one that says so is kept.
const SCRIPT: &str = r#"
    function read_query(packet)
        if packet:byte() ~= proxy.COM_QUERY then return end
        if packet:find("after another", 1, true) then
            proxy.queries:append(0, "\003SELECT SLEEP(0.3)", { resultset_is_needed = true })
        end
        proxy.queries:append(1, packet, { resultset_is_needed = packet:find("kept", 1, true) ~= nil })
        return proxy.PROXY_SEND_QUERY
    end
    function read_query_result(inj)
        if inj.id == 0 then return proxy.PROXY_IGNORE_RESULT end
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
