//! Global variables that are made by mistake, and those that nobody makes.

use std::collections::HashSet;

use emmylua_parser::LuaAstToken;
use script::api;

use crate::Surroundings;
use crate::finding::Findings;
use crate::names::{GlobalUse, Kind, Names};
use crate::suggestion;
use crate::text::Text;

pub(crate) fn check(
    text: &Text,
    names: &Names,
    surroundings: &dyn Surroundings,
    findings: &mut Findings,
) {
    let mut seen = HashSet::new();
    for global in &names.globals {
        let name = global.name.as_str();
        let finding = match global.kind {
            Kind::Write(_) => made_by_mistake(names, global, surroundings),
            Kind::Read => never_made(names, global, surroundings),
        };
        if let Some(finding) = finding
            && seen.insert(name)
        {
            findings.warning(text.line(&global.expr), finding);
        }
    }
}

/// Set in a function, and nowhere at the top of the script, where global variables are declared by being set.
fn made_by_mistake(
    names: &Names,
    global: &GlobalUse,
    surroundings: &dyn Surroundings,
) -> Option<String> {
    let name = global.name.as_str();
    let is_hook = api::hooks().iter().any(|hook| hook.name == name);
    let is_declared = names.writes(name).any(|write| write.function.is_none());
    if global.function.is_none() || is_declared || is_hook || surroundings.has_global(name) {
        return None;
    }
    Some(format!(
        "`{name}` is a global variable, made here in a function: is `local` missing? If all functions are to have it, say \
         so by `{name} = nil` at the top of the script"
    ))
}

fn never_made(
    names: &Names,
    global: &GlobalUse,
    surroundings: &dyn Surroundings,
) -> Option<String> {
    let name = global.name.as_str();
    if names.is_dynamic || names.defines(name) || surroundings.has_global(name) {
        return None;
    }
    if name == "arg" && is_in_vararg_function(global) {
        return Some(
            "`arg` is nil: LuaJIT does not make it, as Lua 5.1 did; use `{ ... }` and `select(\"#\", ...)`".to_owned(),
        );
    }
    let hint = argument_of_hook(names, global).or_else(|| {
        let locals = names.locals.iter().map(|local| local.token.get_text());
        let globals = names.globals.iter().map(|global| global.name.as_str());
        let globals = globals.filter(|name| names.defines(name) || surroundings.has_global(name));
        let nearest = suggestion::nearest(name, locals.chain(globals))?;
        Some(format!("; did you mean `{nearest}`?"))
    });
    Some(format!(
        "nothing ever sets `{name}`: it is nil{}",
        hint.unwrap_or_default()
    ))
}

/// The name that the documentation gives to the argument of the hook that it is used in.
fn argument_of_hook(names: &Names, global: &GlobalUse) -> Option<String> {
    let hook = names.hook_of(global.function.as_ref()?)?;
    let mut parameters = hook.parameters.iter();
    parameters.find(|(argument, _)| *argument == global.name)?;
    Some(format!(
        "; the hook gets it as its argument: function {}({})",
        hook.name,
        hook.parameter_names()
    ))
}

fn is_in_vararg_function(global: &GlobalUse) -> bool {
    let parameters = global
        .function
        .as_ref()
        .and_then(|function| function.get_params_list());
    parameters.is_some_and(|list| list.get_params().any(|parameter| parameter.is_dots()))
}
