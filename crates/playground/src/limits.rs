//! Every bound of the server, with its unit and its reason.

use std::time::Duration;

/// Sessions of one server at a time, logged in or not; each one is a thread. A real server's `max_connections`.
pub const CONNECTIONS_MAX: usize = 151;

/// A client's packet: `max_allowed_packet`. Holds blobs to play with.
pub const PACKET_BYTES_MAX: usize = 16 << 20;

/// From the connection to the end of the login; a real server's `connect_timeout`.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Each wait for a command: a real server's `wait_timeout`.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(8 * 3600);

/// Each wait for the rest of a command that has started to come: a real server's `net_read_timeout`.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Each wait for a client to take bytes: a real server's `net_write_timeout`.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// One statement, `SLEEP` included: no query keeps a core busy for ever.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Each wait for another session's lock: a real server's `innodb_lock_wait_timeout`, but for the impatient.
pub const LOCK_WAIT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long [`Server::kill`](crate::Server::kill) waits for its sessions to notice.
pub const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Values of one resultset, which is held as a whole before it is sent.
pub const RESULT_BYTES_MAX: usize = 64 << 20;

/// Words and symbols of one COM_QUERY: each takes some 40 bytes while it is read.
pub const TOKENS_MAX: usize = 1 << 20;

/// Prepared statements of one session: a real server has 16,382 for all.
pub const PREPARED_STATEMENTS_MAX: usize = 1_000;

/// Texts and long data of a session's prepared statements together.
pub const PREPARED_BYTES_MAX: usize = 64 << 20;

/// User variables (`@name`) of one session.
pub const USER_VARIABLES_MAX: usize = 1_000;

/// What a user variable holds.
pub const USER_VARIABLE_BYTES_MAX: usize = 64 << 10;
