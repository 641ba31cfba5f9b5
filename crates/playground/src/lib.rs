//! A MySQL-speaking server over embedded SQLite, to try and to test a proxy with no MySQL at all.
//!
//! [`Server`] listens, logs clients in ([`USER`], [`PASSWORD`]; mysql_native_password or caching_sha2_password), runs text
//! and prepared statements on a small sample database ([`DATABASE`]) and answers with MySQL's error codes.
//! `SELECT @@hostname` says which server answered.
//!
//! [`Client`] is as much of a client as shows it.
//!
//! It is no MySQL: SQLite decides what a statement means, all text is UTF-8, affected rows are matched rows, nothing
//! outlives the [`Server`] value, and an open transaction that wrote keeps the other sessions out. There is no TLS and no compression, and there are no query attributes, accounts,
//! procedures or replication. What clients send is not trusted: every buffer, result and wait is bounded in [`limits`].

mod client;
mod failure;
pub mod limits;
mod login;
mod packet_stream;
mod server;
mod session;
mod session_handle;
mod sql;

pub use client::{Client, ClientError};
pub use server::Server;

/// The one account.
pub const USER: &str = "playground";
/// Its password.
pub const PASSWORD: &str = "playground";
/// The one database; it holds the table `films`.
pub const DATABASE: &str = "playground";
