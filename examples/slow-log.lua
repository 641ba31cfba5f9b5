-- Prints queries that take longer than a limit, with the client's address and the server's.
--
-- The result is not kept: rows go to the client as they come, and read_query_result is told of them afterwards.
-- proxy.global.config.slow_ms changes the limit for all connections.

proxy.global.config.slow_ms = proxy.global.config.slow_ms or 200

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    proxy.queries:append(1, packet)
    return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
    local milliseconds = inj.response_time / 1000
    if milliseconds < proxy.global.config.slow_ms then return end
    local connection = proxy.connection
    print(("slow: %.0f ms, %d rows, client %s, server %s: %s"):format(
        milliseconds, inj.resultset.row_count, connection.client.src.name, connection.server.dst.name, inj.query:sub(2)))
end
