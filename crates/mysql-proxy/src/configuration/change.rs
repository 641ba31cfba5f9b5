//! Which options change while the process runs, when that counts, and what is told of it.

use admin::OptionChange;
use backend::Availability;
use proxy::{Control, Standing};

use crate::options::GivenOption;

/// When a change counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Now,
    ForNewConnections,
    /// For the connections of the script's users as well, from the next client on.
    ForScripts,
    ForBackends,
    /// It has none.
    WithoutEffect,
}

/// Everything else needs a restart.
const LIVE: &[(&str, Counts)] = &[
    ("proxy-backend-addresses", Counts::ForBackends),
    ("proxy-read-only-backend-addresses", Counts::ForBackends),
    ("proxy-balance", Counts::ForNewConnections),
    ("max-connections", Counts::ForNewConnections),
    ("max-connection-rate", Counts::ForNewConnections),
    ("proxy-protocol-networks", Counts::ForNewConnections),
    ("server-proxy-protocol", Counts::ForNewConnections),
    ("client-ssl-mode", Counts::ForNewConnections),
    ("ssl-cert", Counts::ForNewConnections),
    ("ssl-key", Counts::ForNewConnections),
    ("ssl-ca", Counts::ForNewConnections),
    ("ssl-cipher", Counts::ForNewConnections),
    ("tls-version", Counts::ForNewConnections),
    ("ssl-dir", Counts::ForNewConnections),
    ("server-ssl-mode", Counts::ForNewConnections),
    ("server-ssl-ca", Counts::ForNewConnections),
    ("server-ssl-cert", Counts::ForNewConnections),
    ("server-ssl-key", Counts::ForNewConnections),
    ("client-compression", Counts::ForNewConnections),
    ("server-compression", Counts::ForNewConnections),
    ("proxy-connect-timeout", Counts::ForNewConnections),
    ("proxy-greeting-timeout", Counts::ForNewConnections),
    ("proxy-login-timeout", Counts::ForNewConnections),
    ("proxy-read-timeout", Counts::ForNewConnections),
    ("proxy-write-timeout", Counts::ForNewConnections),
    ("shutdown-timeout", Counts::Now),
    ("upgrade-timeout", Counts::Now),
    ("proxy-lua-script", Counts::ForNewConnections),
    ("lua-on-load-error", Counts::ForScripts),
    ("lua-on-hook-error", Counts::ForScripts),
    ("lua-hook-timeout", Counts::ForScripts),
    ("lua-memory-limit", Counts::ForScripts),
    ("lua-result-limit", Counts::ForNewConnections),
    ("max-packet-bytes", Counts::ForNewConnections),
    ("proxy-pool-reset", Counts::ForNewConnections),
    ("proxy-pool-wait", Counts::ForNewConnections),
    ("admin-username", Counts::ForNewConnections),
    ("admin-password", Counts::ForNewConnections),
    ("admin-lua-script", Counts::ForNewConnections),
    ("log-level", Counts::Now),
    ("log-format", Counts::Now),
    ("log-backtrace-on-crash", Counts::Now),
    ("proxy-pool-no-change-user", Counts::WithoutEffect),
    ("plugin-dir", Counts::WithoutEffect),
    ("proxy-skip-profiling", Counts::WithoutEffect),
    ("proxy-fix-bug-25371", Counts::WithoutEffect),
];

const NEEDS_RESTART: &str = "needs a restart: stays as it is until then";

/// What counts once `wanted` is read: of what needs a restart that which runs.
pub(super) fn effective(running: &[GivenOption], wanted: &[GivenOption]) -> Vec<GivenOption> {
    let both = running.iter().zip(wanted);
    both.map(|(running, wanted)| match counts(&wanted.name) {
        Some(_) => wanted.clone(),
        None => running.clone(),
    })
    .collect()
}

/// Where `wanted` differs from what ran. `backends` is what became of them.
pub(super) fn changes(
    running: &[GivenOption],
    wanted: &[GivenOption],
    backends: &[String],
) -> Vec<OptionChange> {
    let both = running.iter().zip(wanted);
    let changed = both.filter(|(running, wanted)| !running.has_value_of(wanted));
    changed
        .map(|(running, wanted)| OptionChange {
            name: wanted.name.clone(),
            old: running.shown(),
            new: wanted.shown(),
            outcome: outcome(wanted, backends),
        })
        .collect()
}

fn counts(name: &str) -> Option<Counts> {
    let of_name = LIVE.iter().find(|(live, _)| *live == name);
    of_name.map(|(_, counts)| *counts)
}

fn outcome(option: &GivenOption, backends: &[String]) -> String {
    let changed = match option.is_secret() {
        true => "changed, is not shown: ",
        false => "changed: ",
    };
    let counts = match counts(&option.name) {
        None => return NEEDS_RESTART.to_owned(),
        Some(Counts::WithoutEffect) => return "has no effect".to_owned(),
        Some(Counts::ForBackends) if backends.is_empty() => {
            return "changed: the same backends".to_owned();
        }
        Some(Counts::ForBackends) => &backends.join(", "),
        Some(Counts::Now) => "counts now",
        Some(Counts::ForNewConnections) => "counts for new connections",
        Some(Counts::ForScripts) => "counts for scripts from the next connection on",
    };
    format!("{changed}{counts}")
}

/// What the operator did to backends while the process ran, and what a reload leaves as it is.
pub(super) fn kept_backends(control: &Control, options: &[GivenOption]) -> Vec<OptionChange> {
    let list = |role| match role {
        backend::Role::ReadWrite => "proxy-backend-addresses",
        backend::Role::ReadOnly => "proxy-read-only-backend-addresses",
    };
    let kept = |name: &str, address: String, outcome: &str| OptionChange {
        name: name.to_owned(),
        new: Some(address.clone()),
        old: Some(address),
        outcome: outcome.to_owned(),
    };
    let all = control.backends().all();
    let mut changes: Vec<_> = all
        .iter()
        .filter_map(|backend| {
            let (address, name) = (backend.address().to_string(), list(backend.role()));
            let outcome = match (backend.availability(), control.standing(backend)) {
                (Availability::Removed, _) | (_, Standing::AsNamed) => return None,
                (Availability::Leaving, _) => {
                    "is not named any more: removed after those who have it"
                }
                (_, Standing::Unnamed) => {
                    "kept: the operator wants it; a restart forgets it unless the file names it"
                }
                (Availability::Draining, _) => {
                    "kept: the operator drains it; SET BACKEND ... UP takes that back, a restart too"
                }
                (Availability::OutOfService, _) => {
                    "kept: the operator took it down; SET BACKEND ... UP takes that back, a restart too"
                }
                (Availability::InService, _) => {
                    "kept: the operator added it in this role; a restart takes that back"
                }
            };
            Some(kept(name, address, outcome))
        })
        .collect();
    let missing = control.missing_backends().into_iter().map(|address| {
        // Of two lists, the one that has it.
        let names = |option: &&GivenOption| {
            let shown = option.shown().unwrap_or_default();
            counts(&option.name) == Some(Counts::ForBackends)
                && shown.split(',').any(|element| element.trim() == address)
        };
        let option = options.iter().find(names);
        let name = option.map_or("proxy-backend-addresses", |option| &option.name);
        let outcome = "kept: the operator removed it; ADD BACKEND takes that back, a restart too";
        kept(name, address, outcome)
    });
    changes.extend(missing);
    changes
}

/// What is strange about the file, and changes nothing.
pub(super) fn warning(text: String) -> OptionChange {
    OptionChange {
        name: "defaults-file".to_owned(),
        old: None,
        new: None,
        outcome: text,
    }
}

/// One line for each.
pub(super) fn log(who: &str, changes: &[OptionChange]) {
    if changes.is_empty() {
        tracing::info!("{who}: the options are what they were");
    }
    for OptionChange {
        name,
        old,
        new,
        outcome,
    } in changes
    {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
        let (old, new) = (text(old), text(new));
        match outcome == NEEDS_RESTART {
            true => tracing::warn!("{who}: {name}: {old} -> {new}: {outcome}"),
            false if old == new => tracing::info!("{who}: {name}: {new}: {outcome}"),
            false => tracing::info!("{who}: {name}: {old} -> {new}: {outcome}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsString;

    use super::*;
    use crate::options::{self, Options, Request};

    fn given(arguments: &[&str]) -> Vec<GivenOption> {
        let arguments = ["mysql-proxy"].iter().chain(arguments);
        match options::read(&arguments.map(OsString::from).collect::<Vec<_>>()).unwrap() {
            Request::Run { options, .. } => options.given,
            Request::Print(text) => panic!("{text}"),
        }
    }

    #[test]
    fn what_is_live_is_an_option_and_named_once() {
        let names: BTreeSet<_> = given(&[]).into_iter().map(|option| option.name).collect();
        let mut seen = BTreeSet::new();
        for (live, _) in LIVE {
            assert!(names.contains(*live), "{live} is no option");
            assert!(seen.insert(live), "{live} stands there twice");
        }
    }

    #[test]
    fn the_page_on_configuration_has_what_is_live() {
        let page = include_str!("../../../../docs/configuration.md");
        for (live, _) in LIVE {
            assert!(page.contains(&format!("`{live}`")), "{live}");
        }
    }

    #[test]
    fn what_needs_a_restart_stays_and_the_rest_changes() {
        let running = given(&[
            "--event-threads=2",
            "-b",
            "a,b",
            "--daemon",
            "--log-level=info",
        ]);
        let wanted = given(&[
            "--event-threads=3",
            "-b",
            "a",
            "-b",
            "c\\,d",
            "--log-file=x",
        ]);
        let Options {
            proxy,
            process,
            log,
            ..
        } = *options::of(effective(&running, &wanted)).unwrap();
        assert_eq!(proxy.event_threads.map(std::num::NonZero::get), Some(2));
        let addresses = proxy.backends.iter().flat_map(|list| &list.0);
        let addresses: Vec<_> = addresses.map(ToString::to_string).collect();
        assert_eq!(addresses, ["a", "c,d"]);
        assert!(process.daemon);
        assert_eq!((log.level, log.file), (crate::log::Level::Message, None));

        let outcomes = changes(&running, &wanted, &["c,d added".to_owned()]);
        let outcomes = outcomes.iter().map(|change| {
            let (old, new) = (change.old.as_deref(), change.new.as_deref());
            (&*change.name, old, new, &*change.outcome)
        });
        assert_eq!(
            outcomes.collect::<Vec<_>>(),
            [
                (
                    "proxy-backend-addresses",
                    Some("a,b"),
                    Some("a, c\\,d"),
                    "changed: c,d added"
                ),
                ("event-threads", Some("2"), Some("3"), NEEDS_RESTART),
                ("daemon", Some("true"), Some("false"), NEEDS_RESTART),
                (
                    "log-level",
                    Some("info"),
                    Some("message"),
                    "changed: counts now"
                ),
                ("log-file", None, Some("x"), NEEDS_RESTART),
            ]
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        let (running, wanted) = (
            given(&["--admin-password=first"]),
            given(&["--admin-password=second"]),
        );
        let changes = changes(&running, &wanted, &[]);
        assert_eq!(changes.len(), 1);
        let text = format!("{changes:?}");
        assert!(text.contains("changed, is not shown"), "{text}");
        assert!(
            !text.contains("first") && !text.contains("second"),
            "{text}"
        );
    }
}
