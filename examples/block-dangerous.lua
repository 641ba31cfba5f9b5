-- Refuses statements that cost a night's sleep: DROP, TRUNCATE, and DELETE or UPDATE without WHERE.
--
-- Run it with --lua-on-load-error=error --lua-on-hook-error=error, so that nothing goes through while it is broken. It is a
-- guard against accidents, not against malice: a procedure may still do all that, and so may a statement hidden in a
-- comment that servers run.

local function danger(query)
    local words = query:gsub("/%*.-%*/", " "):gsub("%s+", " "):upper()
    for statement in words:gmatch("[^;]+") do
        statement = statement:gsub("^ ", "")
        local verb = statement:match("^%a+")
        if verb == "DROP" or verb == "TRUNCATE" then
            return verb .. " is not allowed here"
        elseif (verb == "DELETE" or verb == "UPDATE") and not statement:find(" WHERE ") then
            return verb .. " without WHERE is not allowed here"
        end
    end
end

function read_query(packet)
    local command = packet:byte()
    if command ~= proxy.COM_QUERY and command ~= proxy.COM_STMT_PREPARE then return end
    local reason = danger(packet:sub(2))
    if not reason then return end
    proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = reason, errcode = 1290, sqlstate = "HY000" }
    return proxy.PROXY_SEND_RESULT
end
