//! Which variable each name in a script stands for: a local one, and how it gets its value, or a global one.

use std::collections::{HashMap, HashSet};

use emmylua_parser::{
    LuaAssignStat, LuaAst, LuaAstNode, LuaBlock, LuaCallExpr, LuaClosureExpr, LuaExpr,
    LuaForRangeStat, LuaForStat, LuaFuncStat, LuaLocalFuncStat, LuaLocalStat, LuaNameExpr,
    LuaNameToken, LuaRepeatStat, LuaStat, LuaSyntaxNode, LuaVarExpr,
};
use script::api::{self, HookDeclaration};

use crate::text::{Text, constant_key, constant_string};

/// Where a piece of the script begins, in bytes.
type Position = u32;

/// All names of a script.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) locals: Vec<Local>,
    pub(crate) globals: Vec<GlobalUse>,
    /// Local variables by where they are named.
    uses: HashMap<Position, usize>,
    /// Global variables that the script sets, in whatever way.
    defined: HashSet<String>,
    /// Code of unknown content runs, or global variables are reached in other ways than by their names.
    pub(crate) is_dynamic: bool,
}

/// A local variable.
pub(crate) struct Local {
    pub(crate) token: LuaNameToken,
    pub(crate) origin: Origin,
    pub(crate) reads: usize,
    /// After its declaration.
    pub(crate) writes: usize,
}

/// How a local variable gets its first value.
pub(crate) enum Origin {
    /// `local name = ...`, `local function name`
    Value(LuaExpr),
    /// From 0.
    Argument(LuaClosureExpr, usize),
    /// A loop's variable, or one of several values.
    Other,
}

/// A global variable is named.
pub(crate) struct GlobalUse {
    pub(crate) name: String,
    pub(crate) expr: LuaNameExpr,
    pub(crate) kind: Kind,
    /// The innermost function around it.
    pub(crate) function: Option<LuaClosureExpr>,
}

pub(crate) enum Kind {
    Read,
    /// With the value, where it is one expression.
    Write(Option<LuaExpr>),
}

/// What a name stands for.
pub(crate) enum Variable<'a> {
    Local(&'a Local),
    Global(String),
}

impl Names {
    pub(crate) fn resolve(text: &Text) -> Self {
        let mut resolver = Resolver::default();
        if let Some(block) = text.chunk.get_block() {
            resolver.block(&block);
        }
        let mut names = resolver.names;
        names.note_definitions(text);
        names
    }

    pub(crate) fn variable(&self, name: &LuaNameExpr) -> Option<Variable<'_>> {
        match self.uses.get(&position(name.syntax())) {
            Some(local) => Some(Variable::Local(self.locals.get(*local)?)),
            None => name.get_name_text().map(Variable::Global),
        }
    }

    /// Whether `expr` names this global variable.
    pub(crate) fn is_global(&self, expr: &LuaExpr, name: &str) -> bool {
        let LuaExpr::NameExpr(expr) = expr else {
            return false;
        };
        matches!(self.variable(expr), Some(Variable::Global(global)) if global == name)
    }

    /// The module that `expr` is: a global variable of its name, a local one that holds what `require` returned, or the call
    /// itself.
    pub(crate) fn module_of(&self, expr: &LuaExpr) -> Option<String> {
        match expr {
            LuaExpr::CallExpr(call) => self.required_by(call),
            LuaExpr::NameExpr(name) => match self.variable(name)? {
                Variable::Global(name) => Some(name),
                Variable::Local(local) => match &local.origin {
                    Origin::Value(LuaExpr::CallExpr(call)) => self.required_by(call),
                    _ => None,
                },
            },
            _ => None,
        }
    }

    /// The module that a call requires, if it is one of `require` with a constant name.
    pub(crate) fn required_by(&self, call: &LuaCallExpr) -> Option<String> {
        let is_require = self.is_global(&call.get_prefix_expr()?, "require");
        let name = constant_string(&call.get_args_list()?.get_args().next()?)?;
        is_require.then_some(name)
    }

    /// Every place where the global variable gets a value.
    pub(crate) fn writes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a GlobalUse> {
        let writes = self.globals.iter();
        writes.filter(move |global| global.name == name && matches!(global.kind, Kind::Write(_)))
    }

    pub(crate) fn is_read(&self, name: &str) -> bool {
        let mut globals = self.globals.iter();
        globals.any(|global| global.name == name && matches!(global.kind, Kind::Read))
    }

    pub(crate) fn defines(&self, name: &str) -> bool {
        self.defined.contains(name)
    }

    /// The hook that a function is, if it is one.
    pub(crate) fn hook_of(&self, function: &LuaClosureExpr) -> Option<HookDeclaration> {
        let is_this = |global: &GlobalUse| match &global.kind {
            Kind::Write(Some(LuaExpr::ClosureExpr(closure))) => closure == function,
            Kind::Write(_) | Kind::Read => false,
        };
        let mut hooks = api::hooks().into_iter();
        hooks.find(|hook| self.writes(hook.name).any(is_this))
    }

    /// Beside plain assignments there are `_G.name = ...` and whatever code that is made or loaded at run time does.
    fn note_definitions(&mut self, text: &Text) {
        /// Whoever calls these may see and set any variable.
        const DYNAMIC: [&str; 7] = [
            "setfenv",
            "getfenv",
            "load",
            "loadstring",
            "loadfile",
            "dofile",
            "module",
        ];
        for global in &self.globals {
            if matches!(global.kind, Kind::Write(_)) {
                self.defined.insert(global.name.clone());
            }
            self.is_dynamic |= DYNAMIC.contains(&global.name.as_str());
            if global.name == "_G" {
                let parent = global.expr.syntax().parent().and_then(LuaExpr::cast);
                let field = match &parent {
                    Some(LuaExpr::IndexExpr(index)) => constant_key(index),
                    _ => None,
                };
                self.is_dynamic |= field.is_none();
            }
        }
        for assignment in text.chunk.descendants::<LuaAssignStat>() {
            for variable in assignment.get_var_and_expr_list().0 {
                if let LuaVarExpr::IndexExpr(index) = variable
                    && index
                        .get_prefix_expr()
                        .is_some_and(|prefix| self.is_global(&prefix, "_G"))
                {
                    self.defined.extend(constant_key(&index));
                }
            }
        }
        for function in text.chunk.descendants::<LuaFuncStat>() {
            if let Some(LuaVarExpr::IndexExpr(index)) = function.get_func_name()
                && index
                    .get_prefix_expr()
                    .is_some_and(|prefix| self.is_global(&prefix, "_G"))
            {
                self.defined.extend(constant_key(&index));
            }
        }
    }
}

/// Modules that the script requires by a constant name, with the call.
pub(crate) fn required<'a>(
    text: &'a Text,
    names: &'a Names,
) -> impl Iterator<Item = (String, LuaCallExpr)> + 'a {
    let calls = text.chunk.descendants::<LuaCallExpr>();
    calls.filter_map(|call| Some((names.required_by(&call)?, call)))
}

fn position(node: &LuaSyntaxNode) -> Position {
    node.text_range().start().into()
}

/// Walks the script in the order in which names come into being.
#[derive(Default)]
struct Resolver {
    names: Names,
    /// Local variables that can be seen, the innermost scope last.
    scopes: Vec<Vec<(String, usize)>>,
    functions: Vec<LuaClosureExpr>,
}

impl Resolver {
    fn block(&mut self, block: &LuaBlock) {
        self.scoped(|this| this.statements(block));
    }

    fn scoped(&mut self, inside: impl FnOnce(&mut Self)) {
        self.scopes.push(Vec::new());
        inside(self);
        self.scopes.pop();
    }

    fn statements(&mut self, block: &LuaBlock) {
        block
            .get_stats()
            .for_each(|statement| self.statement(&statement));
    }

    fn statement(&mut self, statement: &LuaStat) {
        match statement {
            LuaStat::LocalStat(local) => self.local(local),
            LuaStat::LocalFuncStat(function) => self.local_function(function),
            LuaStat::AssignStat(assignment) => self.assignment(assignment),
            LuaStat::FuncStat(function) => self.function_statement(function),
            LuaStat::ForStat(numeric) => self.numeric_for(numeric),
            LuaStat::ForRangeStat(generic) => self.generic_for(generic),
            LuaStat::RepeatStat(repeat) => self.repeat(repeat),
            other => self.parts(other.syntax()),
        }
    }

    fn local(&mut self, local: &LuaLocalStat) {
        let values: Vec<_> = local.get_value_exprs().collect();
        values.iter().for_each(|value| self.expression(value));
        for (position, name) in local.get_local_name_list().enumerate() {
            let origin = match values.get(position) {
                Some(value) => Origin::Value(value.clone()),
                None => Origin::Other,
            };
            if let Some(token) = name.get_name_token() {
                self.declare(token, origin);
            }
        }
    }

    fn local_function(&mut self, function: &LuaLocalFuncStat) {
        let name = function
            .get_local_name()
            .and_then(|name| name.get_name_token());
        if let (Some(token), Some(closure)) = (name, function.get_closure()) {
            self.declare(token, Origin::Value(closure.clone().into()));
            self.function(&closure, false);
        }
    }

    fn assignment(&mut self, assignment: &LuaAssignStat) {
        let (variables, values) = assignment.get_var_and_expr_list();
        values.iter().for_each(|value| self.expression(value));
        for (position, variable) in variables.into_iter().enumerate() {
            match variable {
                LuaVarExpr::NameExpr(name) => self.write(&name, values.get(position).cloned()),
                LuaVarExpr::IndexExpr(index) => self.parts(index.syntax()),
            }
        }
    }

    fn function_statement(&mut self, function: &LuaFuncStat) {
        let closure = function.get_closure();
        let mut is_method = false;
        match function.get_func_name() {
            Some(LuaVarExpr::NameExpr(name)) => {
                self.write(&name, closure.clone().map(LuaExpr::from))
            }
            Some(LuaVarExpr::IndexExpr(index)) => {
                is_method = index
                    .get_index_token()
                    .is_some_and(|token| token.is_colon());
                self.parts(index.syntax());
            }
            None => {}
        }
        if let Some(closure) = closure {
            self.function(&closure, is_method);
        }
    }

    fn numeric_for(&mut self, numeric: &LuaForStat) {
        numeric
            .get_iter_expr()
            .for_each(|bound| self.expression(&bound));
        self.scoped(|this| {
            if let Some(token) = numeric.get_var_name() {
                this.declare(token, Origin::Other);
            }
            numeric
                .get_block()
                .iter()
                .for_each(|block| this.block(block));
        });
    }

    fn generic_for(&mut self, generic: &LuaForRangeStat) {
        generic
            .get_expr_list()
            .for_each(|expr| self.expression(&expr));
        self.scoped(|this| {
            for token in generic.get_var_name_list() {
                this.declare(token, Origin::Other);
            }
            generic
                .get_block()
                .iter()
                .for_each(|block| this.block(block));
        });
    }

    /// The condition sees the local variables of the block.
    fn repeat(&mut self, repeat: &LuaRepeatStat) {
        self.scoped(|this| {
            repeat
                .get_block()
                .iter()
                .for_each(|block| this.statements(block));
            repeat
                .get_condition_expr()
                .iter()
                .for_each(|expr| this.expression(expr));
        });
    }

    fn expression(&mut self, expr: &LuaExpr) {
        match expr {
            LuaExpr::NameExpr(name) => self.read(name),
            LuaExpr::ClosureExpr(closure) => self.function(closure, false),
            other => self.parts(other.syntax()),
        }
    }

    /// Whatever is in it: expressions, blocks, and what holds these.
    fn parts(&mut self, node: &LuaSyntaxNode) {
        for child in node.children() {
            if let Some(expr) = LuaExpr::cast(child.clone()) {
                self.expression(&expr);
            } else if let Some(block) = LuaBlock::cast(child.clone()) {
                self.block(&block);
            } else if LuaAst::cast(child.clone()).is_some() {
                self.parts(&child);
            }
        }
    }

    fn function(&mut self, closure: &LuaClosureExpr, is_method: bool) {
        self.functions.push(closure.clone());
        self.scoped(|this| {
            let parameters = closure.get_params_list();
            let parameters = parameters.iter().flat_map(|list| list.get_params());
            for (position, parameter) in parameters.enumerate() {
                if let Some(token) = parameter.get_name_token() {
                    this.declare(token, Origin::Argument(closure.clone(), position));
                }
            }
            if is_method {
                this.declare_self();
            }
            closure
                .get_block()
                .iter()
                .for_each(|block| this.block(block));
        });
        self.functions.pop();
    }

    fn declare(&mut self, token: LuaNameToken, origin: Origin) {
        let name = token.get_name_text().to_owned();
        let index = self.names.locals.len();
        self.names.locals.push(Local {
            token,
            origin,
            reads: 0,
            writes: 0,
        });
        if let Some(scope) = self.scopes.last_mut() {
            scope.push((name, index));
        }
    }

    /// It is a local variable that no word declares.
    fn declare_self(&mut self) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(("self".to_owned(), usize::MAX));
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let mut visible = self
            .scopes
            .iter()
            .rev()
            .flat_map(|scope| scope.iter().rev());
        visible
            .find(|(local, _)| local == name)
            .map(|(_, index)| *index)
    }

    fn read(&mut self, name: &LuaNameExpr) {
        self.note(name, Kind::Read);
    }

    fn write(&mut self, name: &LuaNameExpr, value: Option<LuaExpr>) {
        self.note(name, Kind::Write(value));
    }

    fn note(&mut self, expr: &LuaNameExpr, kind: Kind) {
        let Some(name) = expr.get_name_text() else {
            return;
        };
        let Some(index) = self.find(&name) else {
            let function = self.functions.last().cloned();
            let expr = expr.clone();
            self.names.globals.push(GlobalUse {
                name,
                expr,
                kind,
                function,
            });
            return;
        };
        // Of `self` nothing is known.
        if let Some(local) = self.names.locals.get_mut(index) {
            match kind {
                Kind::Read => local.reads += 1,
                Kind::Write(_) => local.writes += 1,
            }
        }
        self.names.uses.insert(position(expr.syntax()), index);
    }
}
