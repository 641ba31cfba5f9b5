-- Prints every query, with who sent it.
--
-- The shortest script that is of use: read_query is called for each command of each client. It returns nothing, so
-- everything goes on as without a script.

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    local client = proxy.connection.client
    print(("%s@%s: %s"):format(client.username, client.src.name, packet:sub(2)))
end
