-- Tells the server who sent a query: a comment in front of it names the client's address and user.
--
-- SHOW PROCESSLIST and the server's slow log show it, where they would show the proxy's address only.

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    local client = proxy.connection.client
    -- A name must not end the comment.
    local tag = (client.username .. "@" .. client.src.name):gsub("[*/]", "_")
    proxy.queries:append(1, ("%c/* %s */ %s"):format(proxy.COM_QUERY, tag, packet:sub(2)))
    return proxy.PROXY_SEND_QUERY
end
