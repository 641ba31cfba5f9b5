-- Turns a table round: one of its columns becomes rows, another one columns, a third one is summed up in between.
--
--   mysql-proxy --proxy-lua-script=xtab.lua --proxy-backend-addresses=HOST
--
--   XTAB table row_column col_column operation(column) [SUMMARY]
--   XTAB HELP
--   XTAB VERSION
--
-- `XTAB sales region year SUM(amount)` has a row for each region and a column for each year. Operations are COUNT, SUM,
-- AVG, MIN and MAX, and COUNT(*). SUMMARY adds a last row and a last column for all.
--
-- It asks for the different values of col_column first; the query that it makes of them runs behind that, so that between
-- the two a new value may come and be missing. Values are compared as text in utf8mb4: binary columns are not for this.

local tokenizer = require("mysql.tokenizer")
local toolkit = require("proxy.toolkit")

-- Settings. More different values of col_column are an error.
local settings = toolkit.settings("xtab", { columns_max = 200 })

local VALUES, CROSSTAB = 1, 2
local USAGE = "usage: XTAB table row_column col_column operation(column) [SUMMARY]; XTAB HELP; XTAB VERSION"
local OPERATIONS = { COUNT = true, SUM = true, AVG = true, MIN = true, MAX = true }

-- MySQL's bound for aliases is 256 characters; nobody reads as much.
local ALIAS_BYTES_MAX = 64

-- What the client asked for.
local wanted

local function query(sql)
    return string.char(proxy.COM_QUERY) .. sql
end

local function quoted_name(text)
    return "`" .. text:gsub("`", "``") .. "`"
end

-- Reads the tokens of a statement one by one.
local Reader = {}
Reader.__index = Reader

function Reader:kind()
    local token = self.tokens[self.at]
    return token and token.token_name or "TK_END"
end

function Reader:skip(kind)
    local is_there = self:kind() == kind
    if is_there then self.at = self.at + 1 end
    return is_there
end

function Reader:text()
    self.at = self.at + 1
    return self.tokens[self.at - 1].text
end

-- A name, in quotes; also one that is a keyword. nil if there is none here.
function Reader:name()
    local kind = self:kind()
    if kind ~= "TK_LITERAL" and not kind:find("^TK_SQL_") then return nil end
    return quoted_name(self:text())
end

function Reader:qualified_name()
    local name = self:name()
    if name and self:skip("TK_DOT") then
        local second = self:name()
        return second and name .. "." .. second
    end
    return name
end

-- `SUM(amount)`, `SUM amount`, `COUNT(*)`, `COUNT`: the operation, and on what; nil if it is none of these.
function Reader:operation()
    local kind = self:kind()
    if kind ~= "TK_FUNCTION" and kind ~= "TK_LITERAL" then return nil end
    local operation = self:text():upper()
    if not OPERATIONS[operation] then return nil end
    local is_in_parentheses = self:skip("TK_OBRACE")
    local column
    if operation == "COUNT" and (self:skip("TK_STAR") or self:kind() == "TK_END") then
        column = "1"
    else
        column = self:name()
    end
    if is_in_parentheses and not self:skip("TK_CBRACE") then return nil end
    return column and operation, column
end

local function reader(sql)
    local tokens, kept = tokenizer.tokenize(sql), {}
    for i = 1, #tokens do
        if tokens[i].token_name ~= "TK_COMMENT" then kept[#kept + 1] = tokens[i] end
    end
    while #kept > 0 and kept[#kept].token_name == "TK_SEMICOLON" do kept[#kept] = nil end
    return setmetatable({ tokens = kept, at = 2 }, Reader)
end

-- nil for what cannot be read.
local function parse(sql)
    local rest = reader(sql)
    local table_name, row, column = rest:qualified_name(), rest:name(), rest:name()
    if not (table_name and row and column) then return nil end
    local operation, operand = rest:operation()
    if not operation then return nil end
    local has_summary = rest:kind() == "TK_LITERAL" and rest:text():upper() == "SUMMARY"
    if rest:kind() ~= "TK_END" then return nil end
    return {
        table_name = table_name,
        row = row,
        column = column,
        operation = operation,
        operand = operand,
        has_summary = has_summary,
    }
end

local answers = {}

answers["XTAB HELP"] = function()
    return toolkit.answer({ "xtab" }, {
        { "XTAB table row_column col_column operation(column) [SUMMARY]" },
        { "operation: COUNT, SUM, AVG, MIN, MAX; COUNT(*)" },
        { "SUMMARY adds a row and a column for all" },
        { "example: XTAB sales region year SUM(amount)" },
    })
end

answers["XTAB VERSION"] = function()
    return toolkit.answer({ "version" }, { { "2.0" } })
end

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY or not packet:find("^.%s*[Xx][Tt][Aa][Bb]%s") then return end
    local answer = answers[toolkit.words(packet)]
    if answer then return answer() end
    wanted = parse(packet:sub(2))
    if not wanted then return toolkit.refuse("(xtab) " .. USAGE, 1064, "42000") end
    local sql = [[SELECT v, HEX(CONVERT(v USING utf8mb4)) FROM
        (SELECT DISTINCT %s AS v FROM %s ORDER BY 1 LIMIT %d) AS xtab_values ORDER BY v]]
    sql = sql:format(wanted.column, wanted.table_name, settings.columns_max + 1)
    proxy.queries:append(VALUES, query(sql), { resultset_is_needed = true })
    return proxy.PROXY_SEND_QUERY
end

-- Cut between two characters of UTF-8.
local function alias(value)
    if value == nil then return quoted_name("NULL") end
    if value:find("^%s*$") then return quoted_name("'" .. value .. "'") end
    return quoted_name((value:sub(1, ALIAS_BYTES_MAX):gsub("[\192-\255][\128-\191]*$", function(last)
        return #value > ALIAS_BYTES_MAX and "" or last
    end):gsub("%s+$", "")))
end

-- The value as the server has it, whatever the client's character set.
local function condition(hex)
    if not hex then return wanted.column .. " IS NULL" end
    return ("%s = _utf8mb4 X'%s'"):format(wanted.column, hex)
end

local function crosstab(values)
    local columns = { wanted.row }
    for _, value in ipairs(values) do
        columns[#columns + 1] = ("%s(CASE WHEN %s THEN %s END) AS %s"):format(
            wanted.operation, condition(value.hex), wanted.operand, alias(value.text))
    end
    if wanted.has_summary then
        columns[#columns + 1] = ("%s(%s) AS `total`"):format(wanted.operation, wanted.operand)
    end
    return ("SELECT %s FROM %s GROUP BY %s %s"):format(table.concat(columns, ", "), wanted.table_name, wanted.row,
        wanted.has_summary and "WITH ROLLUP" or "ORDER BY 1")
end

function read_query_result(inj)
    if inj.id ~= VALUES then return end
    local resultset = inj.resultset
    -- The error is the client's.
    if not resultset.rows then return end
    local values = {}
    for row in resultset.rows do
        values[#values + 1] = { text = row[1], hex = row[2] }
    end
    if #values > settings.columns_max then
        return toolkit.refuse(("(xtab) %s has more than xtab.columns_max=%d different values"):format(
            wanted.column, settings.columns_max))
    end
    proxy.queries:append(CROSSTAB, query(crosstab(values)))
    return proxy.PROXY_IGNORE_RESULT
end
