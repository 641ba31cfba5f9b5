-- proxy.tokenizer: from SQL to tokens, to a text that queries of one kind have in common, and back to SQL.

local sql = require("mysql.tokenizer")

local tokenizer = { tokenize = sql.tokenize }

local TRANSACTION_WORDS = { COMMIT = true, ROLLBACK = true, BEGIN = true, START = true }

-- Of what servers read as one, the tokenizer makes several tokens.
local COMPOUNDS = { ["<=>"] = true, ["<<"] = true, [">>"] = true, ["->"] = true, ["\\N"] = true }

-- What stands inside of double quotes for something else; escapes stay as they are.
local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\" }

local function quoted_string(text)
    local body = text:gsub('([^\\"]*)(\\?.?)', function(plain, special)
        return plain .. (ESCAPES[special] or special)
    end)
    return '"' .. body .. '"'
end

local function quoted_name(text)
    return "`" .. text:gsub("`", "``") .. "`"
end

-- Tokens that were set to nil and comments are left out.
local function without_comments(tokens, from, to)
    local kept = {}
    for i = from or 1, to or #tokens do
        local token = tokens[i]
        if token and token.token_name ~= "TK_COMMENT" then kept[#kept + 1] = token end
    end
    return kept
end

-- A query without its values, the same for all of its kind: "SELECT * FROM `film` WHERE `id` = ? ".
function tokenizer.normalize(tokens)
    local parts, after_start = {}, false
    for i, token in ipairs(without_comments(tokens)) do
        local name, text = token.token_name, token.text
        local upper = text:upper()
        if name == "TK_COMMENT_MYSQL" then
            parts[i] = "/*!" .. text .. "*/ "
        elseif name == "TK_LITERAL" then
            if text:find("^@") then
                parts[i] = text .. " "
            elseif i == 1 and TRANSACTION_WORDS[upper] or after_start and upper == "TRANSACTION" then
                parts[i] = upper .. " "
            else
                parts[i] = quoted_name(text) .. " "
            end
        elseif name == "TK_STRING" or name == "TK_INTEGER" or name == "TK_FLOAT" then
            parts[i] = "? "
        elseif name == "TK_FUNCTION" then
            parts[i] = upper
        else
            parts[i] = upper .. " "
        end
        after_start = i == 1 and upper == "START"
    end
    return table.concat(parts)
end

-- The first token that is no comment; nil where there is none.
function tokenizer.first_stmt_token(tokens)
    for i = 1, #tokens do
        local token = tokens[i]
        if token and token.token_name ~= "TK_COMMENT" then return token end
    end
end

-- The tokens' texts, without comments; strings in quotes if `quotes_strings`.
function tokenizer.bare_tokens(tokens, quotes_strings)
    local texts = {}
    for _, token in ipairs(without_comments(tokens)) do
        local is_quoted = quotes_strings and token.token_name == "TK_STRING"
        texts[#texts + 1] = is_quoted and quoted_string(token.text) or token.text
    end
    return texts
end

-- The texts of all tokens but comments.
function tokenizer.tokens_without_comments(tokens)
    return tokenizer.bare_tokens(tokens)
end

-- Away from its dot, not every word is a name: t.key, t.1x, 1e5.t.
local function as_name(token, is_behind_dot)
    local text, raw = token.text, token.raw
    local needs_quotes = text == "" or text:find("[^%w_$@\128-\255]")
    if raw then needs_quotes = raw:find("^`") or text:find("^%d+[eE]%d+$") end
    if is_behind_dot then needs_quotes = needs_quotes or text:find("^%d[%w_]*$") or token.token_name ~= "TK_LITERAL" end
    return needs_quotes and quoted_name(text) or text
end

-- `@` before what it belongs to, x'1F', _utf8'text', and operators.
local function belong_together(token, after)
    if not token.position or token.position + #token.raw ~= after.position then return false end
    local is_word = token.token_name == "TK_LITERAL"
    return COMPOUNDS[token.text .. after.text]
        or is_word and (after.token_name == "TK_STRING" or token.text:find("@$"))
        or after.token_name == "TK_LITERAL" and after.text:find("^@")
end

-- SQL of the tokens `from` to `to`, by default all: strings in double quotes, a space behind each token but functions.
-- Comments are left out, except those that servers read.
function tokenizer.tokens_to_query(tokens, from, to)
    local kept, parts = without_comments(tokens, from, to), {}
    local is_glued, before
    for i, token in ipairs(kept) do
        local name, text = token.token_name, token.text
        local is_behind_dot = before == "TK_DOT"
        if name == "TK_COMMENT_MYSQL" then
            text = "/*!" .. text .. "*/"
        elseif name == "TK_LITERAL" or is_behind_dot and name:find("^TK_SQL_") then
            text = as_name(token, is_behind_dot)
        elseif name == "TK_STRING" then
            local is_prefixed = is_glued and not kept[i - 1].text:find("@$")
            text = is_prefixed and token.raw or quoted_string(text)
        end
        is_glued = kept[i + 1] and belong_together(token, kept[i + 1])
        parts[i] = (is_glued or name == "TK_FUNCTION") and text or text .. " "
        before = name
    end
    return table.concat(parts)
end

return tokenizer
