//! The playground's server, seen by real clients: mysql_async, the `mariadb` command line, and one that says what no
//! real client does.

mod connection_phase;
mod drivers;
mod hostile;
mod lifecycle;
mod prepared_statements;
mod statements;

use std::net::{Ipv4Addr, SocketAddr};

use playground::{PASSWORD, Server, USER};
use testkit::{Client, ClientError, Connection, Login};

/// A server of the test's own, on a free port.
fn server() -> Server {
    Server::start("a", SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a server starts")
}

fn login() -> Login {
    Login::new(USER, PASSWORD)
}

fn connect(server: &Server) -> Client {
    connect_with(server, &login()).expect("the account logs in")
}

fn connect_with(server: &Server, login: &Login) -> Result<Client, ClientError> {
    login.connect(Connection::tcp(server.address()).expect("the server listens"))
}

/// The error code of a statement that fails.
fn error_code(client: &mut Client, sql: &str) -> u16 {
    let error = client.query_all(sql).expect_err(sql);
    error.code().unwrap_or_else(|| panic!("{sql}: {error}"))
}
