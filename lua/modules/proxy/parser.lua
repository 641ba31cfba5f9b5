-- proxy.parser: which tables a statement reads and writes, as far as its own words say: sub-queries, views, triggers and
-- routines are not looked into.

local parser = {}

-- `database.table`; the database is the client's default one where none is given.
function parser.tablename_expand(name, database)
    return (database or proxy.connection.client.default_db) .. "." .. name
end

-- Where a list of tables ends.
local ENDS_LIST = {
    TK_SEMICOLON = true,
    TK_SQL_FOR = true,
    TK_SQL_GROUP = true,
    TK_SQL_HAVING = true,
    TK_SQL_INTO = true,
    TK_SQL_LIMIT = true,
    TK_SQL_LOCK = true,
    TK_SQL_ORDER = true,
    TK_SQL_PROCEDURE = true,
    TK_SQL_SET = true,
    TK_SQL_UNION = true,
    TK_SQL_WHERE = true,
}

-- What a table stands behind.
local BEFORE_TABLE = {
    TK_COMMA = true,
    TK_SQL_FROM = true,
    TK_SQL_JOIN = true,
    TK_SQL_STRAIGHT_JOIN = true,
    TK_SQL_USING = true,
}

-- FROM( and the like are no functions.
local function keyword(name, text)
    if name ~= "TK_FUNCTION" then return name end
    local keyword = "TK_SQL_" .. text:upper()
    local is_keyword = ENDS_LIST[keyword] or BEFORE_TABLE[keyword] or keyword == "TK_SQL_SELECT"
    return is_keyword and keyword or name
end

-- A place in a statement, and the tables that were found up to it.
local Cursor = {}
Cursor.__index = Cursor

local function cursor(tokens)
    local kept = {}
    for i = 1, #tokens do
        local token = tokens[i]
        local name = token and token.token_name
        if name and name ~= "TK_COMMENT" and name ~= "TK_COMMENT_MYSQL" then
            kept[#kept + 1] = { name = keyword(name, token.text), text = token.text }
        end
    end
    return setmetatable({ tokens = kept, at = 1, tables = {} }, Cursor)
end

-- The kind of the token here, or `ahead` of here; "" beyond the end.
function Cursor:kind(ahead)
    local token = self.tokens[self.at + (ahead or 0)]
    return token and token.name or ""
end

function Cursor:word()
    local token = self.tokens[self.at]
    return token and token.name == "TK_LITERAL" and token.text:upper()
end

function Cursor:is_at_end()
    return self.at > #self.tokens
end

function Cursor:skip(kind)
    local is_there = self:kind() == kind
    if is_there then self.at = self.at + 1 end
    return is_there
end

-- From an opening parenthesis to behind its closing one.
function Cursor:skip_parentheses()
    local depth = 0
    repeat
        local kind = self:kind()
        if kind == "TK_OBRACE" then depth = depth + 1 end
        if kind == "TK_CBRACE" then depth = depth - 1 end
        self.at = self.at + 1
    until depth == 0 or self:is_at_end()
end

-- To the next token of this kind in this statement, outside of parentheses; false where there is none.
function Cursor:find(kind)
    while not self:is_at_end() and self:kind() ~= "TK_SEMICOLON" do
        if self:kind() == kind then return true end
        if self:kind() == "TK_OBRACE" then
            self:skip_parentheses()
        else
            self.at = self.at + 1
        end
    end
    return self:kind() == kind
end

-- A name, and what it is called in the result; nil if there is none here.
function Cursor:take_table()
    local kind = self:kind()
    if kind ~= "TK_LITERAL" and kind ~= "TK_FUNCTION" and self:kind(1) ~= "TK_DOT" then return nil end
    local first, second = self.tokens[self.at], nil
    if self:kind(1) == "TK_DOT" then
        second = self.tokens[self.at + 2]
        self.at = self.at + 2
    end
    self.at = self.at + 1
    if not second then return parser.tablename_expand(first.text) end
    return parser.tablename_expand(second.text, first.text)
end

-- What is written stays so.
function Cursor:note(table, access)
    if table and self.tables[table] ~= "write" then self.tables[table] = access end
end

-- The tables of FROM or UPDATE, with their joins. The first one is here.
function Cursor:list(access)
    local expects_table = true
    while not self:is_at_end() and not ENDS_LIST[self:kind()] do
        local kind = self:kind()
        if kind == "TK_OBRACE" then
            -- A derived table, a condition, a list of indexes: all but joins in parentheses.
            if not expects_table or self:kind(1) == "TK_SQL_SELECT" then
                self:skip_parentheses()
                expects_table = false
            else
                self.at = self.at + 1
            end
        elseif expects_table then
            local table = self:take_table()
            -- What has arguments is a function.
            if table and self:kind() ~= "TK_OBRACE" then self:note(table, access) end
            if not table then self.at = self.at + 1 end
            expects_table = false
        elseif self:word() == "WINDOW" then
            break
        else
            expects_table = BEFORE_TABLE[kind] and not (kind == "TK_SQL_USING" and self:kind(1) == "TK_OBRACE")
            self.at = self.at + 1
        end
    end
end

-- The tables of a SELECT, and of all others in its UNION.
function Cursor:selects()
    repeat
        while self:skip("TK_SQL_UNION") or self:skip("TK_SQL_ALL") or self:skip("TK_SQL_DISTINCT") do end
        while self:skip("TK_OBRACE") do end
        self:skip("TK_SQL_SELECT")
        if self:find("TK_SQL_FROM") then
            self:skip("TK_SQL_FROM")
            self:list("read")
        end
    until not self:find("TK_SQL_UNION")
end

-- The table behind IF EXISTS or IF NOT EXISTS.
function Cursor:target()
    if self:kind() == "TK_SQL_IF" then
        self.at = self.at + 1
        self:skip("TK_SQL_NOT")
        self:skip("TK_SQL_EXISTS")
    end
    self:note(self:take_table(), "write")
end

-- By the first token, what is done behind it.
local STATEMENTS = {}

function STATEMENTS:TK_SQL_DELETE()
    if self:find("TK_SQL_FROM") then
        self:skip("TK_SQL_FROM")
        self:list("write")
    end
end

local UPDATE_OPTIONS = { TK_SQL_LOW_PRIORITY = true, TK_SQL_IGNORE = true }

function STATEMENTS:TK_SQL_UPDATE()
    while UPDATE_OPTIONS[self:kind()] do self.at = self.at + 1 end
    self:list("write")
end

local INSERT_OPTIONS = {
    TK_SQL_DELAYED = true,
    TK_SQL_HIGH_PRIORITY = true,
    TK_SQL_IGNORE = true,
    TK_SQL_INTO = true,
    TK_SQL_LOW_PRIORITY = true,
}

function STATEMENTS:TK_SQL_INSERT()
    while INSERT_OPTIONS[self:kind()] do self.at = self.at + 1 end
    self:target()
    if self:find("TK_SQL_SELECT") then self:selects() end
end

STATEMENTS.TK_SQL_REPLACE = STATEMENTS.TK_SQL_INSERT

-- Of what is not a table, nothing is said.
function Cursor:skip_table_keyword()
    if self:word() == "TEMPORARY" then self.at = self.at + 1 end
    return self:skip("TK_SQL_TABLE")
end

function STATEMENTS:TK_SQL_CREATE()
    if self:skip("TK_SQL_OR") then self:skip("TK_SQL_REPLACE") end
    if not self:skip_table_keyword() then return end
    self:target()
    if self:find("TK_SQL_SELECT") then self:selects() end
end

function STATEMENTS:TK_SQL_DROP()
    if not self:skip_table_keyword() then return end
    repeat self:target() until not self:skip("TK_COMMA")
end

function STATEMENTS:TK_SQL_ALTER()
    self:skip("TK_SQL_IGNORE")
    if not self:skip_table_keyword() then return end
    self:target()
end

function STATEMENTS:TK_SQL_RENAME()
    if not self:skip_table_keyword() then return end
    repeat self:target() until not (self:skip("TK_SQL_TO") or self:skip("TK_COMMA"))
end

function STATEMENTS:TRUNCATE()
    self:skip("TK_SQL_TABLE")
    self:target()
end

-- By `database.table`: "read" or "write". Empty for a statement that names none, or is of another kind.
function parser.get_tables(tokens)
    local place = cursor(tokens)
    repeat
        local kind = place:word() or place:kind()
        if kind == "TK_SQL_SELECT" or kind == "TK_OBRACE" then
            place:selects()
        elseif STATEMENTS[kind] then
            place.at = place.at + 1
            STATEMENTS[kind](place)
        end
        local has_more = place:find("TK_SEMICOLON")
        place:skip("TK_SEMICOLON")
    until not has_more
    return place.tables
end

return parser
