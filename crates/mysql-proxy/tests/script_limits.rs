//! What scripts cannot do to the proxy: run for ever, eat its memory, let through what they were to guard.

mod scripted;

use std::fs;
use std::thread;

use testkit::{Client, MariaDb};

use scripted::{DEADLINE, ScriptFile, connect, value};

const RUNAWAY: &str = r#"
    function read_query(packet)
        if packet:sub(2) == "run away" then
            while true do pcall(function() while true do end end) end
        end
    end
"#;

#[test]
fn a_hook_that_runs_away_is_stopped_and_costs_one_err() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(RUNAWAY);
    let proxy = script.proxy(&[&server], &["--lua-hook-timeout=0.1"]);
    let (mut first, mut second) = (connect(&proxy), connect(&proxy));
    let error = first.query("run away").expect_err("it is stopped");
    assert_eq!(error.code(), Some(1105));
    assert!(error.to_string().contains("--lua-hook-timeout"), "{error}");
    let line = proxy.wait_for_log("(read_query) [string \"", DEADLINE);
    assert!(
        line.contains("script.lua\"]:4: stopped: it used more than"),
        "{line}"
    );
    // Both connections and new ones go on.
    assert_eq!(value(&mut first, "SELECT 1"), "1");
    assert_eq!(value(&mut second, "SELECT 2"), "2");
    assert_eq!(value(&mut connect(&proxy), "SELECT 3"), "3");
}

#[test]
fn sessions_of_another_state_notice_nothing_of_one_that_is_busy() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(RUNAWAY);
    let proxy = script.proxy(
        &[&server],
        &[
            "--lua-hook-timeout=5",
            "--lua-states=2",
            "--event-threads=2",
        ],
    );
    let (mut busy, mut other) = (connect(&proxy), connect(&proxy));
    let busy = thread::spawn(move || busy.query("run away").expect_err("it is stopped").code());
    // The worker and the state of the other one are free for as long as it takes.
    for _ in 0..50 {
        assert_eq!(value(&mut other, "SELECT 1"), "1");
    }
    assert!(!busy.is_finished(), "the machine is too slow for this test");
    assert_eq!(busy.join().expect("no panic"), Some(1105));
}

/// Waits, in a hook, for a file that is called like the script with `.go` behind it.
const BLOCKS: &str = r#"
    local name = debug.getinfo(1, "S").source
    proxy.global.state = proxy.global.state or proxy.shared.incr("states", 1, 0)
    function read_query(packet)
        if packet:byte() ~= proxy.COM_QUERY then return end
        if packet:sub(2) == "block" then
            print("blocks")
            os.execute("until [ -e " .. name .. ".go ]; do sleep 0.01; done")
        end
        proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
            fields = { { name = "state" } }, rows = { { proxy.global.state } } } }
        return proxy.PROXY_SEND_RESULT
    end
"#;

#[test]
fn sessions_of_another_state_notice_nothing_of_one_that_waits() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(BLOCKS);
    let options = ["--lua-states=2", "--event-threads=2"];
    let proxy = script.proxy(&[&server], &options);
    let mut clients: Vec<_> = (0..8).map(|_| connect(&proxy)).collect();
    // Some leave, others come: who gets which worker and which state follows no order any more.
    for leaves in [0, 1, 1] {
        clients.remove(leaves).quit().expect("a goodbye");
        clients.push(connect(&proxy));
    }
    let states: Vec<_> = clients
        .iter_mut()
        .map(|client| value(client, "state"))
        .collect();
    clients[0].send_query("block").expect("the proxy is there");
    proxy.wait_for_log("blocks", DEADLINE);
    let others = (0..clients.len()).filter(|&n| states[n] != states[0]);
    let others: Vec<_> = others.collect();
    assert!(!others.is_empty(), "all have state {}", states[0]);
    for n in others {
        assert_eq!(value(&mut clients[n], "state"), states[n]);
    }
    fs::write(format!("{}.go", script.path.display()), "").expect("the directory is ours");
    let answer = clients[0].read_results().expect("it has come back");
    assert_eq!(answer[0].text(), [[Some(states[0].clone())]]);
}

#[test]
fn what_is_inside_c_is_told_of_while_it_lasts() {
    let script = ScriptFile::new(
        r#"
        function read_query(packet)
            if packet:sub(2) == "match" then
                (("a"):rep(27)):find(("a-"):rep(9) .. "b")
            end
        end
        "#,
    );
    let server = MariaDb::start(&[]);
    let proxy = script.proxy(&[&server], &["--lua-hook-timeout=0.02"]);
    let mut client = connect(&proxy);
    let error = client.query("match").expect_err("it is stopped afterwards");
    assert_eq!(error.code(), Some(1105));
    proxy.wait_for_log("(read_query) has used", DEADLINE);
}

#[test]
fn a_script_that_guards_lets_nothing_through_when_it_fails() {
    let script = ScriptFile::new(
        r#"
        function read_auth()
            if proxy.connection.client.username == "adm" then error("no adm") end
        end
        function read_query(packet)
            if packet:sub(2):find("secret") then error("cannot tell") end
            if packet:byte() == proxy.COM_QUERY then
                proxy.queries:append(1, packet, { resultset_is_needed = true })
                return proxy.PROXY_SEND_QUERY
            end
        end
        function read_query_result(inj)
            for row in inj.resultset.rows do assert(row[1] ~= "42", "not this one") end
        end
        "#,
    );
    let server = MariaDb::start(&[]);
    let proxy = script.proxy(&[&server], &["--lua-on-hook-error=error"]);
    let error = Client::connect(proxy.address(), "adm", "adm").expect_err("it is guarded");
    assert!(error.to_string().contains("read_auth failed"), "{error}");
    let mut client = connect(&proxy);
    for sql in ["SELECT 'secret'", "SELECT 41 + 1"] {
        let error = client.query(sql).expect_err("it is guarded");
        assert_eq!(error.code(), Some(1105), "{error}");
        assert!(
            error.to_string().contains("failed, check error-log"),
            "{error}"
        );
    }
    assert_eq!(value(&mut client, "SELECT 43"), "43");
}

#[test]
fn a_state_that_has_used_up_its_memory_is_replaced() {
    let script = ScriptFile::new(
        r#"
        local kept = proxy.global.kept or {}
        proxy.global.kept = kept
        function read_query(packet)
            if packet:sub(2) == "fill" then
                while true do kept[#kept + 1] = ("x"):rep(65536) .. #kept end
            elseif packet:sub(2) == "count" then
                proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
                    fields = { { name = "kept" } }, rows = { { #kept } } } }
                return proxy.PROXY_SEND_RESULT
            end
        end
        "#,
    );
    let server = MariaDb::start(&[]);
    let proxy = script.proxy(&[&server], &["--lua-memory-limit=16777216"]);
    let mut old = connect(&proxy);
    old.query("fill")
        .expect_err("the hook fails, the server knows no `fill`");
    proxy.wait_for_log("not enough memory", DEADLINE);
    let mut new = connect(&proxy);
    proxy.wait_for_log("new connections get a fresh one", DEADLINE);
    assert_eq!(value(&mut new, "count"), "0");
    // The old connection has its state still.
    assert_eq!(value(&mut old, "SELECT 1"), "1");
    assert_eq!(proxy.count_in_log("new connections get a fresh one"), 1);
}

#[test]
fn all_states_share_proxy_shared() {
    let script = ScriptFile::new(
        r#"
        function read_query(packet)
            if packet:byte() ~= proxy.COM_QUERY then return end
            proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
                fields = { { name = "n" } }, rows = { { proxy.shared.incr("n", 1, 0) } } } }
            return proxy.PROXY_SEND_RESULT
        end
        "#,
    );
    let server = MariaDb::start(&[]);
    let proxy = script.proxy(&[&server], &["--lua-states=3"]);
    let mut clients: Vec<_> = (0..6).map(|_| connect(&proxy)).collect();
    let seen: Vec<_> = clients
        .iter_mut()
        .map(|client| value(client, "next"))
        .collect();
    assert_eq!(seen, ["1", "2", "3", "4", "5", "6"]);
}
