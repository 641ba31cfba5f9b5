-- Lists the statements that run at the moment, and the transactions that wait for their clients' next statement.
--
--   mysql-proxy --proxy-lua-script=active-queries.lua --proxy-backend-addresses=HOST
--
--   SELECT * FROM active_queries
--
-- id is the server's number of the connection, seconds how long the state has lasted. Everybody sees what his own user
-- does, and operators see all. A transaction without a running statement is `in transaction`; its statement is the last
-- one.
--
-- Needs --lua-states=1, the default: with more, only connections of the same Lua state are seen.

local toolkit = require("proxy.toolkit")

-- Settings. Users who see all statements, and how many bytes of each are kept.
local settings = toolkit.settings("active_queries", { operators = "root", statement_bytes = 1024 })

-- Of all connections that do something.
proxy.global.active_queries = proxy.global.active_queries or {}
local active = proxy.global.active_queries

local QUERY = 1

local statements = toolkit.statements(function(sql) return toolkit.cut(sql, settings.statement_bytes) end)
-- What this connection does.
local mine = {}

local function list()
    local sees_all = toolkit.user_is_one_of(settings.operators)
    local user, now = proxy.connection.client.username, os.time()
    local rows = {}
    for one in pairs(active) do
        if one ~= mine and (sees_all or one.user == user) then
            local seconds = now - one.since
            rows[#rows + 1] = { one.id, one.user, one.client, one.server, one.db, one.state, seconds, one.statement }
        end
    end
    table.sort(rows, function(a, b) return a[7] > b[7] end)
    return toolkit.answer({
        { "id", proxy.MYSQL_TYPE_LONG },
        "user",
        "client",
        "server",
        "db",
        "state",
        { "seconds", proxy.MYSQL_TYPE_LONG },
        "statement",
    }, rows)
end

local function begins(statement)
    local client, server = proxy.connection.client, proxy.connection.server
    -- A client of a pool may be without a server until its statement is sent.
    mine.id = server and server.thread_id
    mine.server = server and server.dst.name
    mine.user, mine.client, mine.db = client.username, client.src.name, client.default_db
    mine.state, mine.since, mine.statement = "running", os.time(), statement or nil
    active[mine] = true
end

function read_query(packet)
    if toolkit.words(packet) == "SELECT * FROM ACTIVE_QUERIES" then return list() end
    local statement = statements:of(packet)
    if statement == nil then return end
    begins(statement)
    proxy.queries:append(QUERY, packet, statements:options(packet))
    return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
    statements:note(inj)
    if inj.resultset.flags.in_trans then
        mine.state, mine.since = "in transaction", os.time()
    else
        active[mine] = nil
    end
end

function disconnect_client()
    active[mine] = nil
end
