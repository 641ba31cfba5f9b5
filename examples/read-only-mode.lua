-- A maintenance mode that is switched while clients are connected: whoever writes is told to come back later.
--
-- SET PROXY READ_ONLY = 1 and = 0 switch it, from the proxy's own host only. Transactions that have begun may end.
-- It goes by the statement's first word; procedures and functions that write are not found out.

local READS = {}
for word in ("SELECT SHOW DESCRIBE DESC EXPLAIN USE SET BEGIN START COMMIT ROLLBACK HELP WITH"):gmatch("%a+") do
    READS[word] = true
end

local function first_word(query)
    return (query:gsub("/%*.-%*/", " "):match("^[%s(]*(%a+)") or ""):upper()
end

local function switch(value)
    local address = proxy.connection.client.src.address
    -- A Unix socket has no address.
    if address and not address:find("^127%.") then
        proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = "only from the proxy's host", errcode = 1227 }
    else
        proxy.global.is_read_only = value == "1"
        proxy.response = { type = proxy.MYSQLD_PACKET_OK }
    end
    return proxy.PROXY_SEND_RESULT
end

function read_query(packet)
    local command = packet:byte()
    if command ~= proxy.COM_QUERY and command ~= proxy.COM_STMT_PREPARE then return end
    local query = packet:sub(2)
    local value = query:upper():match("^SET PROXY READ_ONLY ?= ?([01])$")
    if value then return switch(value) end
    if not proxy.global.is_read_only or READS[first_word(query)] then return end
    proxy.response = {
        type = proxy.MYSQLD_PACKET_ERR,
        errmsg = "maintenance: only reading is possible now, please try again later",
        errcode = 1290,
        sqlstate = "HY000",
    }
    return proxy.PROXY_SEND_RESULT
end
