//! `mysql.tokenizer`: SQL as tokens. What they are is said in `sql`.

use std::ops::Range;
use std::sync::Arc;

use mlua::{AnyUserData, IntoLua, Lua, MetaMethod, Result, Table, UserData, UserDataFields, Value};
use sql::TokenId;

use crate::api::{self, Field, Object};
use crate::builtin_module::{self, string};
use crate::callback::{self, bad_argument};

/// `mysql.tokenizer`
pub(crate) const MODULE: Object = Object {
    path: "require(\"mysql.tokenizer\")",
    class: "mysql_proxy.Tokenizer",
    text: "SQL as tokens, in the dialect that servers have by default. Also the global `tokenizer` once it is required.",
    fields: &[Field::read(
        "tokenize",
        "fun(sql: string): mysql_proxy.Token[]",
        "The tokens: `#tokens` are there, from `tokens[1]` on. `tokens[i] = nil` forgets one. More than 16 million of \
         them are an error.",
    )],
};

/// `tokens[i]`
pub(crate) const TOKEN: Object = Object {
    path: "tokens[i]",
    class: "mysql_proxy.Token",
    text: "A piece of SQL.",
    fields: TOKEN_FIELDS,
};

const TOKEN_FIELDS: &[Field] = &[
    Field::read(
        "text",
        "string",
        "Without quotes and comment signs; a doubled quote is one, backslashes are as they were.",
    ),
    Field::read(
        "token_id",
        "integer",
        "What it is, and for a keyword which one. The numbers never change.",
    ),
    Field::read(
        "token_name",
        "string",
        "The same as text: `TK_SQL_SELECT`, `TK_LITERAL` (a name), `TK_FUNCTION` (a name right before a parenthesis), \
         `TK_STRING`, `TK_INTEGER`, `TK_FLOAT`, `TK_COMMENT`, `TK_COMMENT_MYSQL` (`/*! ... */`), `TK_COMMA` ...",
    ),
    Field::read(
        "raw",
        "string",
        "As it was written, with quotes and comment signs.",
    ),
    Field::read(
        "position",
        "integer",
        "Where `raw` begins in the SQL, from 1: `sql:sub(1, t.position - 1) .. new .. sql:sub(t.position + #t.raw)` puts \
         something else in its place.",
    ),
];

/// Behind them are as many bytes as the text has at most.
pub(crate) const TOKENS_MAX: usize = 16 << 20;

/// The module's table.
///
/// # Errors
/// No memory.
pub(crate) fn module(lua: &Lua) -> Result<Table> {
    let module = builtin_module::new(lua, "splits SQL into tokens")?;
    module.raw_set("tokenize", callback::create(lua, tokenize)?)?;
    Ok(module)
}

/// `tokenize(sql)`
fn tokenize(lua: &Lua, sql: Value) -> Result<AnyUserData> {
    let sql = string(lua, 1, "tokenize", &sql)?;
    if u32::try_from(sql.len()).is_err() {
        return Err(mlua::Error::runtime("tokenize: the text is too long"));
    }
    let mut texts = Vec::new();
    let mut entries = Vec::new();
    for token in sql::tokenize(&sql) {
        if entries.len() == TOKENS_MAX {
            return Err(mlua::Error::runtime(format!(
                "tokenize: the text has more than {TOKENS_MAX} tokens"
            )));
        }
        texts.extend_from_slice(&token.text);
        let from = token.raw.as_ptr().addr() - sql.as_ptr().addr();
        entries.push(Entry {
            id: Some(token.id),
            text_end: texts.len() as u32,
            raw_from: from as u32,
            raw_end: (from + token.raw.len()) as u32,
        });
    }
    let source = Arc::new(Source { sql, texts });
    lua.create_userdata(Tokens { source, entries })
}

/// What `tokenize` gives.
#[derive(Debug)]
struct Tokens {
    source: Arc<Source>,
    entries: Vec<Entry>,
}

/// What tokens are pieces of.
#[derive(Debug)]
struct Source {
    sql: Vec<u8>,
    /// One behind the other; no longer than `sql`.
    texts: Vec<u8>,
}

/// A token: where it is in `sql`, and where its text ends in `texts`. There may be millions.
#[derive(Debug)]
struct Entry {
    /// `None` for one that was forgotten.
    id: Option<TokenId>,
    text_end: u32,
    raw_from: u32,
    raw_end: u32,
}

/// `tokens[i]`: needs the others no more.
#[derive(Debug)]
struct Token {
    id: TokenId,
    source: Arc<Source>,
    /// In `texts`.
    text: Range<usize>,
    /// In `sql`.
    raw: Range<usize>,
}

impl Tokens {
    fn index(&self, lua: &Lua, key: &Value) -> Result<Option<usize>> {
        let ndx = callback::integer(lua, key)
            .ok_or_else(|| bad_argument(2, "tokens[...]", "number", key))?;
        let index = usize::try_from(ndx).ok().and_then(|ndx| ndx.checked_sub(1));
        Ok(index.filter(|&index| index < self.entries.len()))
    }

    fn token(&self, index: usize) -> Option<Token> {
        let entry = self.entries.get(index)?;
        let before = index.checked_sub(1).and_then(|at| self.entries.get(at));
        let text_from = before.map_or(0, |before| before.text_end);
        Some(Token {
            id: entry.id?,
            source: Arc::clone(&self.source),
            text: text_from as usize..entry.text_end as usize,
            raw: entry.raw_from as usize..entry.raw_end as usize,
        })
    }
}

impl UserData for Tokens {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, |lua, this: &Self, key: Value| {
            let token = this.index(lua, &key)?.and_then(|index| this.token(index));
            token.map_or(Ok(Value::Nil), |token| token.into_lua(lua))
        });
        callback::metamethod(fields, MetaMethod::Len, |_, this: &Self, (): ()| {
            Ok(this.entries.len())
        });
        fields.add_meta_field_with(MetaMethod::NewIndex.name(), |lua| {
            callback::create(lua, forget)
        });
    }
}

/// `tokens[i] = nil`
fn forget(lua: &Lua, (this, key, value): (AnyUserData, Value, Value)) -> Result<()> {
    let mut tokens = this.borrow_mut::<Tokens>()?;
    if !value.is_nil() {
        return Err(mlua::Error::runtime(
            "tokens[...] can only be set to nil, which forgets the token",
        ));
    }
    if let Some(index) = tokens.index(lua, &key)? {
        tokens.entries[index].id = None;
    }
    Ok(())
}

impl UserData for Token {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        callback::metamethod(fields, MetaMethod::Index, |lua, this: &Self, key: Value| {
            match api::readable(TOKEN_FIELDS, &key) {
                Some("text") => lua
                    .create_string(&this.source.texts[this.text.clone()])?
                    .into_lua(lua),
                Some("token_id") => this.id.0.into_lua(lua),
                Some("token_name") => this.id.name().into_lua(lua),
                Some("raw") => lua
                    .create_string(&this.source.sql[this.raw.clone()])?
                    .into_lua(lua),
                Some("position") => (this.raw.start + 1).into_lua(lua),
                _ => Err(mlua::Error::runtime(format!(
                    "tokens[...] has no {} field",
                    callback::key_text(&key)
                ))),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) {
        let lua = Lua::new();
        callback::install(&lua).unwrap();
        let module = module(&lua).unwrap();
        lua.globals().set("tokenizer", module).unwrap();
        lua.load(script).exec().unwrap();
    }

    #[test]
    fn tokens_are_counted_and_read() {
        run("local tokens = tokenizer.tokenize('SELECT a\\0b, 1')
             assert(type(tokens) == 'userdata' and #tokens == 6)
             assert(tokens[1].text == 'SELECT' and tokens[1].token_id == 204)
             assert(tokens[1].token_name == 'TK_SQL_SELECT')
             assert(tokens[3].text == '\\0' and tokens[3].token_name == 'TK_UNKNOWN')
             assert(tokens['2'].text == 'a')
             for _, ndx in ipairs { -1, 0, 7, 2 ^ 60 } do assert(tokens[ndx] == nil) end
             assert(#tokenizer.tokenize('') == 0)
             assert(#tokenizer.tokenize(42) == 1)");
    }

    #[test]
    fn a_token_knows_where_it_was_written() {
        run(
            "local sql = 'SELECT `a``b`,\\t\"it\"\"s\" /* c */ FROM t.1x, u(-- x'
             local pieces, tokens = {}, tokenizer.tokenize(sql)
             for i = 1, #tokens do
               local token = tokens[i]
               pieces[i] = token.raw
               assert(sql:sub(token.position, token.position + #token.raw - 1) == token.raw)
             end
             local expected = 'SELECT|`a``b`|,|\"it\"\"s\"|/* c */|FROM|t|.|1x|,|u|(|-- x'
             assert(table.concat(pieces, '|') == expected, table.concat(pieces, '|'))",
        );
    }

    #[test]
    fn a_token_outlives_the_others() {
        run("local tokens = tokenizer.tokenize('a b c')
             local b = tokens[2]
             tokens[2] = nil
             assert(#tokens == 3 and tokens[2] == nil)
             assert(tokens[1].text == 'a' and tokens[3].text == 'c')
             tokens[9] = nil
             tokens = nil
             collectgarbage()
             assert(b.text == 'b')");
    }

    #[test]
    fn misuse_is_an_error() {
        run("local function fails(text, ...)
               local ok, message = pcall(...)
               assert(not ok and message:find(text, 1, true), message)
             end
             local tokens = tokenizer.tokenize('a')
             fails('string expected, got nil', tokenizer.tokenize)
             fails('string expected, got table', tokenizer.tokenize, {})
             fails('number expected, got string', function() return tokens.x end)
             fails('can only be set to nil', function() tokens[1] = 'b' end)
             fails('tokens[...] has no x field', function() return tokens[1].x end)
             fails('', function() tokens[1].text = 'b' end)");
    }
}
