-- Prints who logs in, who is refused, and how long sessions last and how much they ask.
--
-- Each connection has variables of its own: `started` and `commands` are nobody else's.

local started = os.time()
local commands = 0

local function who()
    local client = proxy.connection.client
    return ("%s@%s"):format(client.username or "?", client.src.name)
end

function read_auth_result(auth)
    local first = auth.packet:byte()
    if first == proxy.MYSQLD_PACKET_OK then
        print("login: " .. who() .. " at " .. proxy.connection.server.dst.name)
    elseif first == proxy.MYSQLD_PACKET_ERR then
        print("login refused: " .. who())
    end
end

function read_query(packet)
    commands = commands + 1
end

function disconnect_client()
    if commands == 0 then return end
    print(("logout: %s after %d s and %d commands"):format(who(), os.time() - started, commands))
end
