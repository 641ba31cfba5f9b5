//! Options as they were given: which texts, and where they stand. What a text means is `Options`' business.

use std::ffi::OsString;

use admin::{OptionOrigin, OptionValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// Their values are shown to nobody.
const SECRETS: &[&str] = &["admin-password"];

/// One option. Equal values are equal texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GivenOption {
    /// Its long name.
    pub(crate) name: String,
    /// One for each time that it was given, the default's where it was not; `None` without any.
    texts: Option<Vec<OsString>>,
    pub(crate) origin: OptionOrigin,
    /// `FILE:LINE`, where it is the defaults file's.
    pub(crate) place: Option<String>,
}

impl GivenOption {
    /// What the command line would say of it.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let texts = match self.origin {
            OptionOrigin::Default => None,
            OptionOrigin::File | OptionOrigin::CommandLine => self.texts.as_ref(),
        };
        let argument = |text: &OsString| {
            let mut argument = OsString::from(format!("--{}=", self.name));
            argument.push(text);
            argument
        };
        texts.into_iter().flatten().map(argument).collect()
    }

    pub(crate) fn has_value_of(&self, other: &Self) -> bool {
        self.texts == other.texts
    }

    pub(crate) fn is_secret(&self) -> bool {
        SECRETS.contains(&self.name.as_str())
    }

    /// `--name`, and not the beginning of a longer name.
    pub(crate) fn is_named_in(&self, text: &str) -> bool {
        let name = format!("--{}", self.name);
        let is_longer = |rest: &str| rest.starts_with(|c: char| c.is_alphanumeric() || c == '-');
        text.match_indices(&name)
            .any(|(at, _)| !is_longer(&text[at + name.len()..]))
    }

    /// Its value for people, without secrets.
    pub(crate) fn shown(&self) -> Option<String> {
        let texts = self.texts.as_ref()?;
        let texts: Vec<_> = texts.iter().map(|text| text.to_string_lossy()).collect();
        Some(match self.is_secret() {
            true => "***".to_owned(),
            false => texts.join(", "),
        })
    }

    /// For operators; `wanted` is what the options say now.
    pub(crate) fn to_value(&self, wanted: &Self) -> OptionValue {
        let is_pending = !self.has_value_of(wanted);
        OptionValue {
            name: self.name.clone(),
            value: self.shown(),
            origin: self.origin,
            after_restart: is_pending.then(|| wanted.shown().unwrap_or_default()),
        }
    }
}

/// Every option that is not hidden. `line` is the command line alone, `all` has the defaults file's too.
pub(super) fn options(command: &Command, all: &ArgMatches, line: &ArgMatches) -> Vec<GivenOption> {
    let options = command
        .get_arguments()
        .filter(|option| !option.is_hide_set())
        .filter(|option| !["help", "version"].contains(&option.get_id().as_str()));
    let given = options.map(|option| {
        let texts = all.get_raw(option.get_id().as_str());
        GivenOption {
            name: option.get_long().unwrap_or_default().to_owned(),
            texts: texts.map(|texts| texts.map(ToOwned::to_owned).collect()),
            origin: origin(option, all, line),
            place: None,
        }
    });
    given.collect()
}

fn origin(option: &Arg, all: &ArgMatches, line: &ArgMatches) -> OptionOrigin {
    let is_given = |matches: &ArgMatches| {
        matches.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine)
    };
    match (is_given(line), is_given(all)) {
        (true, _) => OptionOrigin::CommandLine,
        (false, true) => OptionOrigin::File,
        (false, false) => OptionOrigin::Default,
    }
}
