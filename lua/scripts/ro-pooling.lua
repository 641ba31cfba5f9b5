-- Shares connections among clients that only read, statement by statement, over replicas and primaries.
--
--   mysql-proxy --proxy-lua-script=ro-pooling.lua
--     --proxy-backend-addresses=PRIMARY --proxy-read-only-backend-addresses=REPLICA,REPLICA
--
-- Logins make connections until each backend has `min_idle_connections` idle ones; then they take over idle ones, and the
-- server checks the password there. Between two statements all connections are idle, in pools by user. A statement takes
-- one, of the replica that serves the fewest clients if there is one, and gives it back unless the client needs it for
-- longer: a transaction, a prepared statement, warnings that may be asked for, found rows. What else ties a session to a
-- connection (variables, locks, temporary tables ...) the proxy sees, and keeps it there. The default database and settings
-- go along with the client.
--
-- At the end of a session one of more than `max_idle_connections` of its user is closed. A client whose statement finds
-- none waits for one (--proxy-pool-wait). When its user has none anywhere, it gets an error and is closed: with its next
-- login it brings one.
--
-- Which of the servers a statement meets is chance: for writes there is rw-splitting.lua.

local balance = require("proxy.balance")
local sharing = require("proxy.sharing")
local toolkit = require("proxy.toolkit")

-- Settings, for each backend.
local settings = toolkit.settings("ro_pooling", { min_idle_connections = 4, max_idle_connections = 8 })

local QUERY = 1

-- Of this client.
local session = sharing.session()

-- Connections of a backend as far as they are known: those that clients have, and the idle ones of some user.
local function connections(backend)
    return backend.connected_clients + backend.pool.users[""].cur_idle_connections
end

-- An idle connection if enough others are left, else a new one, to the backend that has the fewest.
function connect_server()
    local fewest
    for ndx = 1, #proxy.global.backends do
        local backend = proxy.global.backends[ndx]
        if backend.state ~= proxy.BACKEND_STATE_DOWN
            and (not fewest or connections(backend) < connections(proxy.global.backends[fewest])) then
            fewest = ndx
        end
    end
    if not fewest then return end
    proxy.connection.backend_ndx = fewest
    local left = proxy.global.backends[fewest].pool.users[""].cur_idle_connections
    if proxy.connection.server and left >= settings.min_idle_connections then return proxy.PROXY_IGNORE_RESULT end
end

function read_auth_result(auth)
    if auth.packet:byte() == proxy.MYSQLD_PACKET_OK then proxy.connection.backend_ndx = 0 end
end

-- One with an idle connection, else one where somebody may give one back soon; nil for none.
local function choose()
    local ndx = balance.idle_ro()
    if ndx == 0 then ndx = balance.idle_failsafe_rw() end
    if ndx > 0 then return ndx end
    for ndx = 1, #proxy.global.backends do
        local backend = proxy.global.backends[ndx]
        if backend.state ~= proxy.BACKEND_STATE_DOWN and backend.connected_clients > 0 then return ndx end
    end
end

function read_query(packet)
    if packet:byte() == proxy.COM_QUIT then return toolkit.ok() end
    if not session:attach(packet) then
        local decision = session:answer(packet)
        if decision then return decision end
        local ndx = choose()
        if not ndx then
            proxy.connection.connection_close = true
            return toolkit.refuse("(ro-pooling) no server has a connection for this user, connect again")
        end
        proxy.connection.backend_ndx = ndx
    end
    if not session:is_followed(packet) then return end
    proxy.queries:append(QUERY, packet)
    return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
    if not session:needs_connection(inj) then proxy.connection.backend_ndx = 0 end
end

function disconnect_client()
    proxy.connection.backend_ndx = 0
    sharing.close_surplus(settings.max_idle_connections)
end
