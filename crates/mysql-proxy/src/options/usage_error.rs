//! A parser's error as one line that names the option and the reason.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// `--log-level: `loud` is not one of error, critical, ...`
pub(crate) fn one_line(error: &clap::Error) -> String {
    let option = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let name = option.split([' ', '[', '=']).next().unwrap_or_default();
    let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let hint =
                suggestion(error).unwrap_or_else(|| " (--help lists the options)".to_owned());
            format!("unknown option: {option}{hint}")
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("{name} needs a value"),
        ErrorKind::InvalidValue => {
            let valid = text(error, ContextKind::ValidValue).unwrap_or_default();
            format!("{name}: `{value}` is not one of {valid}")
        }
        ErrorKind::ValueValidation => match error.source() {
            Some(reason) => format!("{name}: {reason}"),
            None => format!("{name}: {}", first_line(error)),
        },
        _ => first_line(error),
    }
}

/// ` (did you mean --log-file?)` where an option of a similar name exists.
pub(super) fn suggestion(error: &clap::Error) -> Option<String> {
    text(error, ContextKind::SuggestedArg).map(|name| format!(" (did you mean {name}?)"))
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}
