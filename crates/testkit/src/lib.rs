//! What end-to-end tests need: real servers started and stopped, the real proxy, clients, and a link that
//! cuts, delays and splits bytes.
//!
//! Everything here panics with a sentence when the machine or a server lets the test down, has a deadline
//! for every wait, and cleans up whatever happens: processes die with the test that started them, even when
//! that is killed, and directories of killed tests are removed by the next one. Nothing that is shipped uses it.
//!
//! * [`MariaDb`], [`MariaDb118`], [`Mysql97`]: start a [`Server`] of one's own on a free port
//! * [`ProxyProcess`]: the proxy, with its log
//! * [`Client`], [`Login`], [`Connection`]: a client with control over every flag and byte
//! * [`FaultLink`]: a TCP relay that misbehaves when told to
//! * [`HaProxy`]: a load balancer that speaks the PROXY protocol
//! * [`FakeServer`]: a TCP server that does what a test says
//! * [`command`]: sysbench and the servers' own clients, ready to run
//! * [`Random`]: numbers that a seed repeats
//! * [`process`], [`ScratchDirectory`], [`wait`]: what these are made of

mod client;
pub mod command;
mod connection;
mod fake_server;
mod fault_link;
mod haproxy;
mod mariadb;
mod mysql97;
pub mod process;
mod proxy_process;
mod random;
mod scratch_directory;
mod server;
mod skip;
mod template;
pub mod wait;

pub use client::{AuthPath, Client, ClientError, Login, QueryResult};
pub use connection::{Connection, Recording};
pub use fake_server::FakeServer;
pub use fault_link::{Direction, FaultLink, Faults};
pub use haproxy::HaProxy;
pub use mariadb::{MariaDb, MariaDb118};
pub use mysql97::Mysql97;
pub use process::{Finished, Process};
pub use proxy_process::ProxyProcess;
pub use random::Random;
pub use scratch_directory::ScratchDirectory;
pub use server::Server;
pub use skip::skip;
