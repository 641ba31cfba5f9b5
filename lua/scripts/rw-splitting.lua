-- Sends reads to the replicas and everything else to the primary, statement by statement, over shared connections.
--
--   mysql-proxy --proxy-lua-script=rw-splitting.lua
--     --proxy-backend-addresses=PRIMARY --proxy-read-only-backend-addresses=REPLICA,REPLICA
--
-- Every login makes a connection, or takes over one that is idle; between two statements all connections are idle, in
-- pools by user. A statement takes one, and gives it back unless the client needs it for longer: a transaction, a prepared
-- statement, warnings that may be asked for, found rows. What else ties a session to a connection (variables, locks,
-- temporary tables ...) the proxy sees, and keeps it there: at the primary, where such statements go.
--
-- Reads are SELECTs outside of transactions that neither lock, nor write, nor name user variables. What functions of the
-- database do is not seen: a SELECT that calls one that writes has to stand in a transaction. Replicas may lag behind.
--
-- ROW_COUNT(), FOUND_ROWS(), LAST_INSERT_ID() and warnings are those of the client's last statement; ROW_COUNT() and
-- FOUND_ROWS() if they are asked for by themselves.
--
-- A client whose statement finds no connection to the primary waits for one (--proxy-pool-wait). When nobody has one, it
-- gets an error and is closed: with its next login it brings one. Clients that keep prepared statements hold as many
-- connections to the primary; where there are too few, the others wait in vain.

local sharing = require("proxy.sharing")
local tokenizer = require("mysql.tokenizer")
local toolkit = require("proxy.toolkit")

-- Settings. A user lends idle connections to logins while it has more than `min_idle_connections` with one backend; at the
-- end of a session, one of more than `max_idle_connections` is closed. `is_debug` prints where statements go. `operators`
-- are the users who may PROXY SHOW CONFIG and PROXY SET GLOBAL rwsplit.is_debug = true.
local settings = toolkit.settings("rwsplit", {
    min_idle_connections = 4,
    max_idle_connections = 8,
    is_debug = false,
    operators = "root",
})

-- Connections made so far, by backend.
proxy.global.rwsplit_connections = proxy.global.rwsplit_connections or {}
local made = proxy.global.rwsplit_connections

local QUERY, SET_LAST_INSERT_ID = 1, 2

-- Of this client.
local session = sharing.session()
local last_insert_id = 0
local is_reused = false

local function backends(type)
    local found = {}
    for ndx = 1, #proxy.global.backends do
        local backend = proxy.global.backends[ndx]
        if backend.type == type and backend.state ~= proxy.BACKEND_STATE_DOWN then
            found[#found + 1] = ndx
        end
    end
    return found
end

-- What the client could get at this backend.
local function idle(ndx)
    return proxy.global.backends[ndx].pool.users[proxy.connection.client.username].cur_idle_connections
end

local function is_primary(ndx)
    local backend = proxy.global.backends[ndx]
    return backend ~= nil and backend.type == proxy.BACKEND_TYPE_RW
end

local function debug(...)
    if settings.is_debug then print("rw-splitting:", ...) end
end

-- An idle connection of whoever has more than enough, else a new one to the backend that has got the fewest so far.
function connect_server()
    local fewest
    for ndx = 1, #proxy.global.backends do
        local backend = proxy.global.backends[ndx]
        backend.pool.min_idle_connections = settings.min_idle_connections
        backend.pool.max_idle_connections = settings.max_idle_connections
        if backend.state ~= proxy.BACKEND_STATE_DOWN then
            if backend.pool.users[""].cur_idle_connections > 0 then
                proxy.connection.backend_ndx = ndx
                if proxy.connection.server then
                    is_reused = true
                    return proxy.PROXY_IGNORE_RESULT
                end
            end
            if not fewest or (made[ndx] or 0) < (made[fewest] or 0) then fewest = ndx end
        end
    end
    if fewest then proxy.connection.backend_ndx = fewest end
end

-- A user whose connections to the primary are all busy, or who has none, makes one there.
function read_auth()
    if is_primary(proxy.connection.backend_ndx) then return end
    for _, ndx in ipairs(backends(proxy.BACKEND_TYPE_RW)) do
        if idle(ndx) > 0 then return end
    end
    local primary = backends(proxy.BACKEND_TYPE_RW)[1]
    if primary then proxy.connection.backend_ndx = primary end
end

function read_auth_result(auth)
    if auth.packet:byte() ~= proxy.MYSQLD_PACKET_OK then return end
    local ndx = proxy.connection.backend_ndx
    if not is_reused then made[ndx] = (made[ndx] or 0) + 1 end
    proxy.connection.backend_ndx = 0
end

-- Functions that leave something behind, and the beginning of NEXT VALUE FOR.
local writers = {}
for name in ("GET_LOCK RELEASE_LOCK RELEASE_ALL_LOCKS IS_FREE_LOCK IS_USED_LOCK NEXTVAL LASTVAL SETVAL NEXT"):gmatch("%S+") do
    writers[name] = true
end

-- Longer statements count as writes: looking at each word would take too long.
local CLASSIFIED_BYTES_MAX = 65536

-- Whether the statement may run at a replica, and whether it asks for LAST_INSERT_ID().
local function classify(sql)
    if #sql > CLASSIFIED_BYTES_MAX then return false, sql:upper():find("LAST_INSERT_ID", 1, true) ~= nil end
    local tokens = tokenizer.tokenize(sql)
    local is_read, first = true, nil
    local asks_last_insert_id, has_ended = false, false
    for i = 1, #tokens do
        local token = tokens[i]
        local name, text = token.token_name, token.text:upper()
        if name == "TK_COMMENT_MYSQL" or has_ended and name ~= "TK_COMMENT" and name ~= "TK_SEMICOLON" then
            is_read = false
        elseif name == "TK_SEMICOLON" then
            has_ended = true
        elseif name ~= "TK_COMMENT" then
            first = first or (name ~= "TK_OBRACE" and name)
            if name == "TK_SQL_UPDATE" or name == "TK_SQL_INTO" or name == "TK_SQL_LOCK" or text == "SHARE" then
                -- FOR UPDATE, INTO OUTFILE, LOCK IN SHARE MODE, FOR SHARE
                is_read = false
            elseif name ~= "TK_STRING" and writers[text] then
                is_read = false
            elseif text == "LAST_INSERT_ID" or text == "@@LAST_INSERT_ID" or text == "@@IDENTITY" then
                asks_last_insert_id = true
            elseif name == "TK_LITERAL" and text:find("^@[^@]") or text == "@" then
                is_read = false
            end
        end
    end
    return is_read and first == "TK_SQL_SELECT", asks_last_insert_id
end

-- The replica with the fewest clients among those that have a connection for this one.
local function choose_replica()
    local chosen
    for _, ndx in ipairs(backends(proxy.BACKEND_TYPE_RO)) do
        local clients = proxy.global.backends[ndx].connected_clients
        if idle(ndx) > 0 and (not chosen or clients < proxy.global.backends[chosen].connected_clients) then
            chosen = ndx
        end
    end
    return chosen
end

-- A primary with an idle connection, else one that somebody may give back soon. nil, and what is wrong, for none.
local function choose_primary()
    local busy
    local primaries = backends(proxy.BACKEND_TYPE_RW)
    for _, ndx in ipairs(primaries) do
        if idle(ndx) > 0 then return ndx end
        if proxy.global.backends[ndx].connected_clients > 0 then busy = busy or ndx end
    end
    if busy then return busy end
    return nil, #primaries == 0 and "the primary is down" or "the connection to the primary is gone, connect again"
end

function read_query(packet)
    local command = packet:byte()
    -- The connection, if there is one, is not at its end.
    if command == proxy.COM_QUIT then return toolkit.ok() end
    -- Servers forget it then.
    if command == proxy.COM_RESET_CONNECTION or command == proxy.COM_CHANGE_USER then last_insert_id = 0 end
    local decision = toolkit.configure(packet, settings.operators)
    if decision then return decision end
    local is_read, asks_last_insert_id = false, false
    if command == proxy.COM_QUERY then
        is_read, asks_last_insert_id = classify(packet:sub(2))
    end

    -- Where it runs: where the client is bound to, else by what it is.
    if not session:attach(packet) then
        decision = session:answer(packet)
        if decision then return decision end
        local ndx, problem = is_read and not asks_last_insert_id and choose_replica() or nil, nil
        if not ndx then ndx, problem = choose_primary() end
        if not ndx then
            proxy.connection.connection_close = true
            return toolkit.refuse("(rw-splitting) " .. problem)
        end
        proxy.connection.backend_ndx = ndx
    end
    debug(proxy.connection.backend_ndx, ("%q"):format(packet:sub(2, 100)))

    if not session:is_followed(packet) then return end
    if asks_last_insert_id then
        proxy.queries:append(SET_LAST_INSERT_ID,
            ("%cSELECT LAST_INSERT_ID(%.0f)"):format(proxy.COM_QUERY, last_insert_id), { resultset_is_needed = true })
    end
    proxy.queries:append(QUERY, packet)
    return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
    if inj.id ~= QUERY then return proxy.PROXY_IGNORE_RESULT end
    local insert_id = inj.resultset.insert_id or 0
    if insert_id > 0 then last_insert_id = insert_id end
    if not session:needs_connection(inj) then proxy.connection.backend_ndx = 0 end
end

-- The connection goes to its pool, or is closed with the session where there are more than enough.
function disconnect_client()
    local ndx = proxy.connection.backend_ndx
    proxy.connection.backend_ndx = 0
    local surplus = sharing.close_surplus(settings.max_idle_connections)
    if surplus then debug("one of too many idle connections to", surplus, "is closed, after", ndx) end
end
