-- Sends each new client to the server with the fewest clients, and leaves out replicas that do not replicate or lag behind.
--
--   mysql-proxy --proxy-lua-script=ro-balance.lua
--     --proxy-backend-addresses=PRIMARY --proxy-read-only-backend-addresses=REPLICA,REPLICA
--
-- For applications that only read: a client stays with its server, and statements that write are refused by replicas.
--
-- Every `check_seconds` one of a replica's clients has a SHOW REPLICA STATUS put in front of its command. Its user needs
-- the right to do that (REPLICATION CLIENT, in MariaDB SLAVE MONITOR); without, replicas count as good. One that is bad
-- gets no new clients. Those it has go on checking it; when it has none any more, every `retry_seconds` a new client is
-- sent there to look. If it is still bad, that client's first command is refused with ERR 1053 and its connection is
-- closed: it should connect again, as after a lost connection. What changes is logged.
--
-- With --lua-states above 1, each Lua state finds out for itself.

local tokenizer = require("proxy.tokenizer")
local toolkit = require("proxy.toolkit")

-- Settings. A replica that is `max_lag_seconds` behind is good. Without `uses_primary` the primary gets clients only while
-- no replica is good. `requires_replication = false` checks nothing, for servers that are kept equal by other means.
local settings = toolkit.settings("ro_balance", {
    check_seconds = 5,
    retry_seconds = 60,
    max_lag_seconds = 60,
    uses_primary = true,
    requires_replication = true,
})

-- By backend: { problem, checked_at, is_unknown }. What is not there was never checked.
proxy.global.ro_balance = proxy.global.ro_balance or {}
local replicas = proxy.global.ro_balance

local CHECK, COMMAND = 1, 2

-- Whether this client was sent to a bad replica to look.
local is_scout = false

local function replica_of(ndx)
    replicas[ndx] = replicas[ndx] or { checked_at = 0 }
    return replicas[ndx]
end

-- The one with the fewest clients, of those that `is_wanted(ndx, backend)`; nil for none.
local function least_busy(is_wanted)
    local chosen, fewest = nil, math.huge
    for ndx = 1, #proxy.global.backends do
        local backend = proxy.global.backends[ndx]
        local clients = backend.connected_clients
        if backend.state ~= proxy.BACKEND_STATE_DOWN and clients < fewest and is_wanted(ndx, backend) then
            chosen, fewest = ndx, clients
        end
    end
    return chosen
end

local function needs_scout(ndx, backend)
    local replica = replicas[ndx]
    return backend.type == proxy.BACKEND_TYPE_RO and replica and replica.problem and backend.connected_clients == 0
        and os.time() - replica.checked_at >= settings.retry_seconds
end

local function is_good(ndx, backend)
    if backend.type == proxy.BACKEND_TYPE_RW then return settings.uses_primary end
    return not (settings.requires_replication and replicas[ndx] and replicas[ndx].problem)
end

function connect_server()
    local scouted = settings.requires_replication and least_busy(needs_scout)
    is_scout = scouted and true or false
    if is_scout then replicas[scouted].checked_at = os.time() end
    -- 0 leaves it to the proxy: a primary, or an error that says that all are down.
    proxy.connection.backend_ndx = scouted or least_busy(is_good) or 0
end

-- What may have a query in front of it.
local CHECKABLE = {
    [proxy.COM_QUERY] = true,
    [proxy.COM_STMT_PREPARE] = true,
    [proxy.COM_INIT_DB] = true,
    [proxy.COM_PING] = true,
}
local ABOUT_LAST = { "FOUND_ROWS", "ROW_COUNT", "WARNING_COUNT", "ERROR_COUNT" }

-- Whether it asks about the statement before, which must be the client's then.
local function is_about_last(packet)
    local first = tokenizer.first_stmt_token(tokenizer.tokenize(packet:sub(2, 1024)))
    local word = first and first.text:upper()
    if word == "SHOW" or word == "GET" then return true end
    local text = packet:upper()
    for _, name in ipairs(ABOUT_LAST) do
        if text:find(name, 1, true) then return true end
    end
    return false
end

function read_query(packet)
    local ndx = proxy.connection.backend_ndx
    local backend = proxy.global.backends[ndx]
    if not settings.requires_replication or not backend or backend.type ~= proxy.BACKEND_TYPE_RO then return end
    local replica = replica_of(ndx)
    if not CHECKABLE[packet:byte()] then return end
    local is_due = os.time() - replica.checked_at >= settings.check_seconds and not is_about_last(packet)
    if not is_due and not is_scout then return end
    replica.checked_at = os.time()
    -- MySQL has no other since 8.4; MariaDB has both since 10.5.
    local word = proxy.connection.server.mysqld_version >= 80022 and "REPLICA" or "SLAVE"
    proxy.queries:append(CHECK, ("%cSHOW %s STATUS"):format(proxy.COM_QUERY, word), { resultset_is_needed = true })
    proxy.queries:append(COMMAND, packet)
    return proxy.PROXY_SEND_QUERY
end

-- A row as a table by name; `_Slave_` and `_Master` of old names are `_Replica_` and `_Source`.
local function named(row, fields)
    local values = {}
    for i = 1, #fields do
        local name = fields[i].name:gsub("^Slave_", "Replica_"):gsub("_Master$", "_Source")
        values[name] = row[i]
    end
    return values
end

-- What is wrong with the replica; nil for nothing.
local function problem_of(resultset)
    local has_source = false
    for row in resultset.rows do
        has_source = true
        local status = named(row, resultset.fields)
        local lag = tonumber(status.Seconds_Behind_Source)
        if status.Replica_IO_Running ~= "Yes" or status.Replica_SQL_Running ~= "Yes" or not lag then
            return "it does not replicate"
        elseif lag > settings.max_lag_seconds then
            return ("it is %d s behind"):format(lag)
        end
    end
    return not has_source and "it is no replica" or nil
end

local function note(ndx, problem)
    local replica = replica_of(ndx)
    local name = ("ro-balance: backend %d (%s)"):format(ndx, proxy.global.backends[ndx].dst.name)
    if problem and not replica.problem then
        toolkit.log("warning", name .. " gets no new clients: " .. problem)
    elseif replica.problem and not problem then
        toolkit.log("message", name .. " gets clients again")
    end
    replica.problem = problem
end

function read_query_result(inj)
    if inj.id ~= CHECK then return end
    local ndx, resultset = proxy.connection.backend_ndx, inj.resultset
    if not resultset.rows then
        local replica = replica_of(ndx)
        if not replica.is_unknown then
            local problem = "ro-balance: backend %d cannot be checked: SHOW REPLICA STATUS fails for user %s"
            toolkit.log("warning", problem:format(ndx, proxy.connection.client.username))
        end
        replica.is_unknown = true
        return proxy.PROXY_IGNORE_RESULT
    end
    note(ndx, problem_of(resultset))
    local is_in_vain = is_scout and replicas[ndx].problem
    is_scout = false
    if not is_in_vain then return proxy.PROXY_IGNORE_RESULT end
    proxy.queries:reset()
    proxy.connection.connection_close = true
    return toolkit.refuse("(ro-balance) this replica cannot be used, connect again: " .. is_in_vain, 1053, "08S01")
end
