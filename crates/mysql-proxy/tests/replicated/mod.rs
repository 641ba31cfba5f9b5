//! A primary with a replica, and a shipped script in front of them.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test program that includes this uses a part of it"
)]

use testkit::{Client, MariaDb, ProxyProcess, Server};

use crate::scripted::{ScriptFile, value};
use crate::shipped;

pub(crate) struct Pair {
    pub(crate) primary: Server,
    pub(crate) replica: Server,
}

/// What [`server_id`] says.
pub(crate) const PRIMARY: &str = "1";
pub(crate) const REPLICA: &str = "2";

impl Pair {
    pub(crate) fn start() -> Self {
        let primary = MariaDb::start(&["--log-bin", "--binlog-format=ROW", "--server-id=1"]);
        let replica = MariaDb::start(&["--server-id=2", "--read-only=ON"]);
        for sql in [
            &format!(
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'repl', \
                 MASTER_PASSWORD = 'repl', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1",
                primary.port()
            ),
            "START SLAVE",
        ] {
            replica.query(sql);
        }
        primary.query("CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, tag VARCHAR(64))");
        let pair = Self { primary, replica };
        pair.catch_up();
        pair
    }

    /// The replica has all that the primary has.
    pub(crate) fn catch_up(&self) {
        let position = self.primary.query("SELECT @@gtid_binlog_pos");
        let position = position[0][0].clone().expect("a position");
        let sql = format!("SELECT MASTER_GTID_WAIT('{position}', 60)");
        assert_eq!(self.replica.query(&sql)[0][0].as_deref(), Some("0"));
    }

    /// With the shipped script of this name.
    pub(crate) fn proxy(&self, script: &str, more: &[&str]) -> ProxyProcess {
        let replica = self.replica_option();
        shipped::proxy(
            script,
            &[&self.primary],
            &[&[replica.as_str()], more].concat(),
        )
    }

    /// And with settings for it.
    pub(crate) fn proxy_with(&self, script: &str, settings: &str) -> (ScriptFile, ProxyProcess) {
        let replica = self.replica_option();
        shipped::with_settings(script, settings, &[&self.primary], &[&replica])
    }

    fn replica_option(&self) -> String {
        format!(
            "--proxy-read-only-backend-addresses={}",
            self.replica.address()
        )
    }
}

/// Which server a statement runs on.
pub(crate) fn server_id(client: &mut Client) -> String {
    value(client, "SELECT @@server_id")
}
