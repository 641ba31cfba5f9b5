//! Functions that are meant to be hooks and are not called as such.

use emmylua_parser::{LuaAstToken, LuaClosureExpr, LuaExpr};
use script::api::{self, HookDeclaration};

use crate::finding::Findings;
use crate::names::{Kind, Names, Origin};
use crate::suggestion;
use crate::text::Text;

pub(crate) fn check(text: &Text, names: &Names, findings: &mut Findings) {
    misspelt(text, names, findings);
    local(text, names, findings);
    for hook in api::hooks() {
        for global in names.writes(hook.name) {
            if let Kind::Write(Some(LuaExpr::ClosureExpr(closure))) = &global.kind {
                parameters(text, &hook, closure, findings);
            }
        }
    }
}

/// Global functions that nobody calls.
fn misspelt(text: &Text, names: &Names, findings: &mut Findings) {
    let hooks = api::hooks();
    for global in &names.globals {
        let name = global.name.as_str();
        let is_function = matches!(global.kind, Kind::Write(Some(LuaExpr::ClosureExpr(_))));
        let is_hook = hooks.iter().any(|hook| hook.name == name);
        if !is_function || is_hook || names.is_read(name) {
            continue;
        }
        let hint = suggestion::nearest(name, hooks.iter().map(|hook| hook.name));
        let finding = match hint {
            Some(hint) => {
                format!("nothing calls `{name}`: there is no such hook; did you mean `{hint}`?")
            }
            None if sounds_like_a_hook(name) => {
                let names = hooks.map(|hook| hook.name).join(", ");
                format!("nothing calls `{name}`: there is no such hook; the hooks are {names}")
            }
            None => continue,
        };
        findings.warning(text.line(&global.expr), finding);
    }
}

/// It begins with the verb of a hook: `read_`, `connect_`, `disconnect_`.
fn sounds_like_a_hook(name: &str) -> bool {
    let verb = |name: &str| name.split_once('_').map(|(verb, _)| verb.to_lowercase());
    let of_name = verb(name);
    of_name.is_some() && api::hooks().iter().any(|hook| verb(hook.name) == of_name)
}

/// `local function read_query` that nothing else makes the hook.
fn local(text: &Text, names: &Names, findings: &mut Findings) {
    for local in &names.locals {
        let name = local.token.get_text();
        let is_function = matches!(local.origin, Origin::Value(LuaExpr::ClosureExpr(_)));
        let is_hook = api::hooks().iter().any(|hook| hook.name == name);
        if is_function && is_hook && local.reads == 0 {
            findings.warning(
                text.line_of_token(&local.token),
                format!("the proxy does not see `{name}`, because it is local: leave out `local`"),
            );
        }
    }
}

/// More than the hook is called with. Fewer are fine: a hook need not look at its argument.
fn parameters(
    text: &Text,
    hook: &HookDeclaration,
    closure: &LuaClosureExpr,
    findings: &mut Findings,
) {
    let list = closure.get_params_list();
    let named = list.iter().flat_map(|list| list.get_params());
    let named = named.filter_map(|parameter| parameter.get_name_token());
    let surplus: Vec<_> = named.skip(hook.parameters.len()).collect();
    let Some(first) = surplus.first() else {
        return;
    };
    let names: Vec<_> = surplus
        .iter()
        .map(|token| format!("`{}`", token.get_text()))
        .collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    findings.warning(
        text.line_of_token(first),
        format!(
            "{} {verb} always nil: the hook is called as {}({})",
            names.join(" and "),
            hook.name,
            hook.parameter_names()
        ),
    );
}
