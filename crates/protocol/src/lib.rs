//! What MySQL and MariaDB say to each other: packets, the connection phase, authentication,
//! generic responses, resultsets, and where a response ends.
//!
//! Pure: bytes in, values out. There is no I/O here, no clock and no runtime, and nothing knows that a proxy exists.
//! Decoding never panics, never allocates beyond [`limits`], and leaves no trailing byte unnoticed.
//!
//! The words and layouts follow the protocol pages of the MySQL server's source documentation
//! (`PAGE_PROTOCOL`) and MariaDB's "Client/Server Protocol"; each module names the page it follows.
//!
//! * [`wire`]: integers and strings as packets hold them
//! * [`packet`]: header, sequence id, payloads split at 16 MiB
//! * [`connection_phase`]: from the server's greeting to the end of the login
//! * [`auth`]: the authentication methods, both sides
//! * [`command`]: the commands and which kind of response each one gets
//! * [`change_user`], [`query`], [`prepared_statement`]: the commands that hold more than a text
//! * [`response`]: OK, ERR, EOF
//! * [`resultset`]: column definitions, rows, values
//! * [`response_tracker`]: finds the end of any response without decoding rows

pub mod auth;
pub mod capabilities;
pub mod change_user;
pub mod command;
pub mod connection_phase;
mod error;
pub mod limits;
pub mod packet;
pub mod prepared_statement;
pub mod query;
pub mod response;
pub mod response_tracker;
pub mod resultset;
pub mod status_flags;
pub mod wire;

pub use capabilities::Capabilities;
pub use command::Command;
pub use error::DecodeError;
pub use response_tracker::ResponseTracker;
pub use status_flags::StatusFlags;
