-- Each user always gets the same server, as long as it is up.
--
-- Who a client is shows in read_auth, when a server has greeted it already. Naming another one there sends it on: that
-- server asks the client for its password itself. The user's name decides, so nothing has to be remembered and several
-- proxies agree.

local function hash(text)
    local sum = 5381
    for i = 1, #text do
        sum = (sum * 33 + text:byte(i)) % 4294967296
    end
    return sum
end

local function servers_up()
    local up = {}
    for i = 1, #proxy.global.backends do
        local backend = proxy.global.backends[i]
        if backend.type == proxy.BACKEND_TYPE_RW and backend.state ~= proxy.BACKEND_STATE_DOWN then
            up[#up + 1] = i
        end
    end
    return up
end

function read_auth()
    local up = servers_up()
    if #up == 0 then return end
    proxy.connection.backend_ndx = up[hash(proxy.connection.client.username) % #up + 1]
end
