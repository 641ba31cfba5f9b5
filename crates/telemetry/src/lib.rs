//! What the proxy tells machines over HTTP: `/metrics` in OpenMetrics' text format, `/live` and `/ready`.
//!
//! Reads through `proxy::Control` alone, on a thread and a runtime of its own: a scrape costs the sessions nothing.
//!
//! * [`metric`]: every metric, declared once with its meaning
//! * [`snapshot`]: what they are made of, read at one moment
//! * [`server`]: who asks, and what they get

mod exposition;
pub mod limits;
pub mod metric;
mod server;
mod snapshot;

pub use server::Server;
