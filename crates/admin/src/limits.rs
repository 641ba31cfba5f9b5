//! Bounds of what an operator's connection may take.

use std::time::Duration;

/// Operators at once. One more is told so and closed.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// A statement, or a piece of Lua. Longer ones end the connection.
pub(crate) const COMMAND_BYTES_MAX: usize = 1024 * 1024;
/// Each wait for a packet of the login.
pub(crate) const LOGIN_TIMEOUT: Duration = Duration::from_secs(8);
/// Between two commands, as for clients of the proxy.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(8 * 3600);
/// For the operator to take an answer.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// What a wrong password costs: with [`CONNECTIONS_MAX`] it bounds how many can be tried.
pub(crate) const DENIAL_PAUSE: Duration = Duration::from_millis(500);
