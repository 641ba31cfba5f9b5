//! What the proxy tells machines over HTTP: `/metrics` in OpenMetrics' text format, `/live` and `/ready`.
//!
//! Reads through `proxy::Control` alone, on a thread and a runtime of its own: a scrape costs the sessions nothing.
//!
//! * [`metric`]: every metric, declared once with its meaning
//! * [`snapshot`]: what they are made of, read at one moment
//! * [`tls`]: the certificate, which may change
//! * [`server`]: who asks, and what they get; it serves what others put beside, too

mod exposition;
pub mod limits;
pub mod metric;
mod server;
mod snapshot;
mod tls;

pub use server::{Peer, Server};
pub use tls::{Tls, TlsAcceptor};
