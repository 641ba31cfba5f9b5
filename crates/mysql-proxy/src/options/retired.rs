//! Plugins of MySQL Proxy 0.8.5 that are gone, and their options: each says what to use instead.
//!
//! On the command line they are refused; 0.8.5 did not know the options of a plugin that it had not loaded. A file may
//! have kept them for long: there they are ignored, as they were, with a warning.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

const REPLICANT: &str = "the plugin replicant is gone; mysqlbinlog and mariadb-binlog read binlogs, and replicas replicate through \
                         the proxy without it";
const CLI: &str = "the plugin cli is gone; use the client mysql or mariadb (what may be meant here: --proxy-address, --user, \
                   --admin-username, --admin-password)";

/// By long name.
const OPTIONS: [(&str, &str); 7] = [
    ("replicant-master-address", REPLICANT),
    ("replicant-username", REPLICANT),
    ("replicant-password", REPLICANT),
    ("replicant-read-binlogs", REPLICANT),
    ("address", CLI),
    ("username", CLI),
    ("password", CLI),
];

/// What to use instead of a plugin. `client` is how cli called itself.
pub(super) fn plugin(name: &str) -> Option<&'static str> {
    match name {
        "replicant" => Some(REPLICANT),
        "cli" | "client" => Some(CLI),
        _ => None,
    }
}

/// What to use instead of an option.
pub(super) fn option(long: &str) -> Option<&'static str> {
    let mut options = OPTIONS.iter();
    options
        .find(|(name, _)| *name == long)
        .map(|(_, instead)| *instead)
}

/// The options, each of which refuses any value. Their ids are their own: `address` is a field of the proxy's.
pub(super) fn arguments() -> impl Iterator<Item = Arg> {
    OPTIONS.iter().map(|&(long, instead)| {
        Arg::new(format!("retired-{long}"))
            .long(long)
            .value_name("VALUE")
            .hide(true)
            .value_parser(Refused(instead))
    })
}

/// Refuses every value, with the reason.
#[derive(Debug, Clone, Copy)]
struct Refused(&'static str);

impl TypedValueParser for Refused {
    type Value = ();

    fn parse_ref(
        &self,
        command: &Command,
        option: Option<&Arg>,
        _: &OsStr,
    ) -> Result<(), clap::Error> {
        let mut error = clap::Error::raw(ErrorKind::ValueValidation, self.0).with_cmd(command);
        if let Some(option) = option {
            error.insert(
                ContextKind::InvalidArg,
                ContextValue::String(option.to_string()),
            );
        }
        Err(error)
    }
}
