//! What an expression is, as far as it shows.

use std::collections::HashMap;

use emmylua_parser::{
    BinaryOperator, LuaAstNode, LuaBinaryExpr, LuaCallExpr, LuaClosureExpr, LuaExpr, LuaIndexExpr,
    LuaNameExpr, LuaSyntaxNode,
};
use script::api;

use crate::annotation::{self, Type};
use crate::names::{Kind, Local, Names, Origin, Variable};
use crate::text::constant_key;

/// From one variable to the next, and from an index to what it is taken from. Variables may be made of each other.
const STEPS_MAX: usize = 64;

/// Knows the types of expressions.
pub(crate) struct Inference<'a> {
    names: &'a Names,
    /// Of the hooks' functions, by where they begin.
    arguments: HashMap<u32, Type>,
}

impl<'a> Inference<'a> {
    pub(crate) fn new(names: &'a Names) -> Self {
        let mut arguments = HashMap::new();
        for hook in api::hooks() {
            let Some((_, annotation)) = hook.parameters.first() else {
                continue;
            };
            for global in names.writes(hook.name) {
                if let Kind::Write(Some(LuaExpr::ClosureExpr(closure))) = &global.kind {
                    arguments.insert(start(closure.syntax()), annotation::parse(annotation));
                }
            }
        }
        Self { names, arguments }
    }

    pub(crate) fn type_of(&self, expr: &LuaExpr) -> Type {
        self.follow(expr, STEPS_MAX)
    }

    fn follow(&self, expr: &LuaExpr, steps: usize) -> Type {
        let Some(steps) = steps.checked_sub(1) else {
            return Type::Other;
        };
        let known = match expr {
            LuaExpr::NameExpr(name) => self.name(name, steps),
            LuaExpr::IndexExpr(index) => self.index(index, steps),
            LuaExpr::CallExpr(call) => self.call(call, steps),
            LuaExpr::BinaryExpr(binary) => self.alternatives(binary, steps),
            LuaExpr::ParenExpr(inner) => inner.get_expr().map(|inner| self.follow(&inner, steps)),
            _ => None,
        };
        known.unwrap_or(Type::Other)
    }

    fn name(&self, name: &LuaNameExpr, steps: usize) -> Option<Type> {
        match self.names.variable(name)? {
            Variable::Local(local) => self.local(local, steps),
            Variable::Global(name) => self.global(&name, steps),
        }
    }

    fn local(&self, local: &Local, steps: usize) -> Option<Type> {
        match &local.origin {
            _ if local.writes > 0 => None,
            Origin::Value(value) => Some(self.follow(value, steps)),
            Origin::Argument(closure, 0) => self.argument(closure),
            Origin::Argument(..) | Origin::Other => None,
        }
    }

    fn argument(&self, closure: &LuaClosureExpr) -> Option<Type> {
        self.arguments.get(&start(closure.syntax())).cloned()
    }

    fn global(&self, name: &str, steps: usize) -> Option<Type> {
        let mut writes = self.names.writes(name);
        match (writes.next(), writes.next()) {
            (None, _) if name == "proxy" => {
                annotation::object("mysql_proxy.Proxy").map(Type::Object)
            }
            (Some(only), None) if only.function.is_none() => match &only.kind {
                Kind::Write(Some(value)) => Some(self.follow(value, steps)),
                Kind::Write(None) | Kind::Read => None,
            },
            _ => None,
        }
    }

    fn index(&self, index: &LuaIndexExpr, steps: usize) -> Option<Type> {
        let prefix = self.follow(&index.get_prefix_expr()?, steps);
        match (prefix, constant_key(index)) {
            (Type::Object(object), Some(key)) => {
                let mut fields = object.fields.iter();
                let field = fields.find(|field| field.name == key)?;
                Some(annotation::parse(field.lua_type))
            }
            (Type::Table(fields), Some(key)) => {
                let mut fields = fields.iter();
                fields
                    .find(|(name, _)| *name == key)
                    .map(|(_, field)| field.clone())
            }
            (Type::List(element), None) => Some(Type::clone(&element)),
            (Type::Map(element), _) => Some(Type::clone(&element)),
            _ => None,
        }
    }

    fn call(&self, call: &LuaCallExpr, steps: usize) -> Option<Type> {
        if let Some(module) = self.names.required_by(call) {
            let path = format!("require({module:?})");
            let mut objects = api::objects().into_iter();
            return objects.find(|object| object.path == path).map(Type::Object);
        }
        let callee = call.get_prefix_expr()?;
        match self.follow(&callee, steps) {
            Type::Function(function) => Some(function.returns.clone()),
            _ => None,
        }
    }

    /// `a or b`, where both are the same object.
    fn alternatives(&self, binary: &LuaBinaryExpr, steps: usize) -> Option<Type> {
        if binary.get_op_token()?.get_op() != BinaryOperator::OpOr {
            return None;
        }
        let (left, right) = binary.get_exprs()?;
        match (self.follow(&left, steps), self.follow(&right, steps)) {
            (Type::Object(left), Type::Object(right)) if left.class == right.class => {
                Some(Type::Object(left))
            }
            _ => None,
        }
    }
}

fn start(node: &LuaSyntaxNode) -> u32 {
    node.text_range().start().into()
}
