//! The shipped scripts that choose servers for clients that only read: ro-balance, ro-pooling.

mod replicated;
mod scripted;
mod shipped;

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::Command;
use testkit::{Client, MariaDb, Mysql97, ProxyProcess, Server, command, process, wait};

use replicated::{PRIMARY, Pair, REPLICA, server_id};
use scripted::{DEADLINE, ScriptFile, code, connect, value};

/// Servers of some new clients, which leave again.
fn servers_of_new_clients(proxy: &ProxyProcess) -> BTreeSet<String> {
    let mut clients: Vec<_> = (0..4).map(|_| connect(proxy)).collect();
    clients.iter_mut().map(server_id).collect()
}

/// New clients may still find the counts of those that have just left.
fn wait_until_both_serve(proxy: &ProxyProcess) {
    wait::until("both get new clients", DEADLINE, || {
        servers_of_new_clients(proxy).len() == 2
    });
}

/// A new client of this server, while others have the other one.
fn client_of(proxy: &ProxyProcess, id: &str) -> Client {
    let mut others = Vec::new();
    let client = wait::poll(DEADLINE, || {
        let mut client = connect(proxy);
        if server_id(&mut client) == id {
            return Some(client);
        }
        others.push(client);
        None
    });
    client.expect("it gets new clients")
}

fn allow_checks(pair: &Pair) {
    pair.primary.query("GRANT SLAVE MONITOR ON *.* TO app@'%'");
    pair.catch_up();
}

#[test]
fn ro_balance() {
    let pair = Pair::start();
    let proxy = pair.proxy("ro-balance", &[]);
    let mut clients: Vec<_> = (0..6).map(|_| connect(&proxy)).collect();
    let ids: Vec<_> = clients.iter_mut().map(server_id).collect();
    for id in [PRIMARY, REPLICA] {
        assert_eq!(ids.iter().filter(|&of| of == id).count(), 3, "{ids:?}");
    }
    // The user may not check.
    proxy.wait_for_log("SHOW REPLICA STATUS fails for user app", DEADLINE);
    // The place of one that leaves is taken; the others stay where they are.
    let at_replica = ids.iter().position(|id| id == REPLICA);
    drop(clients.remove(at_replica.expect("some are there")));
    wait::until("its place is taken", DEADLINE, || {
        server_id(&mut connect(&proxy)) == REPLICA
    });
    let ids: Vec<_> = clients.iter_mut().map(server_id).collect();
    assert_eq!(ids.iter().filter(|&of| of == REPLICA).count(), 2, "{ids:?}");
}

#[test]
fn ro_balance_leaves_out_replicas_that_do_not_replicate() {
    let pair = Pair::start();
    allow_checks(&pair);
    let (_script, proxy) = pair.proxy_with(
        "ro-balance",
        "ro_balance = { check_seconds = 0, retry_seconds = 0 }",
    );
    wait_until_both_serve(&proxy);
    let mut stays = client_of(&proxy, REPLICA);
    pair.replica.query("STOP SLAVE");
    // A client of the replica notices, and keeps it.
    assert_eq!(server_id(&mut stays), REPLICA);
    let line = proxy.wait_for_log("gets no new clients: it does not replicate", DEADLINE);
    assert!(line.contains(&pair.replica.address().to_string()), "{line}");
    assert_eq!(
        servers_of_new_clients(&proxy),
        BTreeSet::from([PRIMARY.to_owned()])
    );
    pair.replica.query("START SLAVE");
    pair.catch_up();
    wait::until("it is back", DEADLINE, || {
        server_id(&mut stays);
        proxy.count_in_log("gets clients again") == 1
    });
    wait_until_both_serve(&proxy);

    // With nobody there, a new client looks: in vain, then not.
    pair.replica.query("STOP SLAVE SQL_THREAD");
    server_id(&mut stays);
    drop(stays);
    let mut refused = None;
    wait::until("one looks", DEADLINE, || {
        let mut client = connect(&proxy);
        refused = client.value("SELECT 1").err();
        refused.is_some()
    });
    let refused = refused.expect("it is refused");
    assert_eq!(refused.code(), Some(1053));
    assert!(refused.to_string().contains("connect again"), "{refused}");
    pair.replica.query("START SLAVE");
    pair.catch_up();
    wait::until("one finds it good", DEADLINE, || {
        connect(&proxy).value("SELECT 1").ok();
        proxy.count_in_log("gets clients again") == 2
    });
    wait_until_both_serve(&proxy);
}

#[test]
fn ro_balance_leaves_out_replicas_that_lag() {
    let pair = Pair::start();
    allow_checks(&pair);
    let (_script, proxy) = pair.proxy_with(
        "ro-balance",
        "ro_balance = { check_seconds = 0, max_lag_seconds = 1, uses_primary = false }",
    );
    let mut client = connect(&proxy);
    assert_eq!(server_id(&mut client), REPLICA);
    for sql in [
        "STOP SLAVE",
        "CHANGE MASTER TO MASTER_DELAY = 600",
        "START SLAVE",
    ] {
        pair.replica.query(sql);
    }
    pair.primary
        .query("INSERT INTO test.t (tag) VALUES ('late')");
    wait::until("it lags", DEADLINE, || {
        server_id(&mut client);
        proxy.count_in_log("s behind") == 1
    });
    // No replica is left.
    assert_eq!(server_id(&mut connect(&proxy)), PRIMARY);
    // What is about the statement before has none in front of it.
    client
        .query("SELECT SQL_CALC_FOUND_ROWS 1 UNION SELECT 2 LIMIT 1")
        .expect("a row");
    assert_eq!(value(&mut client, "SELECT FOUND_ROWS()"), "2");
}

#[test]
fn ro_balance_checks_mysql() {
    let Some(replica) = Mysql97::start(&[]) else {
        return;
    };
    let primary = MariaDb::start(&[]);
    replica.query("GRANT REPLICATION CLIENT ON *.* TO app@'%'");
    let option = format!("--proxy-read-only-backend-addresses={}", replica.address());
    let (_script, proxy) = shipped::with_settings(
        "ro-balance",
        "ro_balance = { check_seconds = 0, uses_primary = false }",
        &[&primary],
        &[&option],
    );
    let mut client = connect(&proxy);
    assert_eq!(
        value(&mut client, "SELECT @@port"),
        replica.port().to_string()
    );
    proxy.wait_for_log("gets no new clients: it is no replica", DEADLINE);
    let mut other = connect(&proxy);
    assert_eq!(
        value(&mut other, "SELECT @@port"),
        primary.port().to_string()
    );
}

/// How many connections of clients each server has.
fn connections(server: &Server) -> usize {
    let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'";
    let count = server.query(sql)[0][0].clone().expect("a number");
    count.parse().expect("a number")
}

#[test]
fn ro_pooling() {
    let pair = Pair::start();
    let (_script, proxy): (ScriptFile, _) = pair.proxy_with(
        "ro-pooling",
        "ro_pooling = { min_idle_connections = 2, max_idle_connections = 3 }",
    );
    let both = || (connections(&pair.primary), connections(&pair.replica));
    // Logins fill both; then they take over what is there.
    let mut clients: Vec<_> = (0..20).map(|_| connect(&proxy)).collect();
    assert_eq!(both(), (3, 3));
    let mut ids = BTreeSet::new();
    for client in &mut clients {
        client.query("USE test").expect("an OK");
        assert_eq!(server_id(client), REPLICA);
        assert_eq!(value(client, "SELECT DATABASE()"), "test");
        ids.insert(value(client, "SELECT CONNECTION_ID()"));
    }
    assert_eq!(ids.len(), 3, "{ids:?}");
    // A transaction keeps its connection, and so does a prepared statement.
    let client = &mut clients[0];
    client.query("START TRANSACTION READ ONLY").expect("an OK");
    let mine = value(client, "SELECT CONNECTION_ID()");
    let client = &mut clients[1];
    client
        .send_command(Command::STMT_PREPARE, b"SELECT 7")
        .expect("sent");
    client.read_payload().expect("COM_STMT_PREPARE_OK");
    client.read_payload().expect("a definition");
    for _ in 0..5 {
        assert_eq!(value(&mut clients[0], "SELECT CONNECTION_ID()"), mine);
        assert_ne!(value(&mut clients[2], "SELECT CONNECTION_ID()"), mine);
    }
    // Warnings, errors and found rows are those of the statement before.
    let (client, other) = clients.split_at_mut(3);
    let client = &mut client[2];
    client.query("SELECT 'x' + 1").expect("a warning");
    assert_eq!(client.query("SHOW WARNINGS").expect("rows").text().len(), 1);
    assert_eq!(code(client.query("SELECT nothing")), Some(1054));
    let other = &mut other[0];
    for sql in ["SHOW WARNINGS", "SHOW ERRORS LIMIT 1"] {
        assert_eq!(other.query(sql).expect("no rows").text().len(), 0);
    }
    assert_eq!(client.query("SHOW ERRORS").expect("rows").text().len(), 1);
    client
        .query("SELECT SQL_CALC_FOUND_ROWS 1 UNION SELECT 2 LIMIT 1")
        .expect("a row");
    assert_eq!(value(client, "SELECT FOUND_ROWS()"), "2");
    other
        .query("SELECT 1 UNION SELECT 2 UNION SELECT 3")
        .expect("rows");
    client.query("SELECT 1").expect("a row");
    assert_eq!(value(other, "SELECT FOUND_ROWS()"), "3");
    // No more than three stay, of connections that came later as well.
    drop(clients);
    wait::until("surplus connections are closed", DEADLINE, || {
        let (primary, replica) = both();
        primary <= 3 && replica <= 3
    });
    let mut last = connect(&proxy);
    assert_eq!(value(&mut last, "SELECT 5"), "5");
    assert_eq!(proxy.count_in_log("read_query"), 0);
}

#[test]
fn load_multi_runs_a_router_among_watchers() {
    let pair = Pair::start();
    let settings = format!(
        "load_multi = {{ scripts = 'active-queries rw-splitting histogram', directory = '{}' }}",
        shipped::directory().display()
    );
    let (_script, proxy) = pair.proxy_with("load-multi", &settings);
    let mut clients: Vec<_> = (0..4).map(|_| connect(&proxy)).collect();
    let client = &mut clients[0];
    assert_eq!(server_id(client), REPLICA);
    client
        .query("INSERT INTO test.t (tag) VALUES ('a')")
        .expect("the primary takes it");
    assert_eq!(value(client, "SELECT LAST_INSERT_ID()"), "1");
    client.query("BEGIN").expect("an OK");
    assert_eq!(server_id(client), PRIMARY);
    let idle = clients[1].query("SELECT * FROM active_queries");
    assert_eq!(idle.expect("rows").text().len(), 1);
    clients[0].query("COMMIT").expect("an OK");
    let kinds = clients[1].query("SELECT * FROM histogram.queries");
    let kinds = kinds.expect("rows").text();
    let counted = kinds
        .iter()
        .find(|row| row[0].as_deref() == Some("SELECT @@server_id "));
    assert_eq!(counted.expect("its kind")[1].as_deref(), Some("2"));
    assert_eq!(proxy.count_in_log("load-multi: "), 0);
}

/// Transactions from eight threads, prepared where a prepared statement does not hold a shared connection.
#[test]
fn sysbench_finds_nothing_wrong() {
    let pair = Pair::start();
    let sysbench = |address, arguments: &[&str]| {
        let mut sysbench = command::sysbench(address, "oltp_read_write");
        sysbench.args(arguments);
        process::run(sysbench, Duration::from_secs(60)).expect_success();
    };
    sysbench(pair.primary.address(), &["prepare"]);
    pair.catch_up();
    let all = format!(
        "load_multi = {{ directory = '{}', on_hook_error = 'error',
           scripts = 'auditing active-queries active-transactions histogram analyze-query rw-splitting' }}",
        shipped::directory().display()
    );
    for (script, settings, shares) in [
        ("active-queries", "x = {}", false),
        ("active-transactions", "x = {}", false),
        ("histogram", "x = {}", false),
        ("analyze-query", "x = {}", false),
        ("auditing", "x = {}", false),
        ("rw-splitting", "x = {}", true),
        ("load-multi", &all, true),
    ] {
        let (_script, proxy) = pair.proxy_with(script, settings);
        let mode = if shares { "disable" } else { "auto" };
        let mode = format!("--db-ps-mode={mode}");
        sysbench(proxy.address(), &[&mode, "--threads=8", "--time=1", "run"]);
        for fault in ["(critical)", "(error)", "LOST"] {
            assert_eq!(proxy.count_in_log(fault), 0, "{script}: {fault}");
        }
        if script == "load-multi" {
            let mut client = connect(&proxy);
            for name in ["active_queries", "active_transactions"] {
                wait::until(name, DEADLINE, || {
                    let left = client.query(&format!("SELECT * FROM {name}"));
                    left.expect("rows").text().is_empty()
                });
            }
        }
    }
}

#[test]
fn ro_pooling_outlives_its_servers() {
    let mut replica = MariaDb::start(&[]);
    let primary = MariaDb::start(&[]);
    let option = format!("--proxy-read-only-backend-addresses={}", replica.address());
    let proxy = shipped::proxy("ro-pooling", &[&primary], &[&option]);
    let mut clients: Vec<_> = (0..4).map(|_| connect(&proxy)).collect();
    let port = |client: &mut Client| client.value("SELECT @@port");
    for client in &mut clients {
        assert_eq!(port(client).expect("a row"), replica.port().to_string());
    }
    replica.kill9();
    wait::until("all are at the primary", DEADLINE, || {
        clients.iter_mut().all(|client| match port(client) {
            Ok(at) => at == primary.port().to_string(),
            Err(_) => {
                *client = connect(&proxy);
                false
            }
        })
    });
    replica.restart();
    wait::until("the replica serves again", DEADLINE, || {
        clients.push(connect(&proxy));
        port(&mut clients[0]).expect("a row") == replica.port().to_string()
    });
}
