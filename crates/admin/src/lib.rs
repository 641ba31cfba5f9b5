//! What the operator sees and says: a MySQL server of one account whose statements are about the proxy, with scripts of the
//! operator's own; and the debug interface, which runs Lua.
//!
//! Knows nothing of how sessions work: what it shows and steers is a [`proxy::Control`].
//!
//! * [`Server`]: binds, then serves operators on a thread of its own
//! * [`login`]: who may
//! * [`session`]: command by command
//! * [`statement`]: what can be said, each with its columns
//! * [`Events`]: the latest lines of the log

mod events;
pub mod limits;
mod login;
mod resultset;
mod server;
mod session;
mod settings;
mod statement;

pub use events::{Event, Events};
pub use login::Account;
pub use server::Server;
pub use settings::{Configuration, Interface, LiveSettings, Settings};
pub use statement::{OptionChange, OptionOrigin, OptionValue};
