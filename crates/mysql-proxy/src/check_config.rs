//! `--check-config`: what a start would complain of, without one. Nothing is bound, written or forked.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use admin::OptionOrigin;
use anyhow::Result;

use crate::diagnosis::{Report, Severity, local};
use crate::options::{GivenOption, Options};
use crate::print;

/// The findings, then every option that is not its default's, with where it stands. The exit code is 1 if something is
/// wrong.
pub(crate) fn run(options: &Options, directory: &Path, warnings: &[String]) -> Result<ExitCode> {
    let mut report = Report::default();
    warnings
        .iter()
        .for_each(|warning| report.warning(warning, "correct the key, or take the line out"));
    local::examine(options, directory, &mut report);
    print(&effective(&options.given))?;
    report.print(Severity::Warning)?;
    Ok(ExitCode::from(u8::from(report.has_errors())))
}

/// The options cannot be read at all: one line for each reason.
pub(crate) fn unreadable(error: &anyhow::Error) -> Result<ExitCode> {
    let mut report = Report::default();
    let text = format!("{error:#}");
    text.split(crate::options::BETWEEN_ERRORS)
        .for_each(|reason| report.error(reason, ""));
    report.print(Severity::Warning)?;
    Ok(ExitCode::FAILURE)
}

/// `name = value    (where)`
fn effective(given: &[GivenOption]) -> String {
    let mut text = String::new();
    let is_meant = |option: &&GivenOption| {
        option.origin != OptionOrigin::Default && option.name != "check-config"
    };
    for option in given.iter().filter(is_meant) {
        let place = option.place.clone();
        let place = place.unwrap_or_else(|| option.origin.to_string());
        let value = option.shown().unwrap_or_default();
        let _ = writeln!(text, "{} = {value}    ({place})", option.name);
    }
    text
}
