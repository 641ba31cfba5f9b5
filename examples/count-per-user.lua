-- Counts each user's queries, for all connections; SHOW QUERY COUNTS is the table.
--
-- proxy.global belongs to all connections. With --lua-states above 1 each state would have a count of its own; then
-- proxy.shared.incr(user, 1, 0) counts for all.

proxy.global.counts = proxy.global.counts or {}
local counts = proxy.global.counts

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    local user = proxy.connection.client.username
    if packet:sub(2):upper() ~= "SHOW QUERY COUNTS" then
        counts[user] = (counts[user] or 0) + 1
        return
    end
    local rows = {}
    for name, count in pairs(counts) do
        rows[#rows + 1] = { name, count }
    end
    table.sort(rows, function(a, b) return a[1] < b[1] end)
    proxy.response = {
        type = proxy.MYSQLD_PACKET_OK,
        resultset = {
            fields = {
                { name = "user", type = proxy.MYSQL_TYPE_STRING },
                { name = "queries", type = proxy.MYSQL_TYPE_LONGLONG },
            },
            rows = rows,
        },
    }
    return proxy.PROXY_SEND_RESULT
end
