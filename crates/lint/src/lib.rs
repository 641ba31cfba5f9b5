//! What in a script's text is wrong, looks wrong, or meant something else in MySQL Proxy 0.8.5.
//!
//! Text in, findings out: it runs nothing and reads no file. What a name is, it knows from [`script::api`]; what Lua and
//! required modules have, it asks [`Surroundings`]. It does not look for syntax errors: Lua finds those itself.
//!
//! It says nothing where it is not sure. What a variable holds is known where the variable is set once, and not across
//! calls of the script's own functions.

mod annotation;
mod differences;
mod fields;
mod finding;
mod globals;
mod hooks;
mod inference;
mod modules;
mod names;
mod suggestion;
mod text;

#[cfg(test)]
mod tests;

pub use finding::{Finding, Severity};

use finding::Findings;
use inference::Inference;
use names::Names;
use text::Text;

/// What a script finds around it when it runs.
pub trait Surroundings {
    /// A variable of this name is Lua's, the proxy's or a required module's, or the script's own body made it.
    fn has_global(&self, name: &str) -> bool;
    /// Whether `require` finds the module; the error is the files that it would look for.
    fn find_module(&self, name: &str) -> Result<(), Vec<String>>;
}

/// The findings, by line. `source` is a script that Lua compiles.
pub fn check(source: &str, surroundings: &dyn Surroundings) -> Vec<Finding> {
    let mut findings = Findings::default();
    // Lua passes over a byte order mark.
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let text = match Text::parse(source) {
        Ok(text) => text,
        Err((line, reason)) => {
            findings.note(
                line,
                format!(
                    "this cannot be read here, so nothing but Lua's own checks was made: {reason}"
                ),
            );
            return findings.into_sorted();
        }
    };
    let names = Names::resolve(&text);
    let inference = Inference::new(&names);
    fields::check(&text, &names, &inference, &mut findings);
    hooks::check(&text, &names, &mut findings);
    globals::check(&text, &names, surroundings, &mut findings);
    modules::check(&text, &names, surroundings, &mut findings);
    differences::check(&text, &names, &inference, &mut findings);
    findings.into_sorted()
}
