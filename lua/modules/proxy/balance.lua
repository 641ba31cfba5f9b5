-- proxy.balance: which backend has an idle connection for the client's user. 0 for none.

local balance = {}

-- Idle connections that this client may have, of a backend that is up and of this type; 0 for all others.
local function idle_connections(backend, type)
    if backend.type ~= type or backend.state == proxy.BACKEND_STATE_DOWN then return 0 end
    return backend.pool.users[proxy.connection.client.username or ""].cur_idle_connections
end

-- The first primary that has one.
function balance.idle_failsafe_rw()
    for ndx = 1, #proxy.global.backends do
        if idle_connections(proxy.global.backends[ndx], proxy.BACKEND_TYPE_RW) > 0 then return ndx end
    end
    return 0
end

-- The replica that has one and serves the fewest clients.
function balance.idle_ro()
    local chosen, fewest = 0, math.huge
    for ndx = 1, #proxy.global.backends do
        local backend = proxy.global.backends[ndx]
        if idle_connections(backend, proxy.BACKEND_TYPE_RO) > 0 and backend.connected_clients < fewest then
            chosen, fewest = ndx, backend.connected_clients
        end
    end
    return chosen
end

return balance
