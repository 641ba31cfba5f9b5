-- Sends another query in the place of the client's.
--
-- Here: an old name of a table still works after it was renamed, for applications that nobody can change any more. Names
-- inside of strings are changed too; who needs more than a pattern takes the tokens of the query.

local renamed = { customer_old = "customer" }

local function rewritten(query)
    return (query:gsub("[%w_]+", renamed))
end

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    local query = packet:sub(2)
    local better = rewritten(query)
    if better == query then return end
    proxy.queries:append(1, string.char(proxy.COM_QUERY) .. better)
    return proxy.PROXY_SEND_QUERY
end
