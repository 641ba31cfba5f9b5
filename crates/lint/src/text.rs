//! A script's text as a syntax tree, and the lines of its parts.

use std::collections::HashMap;

use emmylua_parser::{
    LineIndex, LuaAstNode, LuaAstToken, LuaChunk, LuaExpr, LuaFeaturesSet, LuaIndexExpr,
    LuaIndexKey, LuaLanguageLevel, LuaLiteralToken, LuaNameToken, LuaParseErrorKind, LuaParser,
    LuaSyntaxNode, ParserConfig,
};

/// What is quoted of the script.
const QUOTED_CHARACTERS_MAX: usize = 60;

/// A script's text.
pub(crate) struct Text {
    pub(crate) chunk: LuaChunk,
    lines: LineIndex,
}

impl Text {
    /// The error is a line and what is wrong there.
    pub(crate) fn parse(source: &str) -> Result<Self, (usize, String)> {
        let config = ParserConfig::new(
            LuaLanguageLevel::LuaJIT2,
            None,
            HashMap::new(),
            LuaFeaturesSet::default(),
            false,
        );
        let tree = LuaParser::parse(source, config);
        let text = Self {
            chunk: tree.get_chunk_node(),
            lines: LineIndex::parse(source),
        };
        let mut errors = tree.get_errors().iter();
        match errors.find(|error| error.kind == LuaParseErrorKind::SyntaxError) {
            None => Ok(text),
            Some(error) => {
                let line = text.lines.get_line(error.range.start());
                Err((line.unwrap_or_default() + 1, error.message.clone()))
            }
        }
    }

    /// Of its first word, from 1.
    pub(crate) fn line(&self, node: &impl LuaAstNode) -> usize {
        let start = node.get_position();
        self.lines.get_line(start).unwrap_or_default() + 1
    }

    /// Of an index: that of its key, which may stand some lines below the start.
    pub(crate) fn line_of_key(&self, index: &LuaIndexExpr) -> usize {
        let key = index.get_index_key().and_then(|key| key.get_range());
        let start = key.map_or_else(|| index.get_position(), |range| range.start());
        self.lines.get_line(start).unwrap_or_default() + 1
    }

    pub(crate) fn line_of_token(&self, token: &LuaNameToken) -> usize {
        self.lines
            .get_line(token.get_position())
            .unwrap_or_default()
            + 1
    }
}

/// As it stands in the script, on one line.
pub(crate) fn quoted(node: &LuaSyntaxNode) -> String {
    let text = node.text().to_string();
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(QUOTED_CHARACTERS_MAX) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// The key of an index, where it is a name or a string: `a.key`, `a["key"]`.
pub(crate) fn constant_key(index: &LuaIndexExpr) -> Option<String> {
    match index.get_index_key()? {
        LuaIndexKey::Name(token) => Some(token.get_name_text().to_owned()),
        LuaIndexKey::String(token) => Some(token.get_value()),
        LuaIndexKey::Integer(_) | LuaIndexKey::Expr(_) | LuaIndexKey::Idx(_) => None,
    }
}

/// The value of an expression that is a string.
pub(crate) fn constant_string(expr: &LuaExpr) -> Option<String> {
    let LuaExpr::LiteralExpr(literal) = expr else {
        return None;
    };
    match literal.get_literal()? {
        LuaLiteralToken::String(token) => Some(token.get_value()),
        _ => None,
    }
}
