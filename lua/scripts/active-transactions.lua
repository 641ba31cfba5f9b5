-- Prints, when the server reports a deadlock, the statements of all transactions that were open then.
--
--   mysql-proxy --proxy-lua-script=active-transactions.lua --proxy-backend-addresses=HOST
--
--   SELECT * FROM active_transactions
--
-- is a row for each statement of each open transaction. Everybody sees those of his own user, and operators see all.
--
-- A statement that fails in a transaction costs a SHOW ERRORS behind it, which tells whether it was a deadlock.
--
-- Needs --lua-states=1, the default: with more, only connections of the same Lua state are seen.

local toolkit = require("proxy.toolkit")

-- Settings. Users who see all statements, and how many statements of a transaction are kept, the last ones, and of each how
-- many bytes. Deadlocks go to `file`; "" is standard output.
local settings = toolkit.settings("active_transactions", {
    operators = "root",
    statements_max = 100,
    statement_bytes = 1024,
    file = "",
})

-- Of all connections: their open transactions.
proxy.global.active_transactions = proxy.global.active_transactions or {}
local active = proxy.global.active_transactions

local QUERY, ERRORS = 1, 2
local DEADLOCK = "1213"

local statements = toolkit.statements(function(sql) return toolkit.cut(sql, settings.statement_bytes) end)
-- The transaction of this connection, nil for none.
local mine
local statement
-- All transactions at the time of an error, as text.
local dump

local function begun()
    local client, server = proxy.connection.client, proxy.connection.server
    return {
        id = server.thread_id,
        server = server.dst.name,
        user = client.username,
        client = client.src.name,
        db = client.default_db,
        since = os.time(),
        -- statements[first] to statements[last]
        statements = {},
        first = 1,
        last = 0,
    }
end

local function note(transaction, text)
    transaction.last = transaction.last + 1
    transaction.statements[transaction.last] = text or "?"
    if transaction.last - transaction.first >= settings.statements_max then
        transaction.statements[transaction.first] = nil
        transaction.first = transaction.first + 1
    end
end

local function list()
    local sees_all = toolkit.user_is_one_of(settings.operators)
    local user, now = proxy.connection.client.username, os.time()
    local rows = {}
    for one in pairs(active) do
        if sees_all or one.user == user then
            for ndx = one.first, one.last do
                rows[#rows + 1] = {
                    one.id, one.user, one.client, one.server, one.db, now - one.since, ndx, one.statements[ndx],
                }
            end
        end
    end
    table.sort(rows, function(a, b)
        if a[4] ~= b[4] then return a[4] < b[4] end
        if a[1] ~= b[1] then return a[1] < b[1] end
        return a[7] < b[7]
    end)
    return toolkit.answer({
        { "id", proxy.MYSQL_TYPE_LONG },
        "user",
        "client",
        "server",
        "db",
        { "seconds", proxy.MYSQL_TYPE_LONG },
        { "ndx", proxy.MYSQL_TYPE_LONG },
        "statement",
    }, rows)
end

local function describe(lines, transaction, what)
    lines[#lines + 1] = ("  %s %d of %s at %s, %d s, %d statements:"):format(what, transaction.id, transaction.user,
        transaction.client, os.time() - transaction.since, transaction.last)
    for ndx = transaction.first, transaction.last do
        lines[#lines + 1] = ("    %d: %s"):format(ndx, toolkit.one_line(transaction.statements[ndx]))
    end
end

-- Others at the same server may be the other side of the deadlock.
local function describe_all()
    local lines = { "deadlock at " .. mine.server }
    describe(lines, mine, "rolled back: connection")
    for one in pairs(active) do
        if one ~= mine and one.server == mine.server then describe(lines, one, "open: connection") end
    end
    return table.concat(lines, "\n")
end

function read_query(packet)
    if toolkit.words(packet) == "SELECT * FROM ACTIVE_TRANSACTIONS" then return list() end
    statement = statements:of(packet)
    if statement == nil then return end
    proxy.queries:append(QUERY, packet, statements:options(packet))
    return proxy.PROXY_SEND_QUERY
end

local function is_deadlock(resultset)
    if not resultset.rows then return false end
    for row in resultset.rows do
        if row[2] == DEADLOCK then return true end
    end
    return false
end

local function goes_on(inj)
    if inj.resultset.flags.in_trans then
        mine = mine or begun()
        active[mine] = true
    elseif mine then
        active[mine] = nil
        mine = nil
    end
end

function read_query_result(inj)
    if inj.id == ERRORS then
        if is_deadlock(inj.resultset) then
            toolkit.write_line(settings.file, os.date("%Y-%m-%d %H:%M:%S ") .. dump)
        end
        dump = nil
        goes_on(inj)
        return proxy.PROXY_IGNORE_RESULT
    end
    statements:note(inj)
    if mine then note(mine, statement) end
    if inj.resultset.query_status == proxy.MYSQLD_PACKET_ERR then
        -- Whether the transaction is over, the ERR does not say.
        if not mine then return end
        dump = describe_all()
        proxy.queries:append(ERRORS, string.char(proxy.COM_QUERY) .. "SHOW ERRORS", { resultset_is_needed = true })
        return
    end
    local was_open = mine ~= nil
    goes_on(inj)
    if mine and not was_open then note(mine, statement) end
end

function disconnect_client()
    if mine then active[mine] = nil end
end
