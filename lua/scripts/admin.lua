-- Answers the statements of the admin port: which servers there are, and in what state.
--
--   mysql-proxy --plugins=proxy,admin --admin-lua-script=admin.lua --defaults-file=/etc/mysql-proxy.cnf
--
-- with admin-username and admin-password in the file.
--
--   SELECT * FROM backends
--   SELECT * FROM help
--
-- In any case, with any blanks, comments and a semicolon. A backend that was removed is listed as down. All other
-- statements are left to the admin interface, or to the server where this is the script of the clients' port. There
-- everybody who may log in can read the addresses.

local toolkit = require("proxy.toolkit")

local STATES = {
    [proxy.BACKEND_STATE_UNKNOWN] = "unknown",
    [proxy.BACKEND_STATE_UP] = "up",
    [proxy.BACKEND_STATE_DOWN] = "down",
}

local TYPES = {
    [proxy.BACKEND_TYPE_UNKNOWN] = "unknown",
    [proxy.BACKEND_TYPE_RW] = "rw",
    [proxy.BACKEND_TYPE_RO] = "ro",
}

local answers = {}

answers["SELECT * FROM BACKENDS"] = function()
    local rows = {}
    for ndx = 1, #proxy.global.backends do
        local backend = proxy.global.backends[ndx]
        -- NULL for no UUID.
        rows[ndx] = {
            ndx, backend.dst.name, STATES[backend.state], TYPES[backend.type], backend.uuid, backend.connected_clients,
        }
    end
    return toolkit.answer({
        { "backend_ndx", proxy.MYSQL_TYPE_LONG },
        "address",
        "state",
        "type",
        "uuid",
        { "connected_clients", proxy.MYSQL_TYPE_LONG },
    }, rows)
end

answers["SELECT * FROM HELP"] = function()
    return toolkit.answer({ "command", "description" }, {
        { "SELECT * FROM help", "these statements" },
        { "SELECT * FROM backends", "the servers behind the proxy, their states and how many clients they have" },
    })
end

function read_query(packet)
    local answer = answers[toolkit.words(packet)]
    if answer then return answer() end
end
