//! Types as the declarations of [`script::api`] write them: annotations of the Lua language server.

use std::rc::Rc;

use emmylua_parser::{
    LuaAstNode, LuaDocFuncType, LuaDocObjectField, LuaDocObjectFieldKey, LuaDocTagType, LuaDocType,
    LuaParser, LuaTypeBinaryOperator, ParserConfig,
};
use script::api::{self, Object};

/// What is known of a value.
#[derive(Debug, Clone)]
pub(crate) enum Type {
    /// One of the proxy's objects, tables and modules.
    Object(Object),
    /// A table of these fields.
    Table(Rc<[(String, Self)]>),
    /// `list[1]`
    List(Rc<Self>),
    /// `map["key"]`
    Map(Rc<Self>),
    Function(Rc<Function>),
    /// Nothing, or nothing that matters here.
    Other,
}

#[derive(Debug)]
pub(crate) struct Function {
    /// Its `self` is the first.
    pub(crate) parameters: Vec<Type>,
    /// The first of its values.
    pub(crate) returns: Type,
}

/// What an annotation means.
pub(crate) fn parse(annotation: &str) -> Type {
    let tree = LuaParser::parse(
        &format!("---@type {annotation}\nlocal value"),
        ParserConfig::default(),
    );
    let tag = tree.get_chunk_node().descendants::<LuaDocTagType>().next();
    let parsed = tag.and_then(|tag| tag.get_type_list().next());
    parsed.map_or(Type::Other, |parsed| of(&parsed))
}

/// The object of a class.
pub(crate) fn object(class: &str) -> Option<Object> {
    let mut objects = api::objects().into_iter();
    objects.find(|object| object.class == class)
}

fn of(parsed: &LuaDocType) -> Type {
    match parsed {
        LuaDocType::Name(name) => {
            let class = name.get_name_text().and_then(|class| object(&class));
            class.map_or(Type::Other, Type::Object)
        }
        LuaDocType::Array(array) => of_element(array.get_type()).map_or(Type::Other, Type::List),
        LuaDocType::Generic(generic) => {
            let arguments = generic.get_generic_types();
            let value = arguments.and_then(|arguments| arguments.get_types().nth(1));
            of_element(value).map_or(Type::Other, Type::Map)
        }
        LuaDocType::Object(table) => Type::Table(table.get_fields().filter_map(field).collect()),
        LuaDocType::Func(function) => Type::Function(Rc::new(function_of(function))),
        // `X|nil` is X: whether it is nil shows when it runs.
        LuaDocType::Binary(union) => match (union.get_op_token(), union.get_types()) {
            (Some(token), Some((left, right)))
                if token.get_op() == LuaTypeBinaryOperator::Union =>
            {
                match (of(&left), of(&right)) {
                    (known, Type::Other) => known,
                    (Type::Other, known) => known,
                    _ => Type::Other,
                }
            }
            _ => Type::Other,
        },
        LuaDocType::Nullable(nullable) => {
            nullable.get_type().map_or(Type::Other, |inner| of(&inner))
        }
        _ => Type::Other,
    }
}

fn of_element(parsed: Option<LuaDocType>) -> Option<Rc<Type>> {
    parsed.map(|parsed| Rc::new(of(&parsed)))
}

fn field(field: LuaDocObjectField) -> Option<(String, Type)> {
    let LuaDocObjectFieldKey::Name(name) = field.get_field_key()? else {
        return None;
    };
    let value = field.get_type().map_or(Type::Other, |value| of(&value));
    Some((name.get_name_text().to_owned(), value))
}

fn function_of(function: &LuaDocFuncType) -> Function {
    let parameters = function.get_params();
    let returns = function.get_return_type_list();
    let first = returns.and_then(|list| list.descendants::<LuaDocType>().next());
    Function {
        parameters: parameters
            .map(|parameter| {
                parameter
                    .get_type()
                    .map_or(Type::Other, |parsed| of(&parsed))
            })
            .collect(),
        returns: first.map_or(Type::Other, |parsed| of(&parsed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written as `List(proxy.global.backends[i])`.
    fn shown(of: &Type) -> String {
        match of {
            Type::Object(object) => object.path.to_owned(),
            Type::List(element) => format!("List({})", shown(element)),
            Type::Map(element) => format!("Map({})", shown(element)),
            Type::Table(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, field)| format!("{name}: {}", shown(field)));
                format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
            }
            Type::Function(function) => {
                let parameters = function.parameters.iter().map(shown);
                let parameters = parameters.collect::<Vec<_>>().join(", ");
                format!("fun({parameters}): {}", shown(&function.returns))
            }
            Type::Other => "-".to_owned(),
        }
    }

    #[test]
    fn annotations_of_each_kind() {
        for (annotation, expected) in [
            ("string", "-"),
            ("mysql_proxy.Proxy", "proxy"),
            (
                "mysql_proxy.Socket|nil",
                "proxy.connection.client, proxy.connection.server",
            ),
            ("mysql_proxy.Backend[]", "List(proxy.global.backends[i])"),
            ("any[][]", "List(List(-))"),
            (
                "table<string, mysql_proxy.PoolUser>",
                "Map(proxy.global.backends[i].pool.users[name])",
            ),
            ("{ packet: string }", "{ packet: - }"),
            (
                "fun(sql: string): mysql_proxy.Token[]",
                "fun(-): List(tokens[i])",
            ),
            ("(fun(): string[]|nil)|nil", "fun(): List(-)"),
        ] {
            assert_eq!(shown(&parse(annotation)), expected, "{annotation}");
        }
    }

    #[test]
    fn methods_say_what_their_options_are() {
        let queries = object("mysql_proxy.Queries").expect("it is declared");
        let append = queries.fields.iter().find(|field| field.name == "append");
        assert_eq!(
            shown(&parse(append.expect("it is declared").lua_type)),
            "fun(proxy.queries, -, -, { resultset_is_needed: -, attributes: Map(-) }): -"
        );
    }
}
