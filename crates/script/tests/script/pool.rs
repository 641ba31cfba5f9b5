//! `proxy.connection.backend_ndx` and the backends' idle connections.

use std::sync::Arc;

use script::{BackendView, Connection, Hold, Hook, Login, Peer};

use crate::support::{Bench, CALCULATOR, FakeBackend, logged};

/// Logged in as anna on the first of two backends, which have the idle connections of these users.
fn connection(
    bench: &mut Bench,
    idle: [&[&'static str]; 2],
) -> (Box<Connection>, [Arc<FakeBackend>; 2]) {
    let mut connection = bench.open();
    let backends = idle.map(|users| {
        let backend = FakeBackend::new("127.0.0.1:3306");
        *backend.idle.lock().expect("no thread panicked") = users.to_vec();
        Arc::new(backend)
    });
    connection.backends = backends
        .iter()
        .map(|backend| Arc::clone(backend) as Arc<dyn BackendView>)
        .collect();
    connection.client.login = Some(Login {
        username: b"anna".to_vec(),
        ..Login::default()
    });
    connection.is_logged_in = true;
    connection.server = Some(Peer {
        default_db: b"attached".to_vec(),
        ..Peer::default()
    });
    connection.backend_ndx = 1;
    connection.hold = Hold::Free;
    (connection, backends)
}

fn idle(backend: &FakeBackend) -> Vec<&'static str> {
    backend.idle.lock().expect("no thread panicked").clone()
}

#[test]
fn zero_gives_the_server_up() {
    let mut bench = Bench::new(CALCULATOR);
    let (mut connection, _) = connection(&mut bench, [&[], &[]]);
    let set = "(function() proxy.connection.backend_ndx = 0 return proxy.connection.server end)()";
    assert_eq!(bench.answer(&mut connection, set), "nil");
    assert!(connection.is_released);
    assert_eq!(connection.backend_ndx, 0);
}

#[test]
fn one_that_is_pinned_stays_and_the_log_says_why() {
    for hold in [Hold::Pinned("a transaction is open"), Hold::Vacant] {
        for ndx in [0, 2] {
            let mut bench = Bench::new(CALCULATOR);
            let (mut connection, backends) = connection(&mut bench, [&[], &["anna"]]);
            connection.hold = hold;
            if hold == Hold::Vacant && ndx == 2 {
                continue;
            }
            let set = format!(
                "(function() proxy.connection.backend_ndx = {ndx} return proxy.connection.server.default_db end)()"
            );
            let (answer, lines) = logged(|| bench.answer(&mut connection, &set));
            assert_eq!(answer, "attached");
            assert_eq!(connection.backend_ndx, 1);
            assert!(!connection.is_released);
            assert_eq!(idle(&backends[1]), ["anna"]);
            assert!(
                lines.iter().any(|line| line.contains("pinned: ")),
                "{lines:?}"
            );
        }
    }
}

#[test]
fn a_number_takes_an_idle_connection_of_the_clients_user_alone() {
    let mut bench = Bench::new(CALCULATOR);
    let (mut connection, backends) = connection(&mut bench, [&[], &["root", "anna"]]);
    let count =
        |user: &str| format!("proxy.global.backends[2].pool.users['{user}'].cur_idle_connections");
    assert_eq!(bench.answer(&mut connection, &count("anna")), "1");
    assert_eq!(bench.answer(&mut connection, &count("")), "2");
    let take = "(function() proxy.connection.backend_ndx = 2 return proxy.connection.server.default_db end)()";
    assert_eq!(bench.answer(&mut connection, take), "anna");
    assert!(connection.is_released);
    assert!(connection.taken.is_some());
    assert_eq!(idle(&backends[1]), ["root"]);
}

#[test]
fn without_an_idle_one_the_number_is_all_that_changes() {
    let mut bench = Bench::new(CALCULATOR);
    let (mut connection, backends) = connection(&mut bench, [&[], &["root"]]);
    for ndx in ["2", "99"] {
        let take = format!(
            "(function() proxy.connection.backend_ndx = {ndx} return proxy.connection.server.default_db end)()"
        );
        assert_eq!(bench.answer(&mut connection, &take), "attached");
        assert_eq!(connection.backend_ndx.to_string(), ndx);
    }
    assert!(!connection.is_released && connection.taken.is_none());
    assert_eq!(idle(&backends[1]), ["root"]);
}

#[test]
fn what_was_taken_in_the_same_hook_goes_back_first() {
    let mut bench = Bench::new(CALCULATOR);
    let (mut connection, backends) = connection(&mut bench, [&["anna"], &["anna"]]);
    let take = "(function()
        proxy.connection.backend_ndx = 1
        proxy.connection.backend_ndx = 2
        proxy.connection.backend_ndx = 0
        return proxy.connection.backend_ndx end)()";
    assert_eq!(bench.answer(&mut connection, take), "0");
    assert!(connection.is_released && connection.taken.is_none());
    // The fake puts everything back to the first.
    assert_eq!(idle(&backends[0]).len() + idle(&backends[1]).len(), 2);
}

#[test]
fn before_the_login_another_users_connection_will_do() {
    let mut bench = Bench::new(
        "function connect_server()
           proxy.connection.backend_ndx = 1
           if proxy.connection.server then return proxy.PROXY_IGNORE_RESULT end
         end",
    );
    let (mut connection, backends) = connection(&mut bench, [&["root"], &[]]);
    connection.client.login = None;
    connection.is_logged_in = false;
    connection.hold = Hold::Vacant;
    connection.server = None;
    let decision = bench.state.call(&mut connection, Hook::ConnectServer);
    assert_eq!(decision, script::Decision::IgnoreResult);
    assert!(connection.taken.is_some());
    assert!(idle(&backends[0]).is_empty());
}
