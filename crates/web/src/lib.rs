//! What the operator sees in a browser: a page with the state of the proxy, and the same as JSON under `/api`.
//!
//! Everything is part of the program; nothing is fetched from elsewhere. It reads and steers through `proxy::Control`, is
//! served by [`telemetry::Server`], and lets nobody in but the account of the admin interface.
//!
//! * [`mod@router`]: the paths, and what stands in front of them
//! * [`access`]: who may; [`logins`]: who is logged in; [`gates`]: how fast passwords can be tried
//! * [`api`]: what is read and done
//! * [`history`]: the last minutes, [`quantile`]: what their histograms say, [`stream`]: what pages are told each second
//! * [`assets`]: the page itself

mod access;
mod api;
mod assets;
mod gates;
mod history;
pub mod limits;
mod logins;
mod quantile;
mod router;
mod stream;

pub use router::router;
