-- Lets in only clients from listed addresses, before any server hears of them.
--
-- A pattern of Lua for each network. Clients on a Unix socket have no address and are let in. Run it with
-- --lua-on-load-error=error --lua-on-hook-error=error, so that nobody gets in while it is broken.

local ALLOWED = { "^127%.0%.0%.1$", "^10%.", "^::1$" }

local function is_allowed(address)
    if not address then return true end
    for _, pattern in ipairs(ALLOWED) do
        if address:find(pattern) then return true end
    end
end

function connect_server()
    local src = proxy.connection.client.src
    if is_allowed(src.address) then return end
    print("denied: " .. src.name)
    proxy.response = {
        type = proxy.MYSQLD_PACKET_ERR,
        errmsg = "Host " .. src.address .. " is not allowed to connect to this proxy",
        errcode = 1130,
    }
    return proxy.PROXY_SEND_RESULT
end
