//! What SIGTERM means to sessions with a script: what it means to all others, and the last hook runs for each.

mod scripted;

use nix::sys::signal::Signal;
use testkit::{Client, Connection, MariaDb, ProxyProcess, Server, wait};

use scripted::{DEADLINE, ScriptFile, connect};

/// Nothing of these tests waits for the end of it.
const LONG: &str = "--shutdown-timeout=3600";
/// Nothing that is busy gets to its end within it.
const SHORT: &str = "--shutdown-timeout=0.5";
/// ER_SERVER_SHUTDOWN
const SHUTDOWN: Option<u16> = Some(1053);

/// Injects every query; the response to one that says so is kept.
const SCRIPT: &str = r#"
    function read_query(packet)
        if packet:byte() ~= proxy.COM_QUERY then return end
        if packet:find("block", 1, true) then
            print("blocks")
            os.execute("exec sleep 300")
        end
        proxy.queries:append(1, packet, { resultset_is_needed = packet:find("kept", 1, true) ~= nil })
        return proxy.PROXY_SEND_QUERY
    end
    function read_query_result(inj) end
    function disconnect_client() print("disconnected " .. proxy.connection.client.username) end
"#;

fn wait_until_runs(server: &Server, queries: usize) {
    let running = "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
    wait::until("the queries run", DEADLINE, || {
        server.query(running).len() == queries
    });
}

/// The process ended well, after the last hook of so many sessions.
#[track_caller]
fn ends_well(proxy: &mut ProxyProcess, sessions: usize) {
    assert_eq!(proxy.wait(DEADLINE).code(), Some(0));
    // Two states may print at the same time, and then two texts stand in one line.
    let lines = proxy.log();
    let hooks = lines
        .iter()
        .map(|line| line.matches("disconnected app").count());
    assert_eq!(hooks.sum::<usize>(), sessions, "{lines:#?}");
}

/// The client is told why, as the answer to its next command, and its connection is closed. One that comes right behind an answer
/// may still be served.
#[track_caller]
fn is_told(client: &mut Client) {
    let error = wait::poll(DEADLINE, || client.ping().err());
    let error = error.expect("the proxy has ended");
    assert_eq!(error.code(), SHUTDOWN, "{error}");
    wait::until("the close", DEADLINE, || client.connection().is_closed());
}

#[test]
fn idle_sessions_end_at_once_and_busy_ones_get_their_time() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(SCRIPT);
    let mut proxy = script.proxy(&[&server], &[LONG, "--lua-states=2"]);
    let mut idle = [connect(&proxy), connect(&proxy)];
    idle[1].query("SELECT 1").expect("it is served");
    let (mut passed_on, mut kept) = (connect(&proxy), connect(&proxy));
    let mut in_transaction = connect(&proxy);
    in_transaction.query("BEGIN /* kept */").expect("an OK");
    passed_on.send_query("SELECT SLEEP(2)").expect("it is sent");
    kept.send_query("SELECT SLEEP(2) /* kept */")
        .expect("it is sent");
    wait_until_runs(&server, 2);
    proxy.signal(Signal::SIGTERM);
    proxy.wait_for_log("draining 5 sessions", DEADLINE);
    idle.iter_mut().for_each(is_told);
    for client in [&mut passed_on, &mut kept] {
        let results = client.read_results().expect("it gets its time");
        assert_eq!(results[0].rows.len(), 1);
        is_told(client);
    }
    in_transaction.query("SELECT 1").expect("it goes on");
    in_transaction
        .query("COMMIT /* kept */")
        .expect("it goes on");
    is_told(&mut in_transaction);
    ends_well(&mut proxy, 5);
}

/// As SIGTERM: whoever asked gets an answer first.
#[test]
fn a_script_ends_the_process() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(&format!(
        "local chassis = require('chassis')
         local print = os.print
         {SCRIPT}
         local read_query_before = read_query
         function read_query(packet)
           if packet:find('shutdown', 1, true) then chassis.set_shutdown() end
           return read_query_before(packet)
         end"
    ));
    let mut proxy = script.proxy(&[&server], &[LONG, "--lua-states=2"]);
    let (mut idle, mut asking) = (connect(&proxy), connect(&proxy));
    let result = asking.query("SELECT 'shutdown'").expect("an answer");
    assert_eq!(result.rows.len(), 1);
    proxy.wait_for_log("the script shuts the proxy down", DEADLINE);
    proxy.wait_for_log("draining ", DEADLINE);
    is_told(&mut idle);
    is_told(&mut asking);
    ends_well(&mut proxy, 2);
}

#[test]
fn what_is_busy_for_too_long_is_told_and_ended() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(SCRIPT);
    let mut proxy = script.proxy(&[&server], &[SHORT]);
    let mut clients = ["", "/* kept */"].map(|kind| {
        let mut client = connect(&proxy);
        let query = format!("SELECT SLEEP(3600) {kind}");
        client.send_query(&query).expect("it is sent");
        client
    });
    wait_until_runs(&server, 2);
    proxy.signal(Signal::SIGTERM);
    for client in &mut clients {
        let error = client.read_results().expect_err("it takes too long");
        assert_eq!(error.code(), SHUTDOWN, "{error}");
    }
    ends_well(&mut proxy, 2);
}

/// What a hook waits for has no end that the proxy knows.
#[test]
fn a_hook_that_blocks_does_not_keep_the_process() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(SCRIPT);
    let mut proxy = script.proxy(&[&server], &[SHORT, "--event-threads=2"]);
    let mut clients = [connect(&proxy), connect(&proxy)];
    clients[0].send_query("block").expect("it is sent");
    proxy.wait_for_log("blocks", DEADLINE);
    clients[1].send_query("SELECT 1").expect("it is sent");
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.wait(DEADLINE).code(), Some(0));
    proxy.wait_for_log("a hook of the script does not come back", DEADLINE);
    for client in &mut clients {
        wait::until("the close", DEADLINE, || client.connection().is_closed());
    }
}

/// They wait for the only worker, and the one behind them for a place among them.
#[test]
fn clients_behind_a_hook_that_blocks_do_not_keep_the_process() {
    const CLIENTS: usize = 400;
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(SCRIPT);
    let mut proxy = script.proxy(&[&server], &[SHORT, "--event-threads=1"]);
    let mut blocking = connect(&proxy);
    blocking.send_query("block").expect("it is sent");
    proxy.wait_for_log("blocks", DEADLINE);
    let waiting = (0..CLIENTS).map(|_| Connection::tcp(proxy.address()));
    let waiting: Vec<_> = waiting.collect::<Result<_, _>>().expect("it listens");
    wait::until("clients are accepted", DEADLINE, || {
        proxy.open_files() > 260
    });
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.wait(DEADLINE).code(), Some(0));
    for connection in &waiting {
        wait::until("the close", DEADLINE, || connection.is_closed());
    }
}
