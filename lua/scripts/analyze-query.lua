-- Finds out why SELECTs are slow: prints the plan, what the server counted and its warnings for each that takes too long.
--
--   mysql-proxy --proxy-lua-script=analyze-query.lua --proxy-backend-addresses=HOST
--
--   SELECT * FROM analyze_query.queries       SELECTs by kind: how many, and their times in microseconds
--
-- A SELECT costs a SHOW STATUS before it; a slow one another SHOW STATUS, an EXPLAIN, and a SHOW WARNINGS if it has any.
-- After a slow one the client's own SHOW WARNINGS and FOUND_ROWS() are about those. SELECTs that ask for FOUND_ROWS() and
-- the like, or prepare it, are left alone; so are those that write files or variables, several statements in one text, and
-- prepared statements.
--
-- Operators change settings while it runs:
--
--   PROXY SHOW CONFIG
--   PROXY SET GLOBAL analyze_query.slow_ms = 50
--   PROXY SET GLOBAL analyze_query.is_enabled = false
--
-- Needs --lua-states=1, the default: with more, each Lua state has settings and statistics of its own.

local tokenizer = require("proxy.tokenizer")
local toolkit = require("proxy.toolkit")

-- Settings. What takes `slow_ms` is reported, to `file`; "" is standard output. Kinds beyond the first `queries_max` are
-- counted together. Longer SELECTs than `statement_bytes` are left alone. `operators` are the users who may change
-- settings.
local settings = toolkit.settings("analyze_query", {
    is_enabled = true,
    slow_ms = 200,
    file = "",
    queries_max = 1000,
    statement_bytes = 65536,
    operators = "root",
})

proxy.global.analyze_query = proxy.global.analyze_query or toolkit.tally(settings.queries_max)
local queries = proxy.global.analyze_query

local BEFORE, QUERY, WARNINGS, AFTER, EXPLAIN = 1, 2, 3, 4, 5
local BUFFERED = { resultset_is_needed = true }
local STATUS = [[SHOW SESSION STATUS WHERE Variable_name LIKE 'Handler\_%' OR Variable_name LIKE 'Created\_tmp\_%'
OR Variable_name LIKE 'Select\_%' OR Variable_name LIKE 'Sort\_%' OR Variable_name LIKE 'Rows\_%']]

-- The SELECT that runs, its kind, and the counters before it.
local packet_of_client, kind, before
-- The lines of the report.
local report

local function query(sql)
    return string.char(proxy.COM_QUERY) .. sql
end

-- What is about the statement before, and what leaves something for the one after.
local EXCLUDED = {
    FOUND_ROWS = true,
    ROW_COUNT = true,
    SQL_CALC_FOUND_ROWS = true,
    INTO = true,
    ["@@WARNING_COUNT"] = true,
    ["@@ERROR_COUNT"] = true,
}

-- Its tokens, if it is to be looked at.
local function select_tokens(packet)
    if packet:byte() ~= proxy.COM_QUERY or #packet > settings.statement_bytes then return nil end
    local tokens = tokenizer.tokenize(packet:sub(2))
    local first = tokenizer.first_stmt_token(tokens)
    if not first or first.token_name ~= "TK_SQL_SELECT" then return nil end
    local has_ended = false
    for i = 1, #tokens do
        local token = tokens[i]
        local name = token.token_name
        if name ~= "TK_COMMENT" and name ~= "TK_STRING" then
            local is_other = has_ended and name ~= "TK_SEMICOLON"
            if is_other or name == "TK_COMMENT_MYSQL" or EXCLUDED[token.text:upper()] then return nil end
            has_ended = name == "TK_SEMICOLON"
        end
    end
    return tokens
end

local function list()
    local number = proxy.MYSQL_TYPE_LONGLONG
    local rows = {}
    for name, row in pairs(queries.rows) do
        rows[#rows + 1] = { name, row.count, row.min, ("%.0f"):format(row.sum / row.count), row.max, row.slow or 0 }
    end
    table.sort(rows, function(a, b) return a[2] * a[4] > b[2] * b[4] end)
    return toolkit.answer({
        "query",
        { "count", number },
        { "min_time", number },
        { "avg_time", number },
        { "max_time", number },
        { "slow", number },
    }, rows)
end

function read_query(packet)
    if toolkit.words(packet) == "SELECT * FROM ANALYZE_QUERY . QUERIES" then return list() end
    local decision = toolkit.configure(packet, settings.operators)
    if decision then return decision end
    local tokens = settings.is_enabled and select_tokens(packet)
    if not tokens then return end
    packet_of_client, kind = packet, toolkit.kind(tokens)
    proxy.queries:append(BEFORE, query(STATUS), BUFFERED)
    return proxy.PROXY_SEND_QUERY
end

-- By name; empty where the server does not tell.
local function counters(resultset)
    local values = {}
    if not resultset.rows then return values end
    for row in resultset.rows do values[row[1]] = tonumber(row[2]) end
    return values
end

local function add(text, ...)
    report[#report + 1] = toolkit.one_line(text:format(...))
end

local function rows_as_lines(resultset, name)
    if not resultset.rows then return end
    for row in resultset.rows do
        local cells = {}
        for column = 1, #resultset.fields do
            cells[column] = resultset.fields[column].name .. "=" .. (row[column] or "NULL")
        end
        add("  %s: %s", name, table.concat(cells, ", "))
    end
end

local results = {}

-- The client's query is queued behind it, so that its time begins now.
results[BEFORE] = function(inj)
    before = counters(inj.resultset)
    proxy.queries:append(QUERY, packet_of_client)
    return proxy.PROXY_IGNORE_RESULT
end

-- The client has its result, but for the end.
results[QUERY] = function(inj)
    local result = inj.resultset
    if result.query_status ~= proxy.MYSQLD_PACKET_OK then return end
    local is_slow = inj.response_time >= settings.slow_ms * 1000
    local row = toolkit.add_time(queries, kind, inj.response_time)
    if not is_slow then return end
    row.slow = (row.slow or 0) + 1
    local client, flags = proxy.connection.client, result.flags
    report = {}
    add("%s slow: %.1f ms, %.1f ms to the first row, %d rows, %d bytes%s%s, client %s at %s, server %s",
        os.date("%Y-%m-%d %H:%M:%S"), inj.response_time / 1000, inj.query_time / 1000, result.row_count, result.bytes,
        flags.no_index_used and ", no index used" or "", flags.no_good_index_used and ", no good index used" or "",
        client.username, client.src.name, proxy.connection.server.dst.name)
    add("  query: %s", packet_of_client:sub(2))
    add("  kind: %d times, min %.1f ms, avg %.1f ms, max %.1f ms: %s",
        row.count, row.min / 1000, row.sum / row.count / 1000, row.max / 1000, kind)
    if result.warning_count > 0 then proxy.queries:append(WARNINGS, query("SHOW WARNINGS"), BUFFERED) end
    proxy.queries:append(AFTER, query(STATUS), BUFFERED)
    proxy.queries:append(EXPLAIN, query("EXPLAIN " .. packet_of_client:sub(2)), BUFFERED)
end

results[WARNINGS] = function(inj)
    rows_as_lines(inj.resultset, "warning")
    return proxy.PROXY_IGNORE_RESULT
end

results[AFTER] = function(inj)
    local changes = {}
    for name, value in pairs(counters(inj.resultset)) do
        local change = value - (before[name] or value)
        if change ~= 0 then changes[#changes + 1] = ("%s +%.0f"):format(name, change) end
    end
    table.sort(changes)
    add("  status: %s", table.concat(changes, ", "))
    return proxy.PROXY_IGNORE_RESULT
end

results[EXPLAIN] = function(inj)
    rows_as_lines(inj.resultset, "plan")
    toolkit.write_line(settings.file, table.concat(report, "\n"))
    return proxy.PROXY_IGNORE_RESULT
end

function read_query_result(inj)
    return results[inj.id](inj)
end
