-- Counts queries by their kind, and how often tables are read and written.
--
--   mysql-proxy --proxy-lua-script=histogram.lua --proxy-backend-addresses=HOST
--
--   SELECT * FROM histogram.queries        by kind: how many, and their times in microseconds
--   SELECT * FROM histogram.tables         by table: how many statements read and wrote it
--   DELETE FROM histogram.queries          begins anew
--   DELETE FROM histogram.tables
--
-- Queries are of one kind when they differ in their constants only; lists of constants count as one. Prepared statements
-- count when they are executed. Which tables a statement names is taken from its own text: what views, triggers and
-- routines use is not seen.
--
-- Needs --lua-states=1, the default: with more, each Lua state counts for itself.

local parser = require("proxy.parser")
local tokenizer = require("proxy.tokenizer")
local toolkit = require("proxy.toolkit")

-- Settings. Kinds and tables beyond the first so many are counted together; of longer statements only so many bytes are
-- read.
local settings = toolkit.settings("histogram", { queries_max = 1000, tables_max = 1000, statement_bytes = 8192 })

proxy.global.histogram = proxy.global.histogram or {
    queries = toolkit.tally(settings.queries_max),
    tables = toolkit.tally(settings.tables_max),
}
local histogram = proxy.global.histogram

local QUERY = 1

-- Of each statement, its kind and its tables.
local statements = toolkit.statements(function(sql)
    local tokens = tokenizer.tokenize(sql:sub(1, settings.statement_bytes))
    return { kind = toolkit.kind(tokens), tables = parser.get_tables(tokens) }
end)
local statement

local function rows_of(tally, columns)
    local rows = {}
    for key, row in pairs(tally.rows) do
        rows[#rows + 1] = columns(key, row)
    end
    table.sort(rows, function(a, b) return a[2] > b[2] end)
    return rows
end

local function clear(what, rows_max)
    local count = histogram[what].count
    histogram[what] = toolkit.tally(rows_max)
    return toolkit.ok(count)
end

local answers = {}

answers["SELECT * FROM HISTOGRAM . QUERIES"] = function()
    local number = proxy.MYSQL_TYPE_LONGLONG
    return toolkit.answer(
        { "query", { "count", number }, { "min_time", number }, { "avg_time", number }, { "max_time", number } },
        rows_of(histogram.queries, function(query, row)
            return { query, row.count, row.min, ("%.0f"):format(row.sum / row.count), row.max }
        end))
end

answers["SELECT * FROM HISTOGRAM . TABLES"] = function()
    local number = proxy.MYSQL_TYPE_LONGLONG
    return toolkit.answer({ "table", { "reads", number }, { "writes", number } },
        rows_of(histogram.tables, function(table, row) return { table, row.read, row.write } end))
end

answers["DELETE FROM HISTOGRAM . QUERIES"] = function() return clear("queries", settings.queries_max) end
answers["DELETE FROM HISTOGRAM . TABLES"] = function() return clear("tables", settings.tables_max) end

function read_query(packet)
    local answer = answers[toolkit.words(packet)]
    if answer then return answer() end
    statement = statements:of(packet)
    if statement == nil then return end
    proxy.queries:append(QUERY, packet, statements:options(packet))
    return proxy.PROXY_SEND_QUERY
end

local function no_accesses()
    return { read = 0, write = 0 }
end

function read_query_result(inj)
    statements:note(inj)
    if not statement or inj.query:byte() == proxy.COM_STMT_PREPARE then return end
    toolkit.add_time(histogram.queries, statement.kind, inj.response_time)
    for name, access in pairs(statement.tables) do
        local row = toolkit.row(histogram.tables, name, no_accesses)
        row[access] = row[access] + 1
    end
end
