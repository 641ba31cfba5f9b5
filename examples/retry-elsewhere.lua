-- Chooses the server itself: the preferred one while it is up, else the one with the fewest clients.
--
-- connect_server is called once for each attempt. A server that could not be reached is down by then, so that the next
-- call chooses another one. The preferred server gets its clients back as soon as it is up again.

local PREFERRED = 1

local function least_used()
    local best
    for i = 1, #proxy.global.backends do
        local backend = proxy.global.backends[i]
        if backend.state ~= proxy.BACKEND_STATE_DOWN
            and (not best or backend.connected_clients < proxy.global.backends[best].connected_clients) then
            best = i
        end
    end
    return best
end

function connect_server()
    local preferred = proxy.global.backends[PREFERRED]
    local is_up = preferred and preferred.state ~= proxy.BACKEND_STATE_DOWN
    -- 0 leaves it to the proxy, which says that all are down.
    proxy.connection.backend_ndx = is_up and PREFERRED or least_used() or 0
end
