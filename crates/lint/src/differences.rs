//! What works in another way than in MySQL Proxy 0.8.5, or has an effect that is easily overlooked.

use emmylua_parser::{
    LuaAssignStat, LuaAstNode, LuaBlock, LuaCallExpr, LuaClosureExpr, LuaExpr, LuaIndexExpr,
    LuaReturnStat, LuaStat, LuaVarExpr,
};

use crate::annotation::Type;
use crate::finding::Findings;
use crate::inference::Inference;
use crate::names::{self, Names};
use crate::text::{Text, constant_key, quoted};

pub(crate) fn check(
    text: &Text,
    names: &Names,
    inference: &Inference<'_>,
    findings: &mut Findings,
) {
    let script = Script {
        text,
        names,
        inference,
    };
    script.blocking(findings);
    script.forgotten_queries(findings);
    script.released_in_transactions(findings);
    script.constants(findings);
    script.change_user(findings);
    script.left_out_by_luajit(findings);
}

struct Script<'a> {
    text: &'a Text,
    names: &'a Names,
    inference: &'a Inference<'a>,
}

/// Functions that wait for something else than the proxy, by module and name.
const BLOCKING: [(&str, &str); 3] = [("os", "execute"), ("io", "popen"), ("glib2", "usleep")];

impl Script<'_> {
    /// Whether it is this field of the object.
    fn is_field(&self, index: &LuaIndexExpr, class: &str, name: &str) -> bool {
        constant_key(index).as_deref() == Some(name)
            && index.get_prefix_expr().is_some_and(|prefix| {
                matches!(self.inference.type_of(&prefix), Type::Object(object) if object.class == class)
            })
    }

    /// The hook around a piece of the script, where no other function is between them.
    fn hook_around(&self, node: &impl LuaAstNode) -> Option<&'static str> {
        let closure = node.ancestors::<LuaClosureExpr>().next()?;
        self.names.hook_of(&closure).map(|hook| hook.name)
    }

    fn indexes(&self) -> impl Iterator<Item = LuaIndexExpr> {
        self.text.chunk.descendants::<LuaIndexExpr>()
    }

    fn blocking(&self, findings: &mut Findings) {
        const WHILE_IT_WAITS: &str =
            "while it waits, all connections of its Lua state wait (--lua-states), and its thread";
        for call in self.text.chunk.descendants::<LuaCallExpr>() {
            let Some(LuaExpr::IndexExpr(index)) = call.get_prefix_expr() else {
                continue;
            };
            let module = index
                .get_prefix_expr()
                .and_then(|module| self.names.module_of(&module));
            let (Some(module), Some(name)) = (module, constant_key(&index)) else {
                continue;
            };
            if BLOCKING.contains(&(module.as_str(), name.as_str())) {
                let shown = quoted(index.syntax());
                findings.note(
                    self.text.line(&call),
                    format!("`{shown}`: {WHILE_IT_WAITS}"),
                );
            }
        }
        for (module, call) in names::required(self.text, self.names) {
            if module == "socket" || module.starts_with("socket.") {
                findings.note(
                    self.text.line(&call),
                    format!("`{module}`: {WHILE_IT_WAITS}"),
                );
            }
        }
    }

    /// Queries that read_query adds and then lets go.
    fn forgotten_queries(&self, findings: &mut Findings) {
        for call in self.text.chunk.descendants::<LuaCallExpr>() {
            let Some(LuaExpr::IndexExpr(callee)) = call.get_prefix_expr() else {
                continue;
            };
            let adds = ["append", "prepend"]
                .iter()
                .any(|method| self.is_field(&callee, "mysql_proxy.Queries", method));
            if adds
                && self.hook_around(&call) == Some("read_query")
                && (returns_nothing(&call) || ends_at_once(&call))
            {
                findings.warning(
                    self.text.line(&call),
                    "the hook returns nothing after this: the query is dropped, and the client's own is sent; \
                     `return proxy.PROXY_SEND_QUERY` sends it"
                        .to_owned(),
                );
            }
        }
    }

    /// `backend_ndx = 0`, by a script that never asks whether a transaction is open.
    fn released_in_transactions(&self, findings: &mut Findings) {
        let asks = self
            .indexes()
            .any(|index| constant_key(&index).as_deref() == Some("in_trans"));
        if asks {
            return;
        }
        for assignment in self.text.chunk.descendants::<LuaAssignStat>() {
            let (variables, values) = assignment.get_var_and_expr_list();
            let ([LuaVarExpr::IndexExpr(index)], [value]) = (&variables[..], &values[..]) else {
                continue;
            };
            let is_release = self.is_field(index, "mysql_proxy.Connection", "backend_ndx")
                && quoted(value.syntax()) == "0";
            let effect = match self.hook_around(&assignment) {
                Some("read_query_result" | "read_query") => {
                    "the connection stays with its client then, and the log says so"
                }
                Some("disconnect_client") => "the connection is closed then",
                _ => continue,
            };
            if is_release {
                findings.note(
                    self.text.line(&assignment),
                    format!(
                        "a connection with an open transaction, a prepared statement, a lock ... went to the pool in MySQL \
                         Proxy 0.8.5; {effect}"
                    ),
                );
            }
        }
    }

    fn constants(&self, findings: &mut Findings) {
        for index in self.indexes() {
            let line = self.text.line_of_key(&index);
            if self.is_field(&index, "mysql_proxy.Proxy", "MYSQLD_PACKET_EOF") {
                findings.note(
                    line,
                    "`proxy.MYSQLD_PACKET_EOF` is 254; it was nil in MySQL Proxy 0.8.5. It is no type of a response".to_owned(),
                );
            }
            if self.is_field(&index, "mysql_proxy.Proxy", "MYSQLD_PACKET_RAW")
                && self.hook_around(&index) == Some("read_handshake")
            {
                findings.note(
                    line,
                    "what read_handshake answers ends the connection, a greeting too; connect_server can greet in a \
                     server's place"
                        .to_owned(),
                );
            }
        }
    }

    fn left_out_by_luajit(&self, findings: &mut Findings) {
        for index in self.indexes() {
            let module = index
                .get_prefix_expr()
                .and_then(|module| self.names.module_of(&module));
            if module.as_deref() == Some("math") && constant_key(&index).as_deref() == Some("mod") {
                findings.warning(
                    self.text.line_of_key(&index),
                    "`math.mod` is nil: LuaJIT does not have it, as Lua 5.1 did; use `math.fmod`"
                        .to_owned(),
                );
            }
        }
    }

    /// COM_CHANGE_USER among the queries.
    fn change_user(&self, findings: &mut Findings) {
        for index in self.indexes() {
            let mut calls = index.ancestors::<LuaCallExpr>();
            let is_queued = calls.any(|call| match call.get_prefix_expr() {
                Some(LuaExpr::IndexExpr(callee)) => ["append", "prepend"]
                    .iter()
                    .any(|method| self.is_field(&callee, "mysql_proxy.Queries", method)),
                _ => false,
            });
            if is_queued && self.is_field(&index, "mysql_proxy.Proxy", "COM_CHANGE_USER") {
                findings.note(
                    self.text.line_of_key(&index),
                    "the client itself has to answer the server's questions after COM_CHANGE_USER: its result goes to the \
                     client, and read_query_result is not called for it"
                        .to_owned(),
                );
            }
        }
    }
}

/// The function around the call never returns a value.
fn returns_nothing(call: &LuaCallExpr) -> bool {
    let Some(function) = call.ancestors::<LuaClosureExpr>().next() else {
        return false;
    };
    let mut returns = function.descendants::<LuaReturnStat>();
    !returns.any(|statement| statement.get_expr_list().next().is_some())
}

/// The next statement is a `return` without a value, or the hook's end.
fn ends_at_once(call: &LuaCallExpr) -> bool {
    let Some(statement) = call.ancestors::<LuaStat>().next() else {
        return false;
    };
    let Some(block) = statement.get_parent_block() else {
        return false;
    };
    let mut behind = block
        .get_stats()
        .skip_while(|other| *other != statement)
        .skip(1);
    match behind.next() {
        Some(LuaStat::ReturnStat(statement)) => statement.get_expr_list().next().is_none(),
        Some(_) => false,
        None => is_body(&block),
    }
}

fn is_body(block: &LuaBlock) -> bool {
    block.get_parent::<LuaClosureExpr>().is_some()
}
