-- Answers some queries itself; no server is asked.
--
-- Here: SHOW PROXY STATUS is a table of the servers behind the proxy.

local function result(columns, rows)
    local fields = {}
    for i, name in ipairs(columns) do
        fields[i] = { name = name, type = proxy.MYSQL_TYPE_STRING }
    end
    proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = rows } }
    return proxy.PROXY_SEND_RESULT
end

local states = {
    [proxy.BACKEND_STATE_UNKNOWN] = "unknown",
    [proxy.BACKEND_STATE_UP] = "up",
    [proxy.BACKEND_STATE_DOWN] = "down",
}

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    if packet:sub(2):upper() ~= "SHOW PROXY STATUS" then return end
    local rows = {}
    for i = 1, #proxy.global.backends do
        local backend = proxy.global.backends[i]
        rows[i] = { i, backend.dst.name, states[backend.state], backend.connected_clients }
    end
    return result({ "backend", "address", "state", "clients" }, rows)
end
