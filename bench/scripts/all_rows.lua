-- Sends every query itself, and reads every row of its result.

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    proxy.queries:append(1, packet, { resultset_is_needed = true })
    return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
    local rows = inj.resultset.rows
    if not rows then return end
    for row in rows do
        local cell = row[1]
    end
end
