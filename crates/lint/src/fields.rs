//! Fields of the proxy's objects that do not exist, or cannot be used as they are.

use std::collections::HashSet;

use emmylua_parser::{
    BinaryOperator, LuaAssignStat, LuaAst, LuaAstNode, LuaBinaryExpr, LuaCallExpr, LuaExpr,
    LuaFuncStat, LuaIndexExpr, LuaSyntaxNode, LuaTableExpr, LuaTableField, LuaUnaryExpr,
    LuaVarExpr, UnaryOperator,
};
use script::api::{self, Access, Object, Retired};

use crate::annotation::{self, Type};
use crate::finding::{Findings, Severity};
use crate::inference::Inference;
use crate::names::{self, Names};
use crate::suggestion;
use crate::text::{Text, constant_key, quoted};

pub(crate) fn check(
    text: &Text,
    names: &Names,
    inference: &Inference<'_>,
    findings: &mut Findings,
) {
    let mut checker = Checker {
        text,
        inference,
        findings,
        written: HashSet::new(),
        own_keys: HashSet::new(),
    };
    checker.look_at_assignments(names);
    for index in text.chunk.descendants::<LuaIndexExpr>() {
        checker.index(&index);
    }
    for call in text.chunk.descendants::<LuaCallExpr>() {
        checker.arguments(&call);
    }
}

struct Checker<'a> {
    text: &'a Text,
    inference: &'a Inference<'a>,
    findings: &'a mut Findings,
    /// Indexes that are assigned to.
    written: HashSet<LuaSyntaxNode>,
    /// What scripts put into the proxy's tables: the object's class and the key.
    own_keys: HashSet<(&'static str, String)>,
}

/// What is done with a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    /// To see whether it is there.
    Tested,
    Written,
}

impl Checker<'_> {
    fn look_at_assignments(&mut self, names: &Names) {
        for assignment in self.text.chunk.descendants::<LuaAssignStat>() {
            let (variables, values) = assignment.get_var_and_expr_list();
            for (position, variable) in variables.into_iter().enumerate() {
                let LuaVarExpr::IndexExpr(index) = variable else {
                    continue;
                };
                self.note_write(&index);
                if let Some(LuaExpr::TableExpr(table)) = values.get(position) {
                    let whole = self.inference.type_of(&LuaExpr::IndexExpr(index));
                    self.table(table, &whole);
                }
            }
        }
        for function in self.text.chunk.descendants::<LuaFuncStat>() {
            if let Some(LuaVarExpr::IndexExpr(index)) = function.get_func_name() {
                self.note_write(&index);
            }
        }
        // A module that is called `proxy.commands` is there by that name, too.
        for (module, _) in names::required(self.text, names) {
            if let Some(key) = module.strip_prefix("proxy.") {
                self.own_keys.insert(("mysql_proxy.Proxy", key.to_owned()));
            }
        }
    }

    fn note_write(&mut self, index: &LuaIndexExpr) {
        self.written.insert(index.syntax().clone());
        let prefix = index.get_prefix_expr();
        let prefix = prefix.map(|prefix| self.inference.type_of(&prefix));
        if let (Some(Type::Object(object)), Some(key)) = (prefix, constant_key(index)) {
            self.own_keys.insert((object.class, key));
        }
    }

    fn index(&mut self, index: &LuaIndexExpr) {
        let (Some(prefix), Some(key)) = (index.get_prefix_expr(), constant_key(index)) else {
            return;
        };
        match self.inference.type_of(&prefix) {
            Type::Object(object) => self.field(index, &object, &key),
            Type::List(element) => {
                if let Type::Object(element) = &*element {
                    let text = format!(
                        "`{}`: this is a list, its elements have numbers; {} is meant?",
                        quoted(index.syntax()),
                        element.path
                    );
                    self.findings.error(self.text.line_of_key(index), text);
                }
            }
            Type::Table(fields) if !self.written.contains(index.syntax()) => {
                let known = fields.iter().map(|(name, _)| name.as_str());
                if !known.clone().any(|name| name == key) {
                    let hint = suggestion::nearest(&key, known);
                    self.unknown(index, "its table", &key, hint);
                }
            }
            Type::Other if key == IDLING_CONNECTIONS => {
                let mut retired = api::retired().iter();
                if let Some(retired) = retired.find(|retired| retired.name == key) {
                    self.retired(index, retired);
                }
            }
            _ => {}
        }
    }

    fn field(&mut self, index: &LuaIndexExpr, object: &Object, key: &str) {
        let usage = self.usage(index);
        if let Some(field) = object.fields.iter().find(|field| field.name == key) {
            return self.access(index, object, (key, field.access), usage);
        }
        let is_constant = object.path == "proxy" && constants().any(|name| name == key);
        // Modules say of themselves who they are.
        let is_of_a_module = object.path.starts_with("require(") && key.starts_with('_');
        if is_constant || is_of_a_module {
            return;
        }
        let mut retired = api::retired().iter();
        if let Some(retired) =
            retired.find(|retired| retired.class == object.class && retired.name == key)
        {
            return self.retired(index, retired);
        }
        let is_own = self.own_keys.contains(&(object.class, key.to_owned()));
        let hint = nearest(object, key);
        let line = self.text.line_of_key(index);
        let shown = quoted(index.syntax());
        match usage {
            Use::Written if !api::keeps_other_keys(object) => {
                let text = format!(
                    "`{shown}`: {} has no `{key}` to write to{}",
                    object.path,
                    meant(hint)
                );
                self.findings.error(line, text);
            }
            Use::Written if is_response(object) => self.not_looked_at(line, object, key, hint),
            Use::Written | Use::Read | Use::Tested if is_own || is_response(object) => {}
            // Whatever a module may have put there.
            _ if object.path == "proxy.global" => {
                if let Some(hint) = hint {
                    let text =
                        format!("`{shown}` is not set in this script; did you mean `{hint}`?");
                    self.findings.warning(line, text);
                }
            }
            Use::Tested if hint.is_none() => {
                let text = format!(
                    "`{shown}`: {} has no `{key}`: it is always nil",
                    object.path
                );
                self.findings.warning(line, text);
            }
            Use::Written | Use::Read | Use::Tested => self.unknown(index, object.path, key, hint),
        }
    }

    fn unknown(&mut self, index: &LuaIndexExpr, path: &str, key: &str, hint: Option<&str>) {
        let text = format!(
            "`{}`: {path} has no `{key}`{}",
            quoted(index.syntax()),
            meant(hint)
        );
        self.findings.error(self.text.line_of_key(index), text);
    }

    fn not_looked_at(&mut self, line: usize, object: &Object, key: &str, hint: Option<&str>) {
        let text = format!("nobody looks at `{key}` in {}{}", object.path, meant(hint));
        self.findings.warning(line, text);
    }

    fn retired(&mut self, index: &LuaIndexExpr, retired: &Retired) {
        let shown = quoted(index.syntax());
        let Retired {
            instead, raises, ..
        } = retired;
        let (severity, effect) = match raises {
            true => (Severity::Error, "raises an error"),
            false => (Severity::Note, "is nil"),
        };
        let text = format!("`{shown}` {effect}, as in MySQL Proxy 0.8.5; use {instead}");
        self.findings
            .add(self.text.line_of_key(index), severity, text);
    }

    fn access(
        &mut self,
        index: &LuaIndexExpr,
        object: &Object,
        (key, access): (&str, Access),
        usage: Use,
    ) {
        let shown = quoted(index.syntax());
        let line = self.text.line_of_key(index);
        match (access, usage) {
            (Access::Read, Use::Written) if is_table(object) => {
                let text = format!(
                    "`{shown}` is the proxy's: what is written there takes the place of it"
                );
                self.findings.warning(line, text);
            }
            (Access::Read, Use::Written) => {
                let text =
                    format!("`{shown}`: `{key}` can only be read; writing it raises an error");
                self.findings.error(line, text);
            }
            (Access::Write, Use::Read | Use::Tested) => {
                let text = format!("`{shown}`: `{key}` can only be written; it is always nil");
                self.findings.warning(line, text);
            }
            _ => {}
        }
    }

    fn usage(&self, index: &LuaIndexExpr) -> Use {
        if self.written.contains(index.syntax()) {
            Use::Written
        } else if is_tested(index.syntax()) {
            Use::Tested
        } else {
            Use::Read
        }
    }

    /// Tables that are written where a function wants them.
    fn arguments(&mut self, call: &LuaCallExpr) {
        let (Some(callee), Some(list)) = (call.get_prefix_expr(), call.get_args_list()) else {
            return;
        };
        let Type::Function(function) = self.inference.type_of(&callee) else {
            return;
        };
        let of_self = usize::from(call.is_colon_call());
        for (position, argument) in list.get_args().enumerate() {
            if let LuaExpr::TableExpr(table) = argument
                && let Some(parameter) = function.parameters.get(position + of_self)
            {
                self.table(&table, parameter);
            }
        }
    }

    /// A table that is written out where one of a known type is wanted.
    fn table(&mut self, table: &LuaTableExpr, wanted: &Type) {
        for field in table.get_fields() {
            let value = field.get_value_expr();
            let inner = match wanted {
                Type::List(element) if field.is_value_field() => Some(Type::clone(element)),
                Type::Object(object) => self.entry(&field, object),
                Type::Table(known) => self.option(&field, known),
                _ => None,
            };
            if let (Some(LuaExpr::TableExpr(table)), Some(inner)) = (value, inner) {
                self.table(&table, &inner);
            }
        }
    }

    fn entry(&mut self, field: &LuaTableField, object: &Object) -> Option<Type> {
        let key = name_of(field)?;
        let mut declared = object.fields.iter();
        match declared.find(|field| field.name == key) {
            Some(declared) => Some(annotation::parse(declared.lua_type)),
            None if is_response(object) => {
                let line = self.text.line(field);
                self.not_looked_at(line, object, &key, nearest(object, &key));
                None
            }
            None => None,
        }
    }

    fn option(&mut self, field: &LuaTableField, known: &[(String, Type)]) -> Option<Type> {
        let key = name_of(field)?;
        match known.iter().find(|(name, _)| *name == key) {
            Some((_, wanted)) => Some(wanted.clone()),
            None => {
                let names = known.iter().map(|(name, _)| name.as_str());
                let hint = suggestion::nearest(&key, names);
                let text = format!("there is no option `{key}`{}", meant(hint));
                self.findings.warning(self.text.line(field), text);
                None
            }
        }
    }
}

/// A name that no other object ever had: it says what it is, whatever the script calls its backend.
const IDLING_CONNECTIONS: &str = "idling_connections";

fn name_of(field: &LuaTableField) -> Option<String> {
    use emmylua_parser::{LuaAstToken, LuaIndexKey};
    match field.get_field_key()? {
        LuaIndexKey::Name(token) => Some(token.get_text().to_owned()),
        LuaIndexKey::String(token) => Some(token.get_value()),
        _ => None,
    }
}

fn constants() -> impl Iterator<Item = &'static str> {
    let constants = api::constants().iter();
    constants.flat_map(|constants| constants.values.iter().map(|(name, _)| *name))
}

/// A table that scripts make, and that is read when it is complete.
fn is_response(object: &Object) -> bool {
    api::keeps_other_keys(object) && object.path.starts_with("proxy.response")
}

/// Writing to it changes it; to all others it raises an error.
fn is_table(object: &Object) -> bool {
    api::keeps_other_keys(object)
        || object.path == "proxy.shared"
        || object.path.starts_with("require(")
}

/// What may be meant; for a name that is retired, what took its place.
fn nearest(object: &Object, key: &str) -> Option<&'static str> {
    let fields = object.fields.iter().map(|field| field.name);
    let constants = constants().filter(|_| object.path == "proxy");
    let retired = api::retired()
        .iter()
        .filter(|retired| retired.class == object.class);
    let names = fields
        .chain(constants)
        .chain(retired.clone().map(|retired| retired.name));
    let hint = suggestion::nearest(key, names)?;
    let retired = retired.clone().find(|retired| retired.name == hint);
    Some(retired.map_or(hint, |retired| retired.instead.trim_start_matches('.')))
}

fn meant(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("; did you mean `{hint}`?"))
}

/// What is asked is only whether it is there.
fn is_tested(node: &LuaSyntaxNode) -> bool {
    let Some(parent) = node.parent() else {
        return false;
    };
    if let Some(unary) = LuaUnaryExpr::cast(parent.clone()) {
        return unary
            .get_op_token()
            .is_some_and(|token| token.get_op() == UnaryOperator::OpNot);
    }
    if let Some(binary) = LuaBinaryExpr::cast(parent.clone()) {
        return match binary.get_op_token().map(|token| token.get_op()) {
            Some(BinaryOperator::OpAnd | BinaryOperator::OpOr) => true,
            Some(BinaryOperator::OpEq | BinaryOperator::OpNe) => binary
                .syntax()
                .children()
                .any(|operand| quoted(&operand) == "nil"),
            _ => false,
        };
    }
    matches!(
        LuaAst::cast(parent),
        Some(LuaAst::LuaIfStat(_) | LuaAst::LuaElseIfClauseStat(_) | LuaAst::LuaWhileStat(_))
    )
}
