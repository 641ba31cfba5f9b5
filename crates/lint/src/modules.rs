//! `require` of modules that are not there.

use emmylua_parser::{LuaAstNode, LuaCallExpr, LuaClosureExpr};

use crate::Surroundings;
use crate::finding::Findings;
use crate::names::{self, Names};
use crate::text::Text;

pub(crate) fn check(
    text: &Text,
    names: &Names,
    surroundings: &dyn Surroundings,
    findings: &mut Findings,
) {
    for (module, call) in names::required(text, names) {
        let Err(files) = surroundings.find_module(&module) else {
            continue;
        };
        if is_allowed_to_fail(names, &call) {
            continue;
        }
        let looked_for = match files.is_empty() {
            true => "no place to look for modules is known".to_owned(),
            false => format!("looked for {}", files.join(", ")),
        };
        findings.error(
            text.line(&call),
            format!("module `{module}` is not found; {looked_for}"),
        );
    }
}

/// `pcall(function() require("module") end)`
fn is_allowed_to_fail(names: &Names, call: &LuaCallExpr) -> bool {
    call.ancestors::<LuaClosureExpr>().any(|closure| {
        let callers = closure.ancestors::<LuaCallExpr>();
        let mut callees = callers.filter_map(|caller| caller.get_prefix_expr());
        callees
            .any(|callee| names.is_global(&callee, "pcall") || names.is_global(&callee, "xpcall"))
    })
}
