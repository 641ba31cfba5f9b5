-- A server without a server: greets clients, lets everyone in, and answers from a table.
--
-- For tests of applications. Everything that is no query is answered with OK; what is not in the table with an error.

local proto = require("mysql.proto")

local answers = {
    ["SELECT 1"] = { fields = { "1" }, rows = { { 1 } } },
    ["SELECT name FROM fruit"] = { fields = { "name" }, rows = { { "apple" }, { "pear" } } },
}

function connect_server()
    proxy.response = {
        type = proxy.MYSQLD_PACKET_RAW,
        packets = { proto.to_challenge_packet({ server_version = 50799 }) },
    }
    return proxy.PROXY_SEND_RESULT
end

function read_query(packet)
    proxy.response = { type = proxy.MYSQLD_PACKET_OK }
    if packet:byte() == proxy.COM_QUERY then
        local answer = answers[packet:sub(2)]
        if answer then
            local fields = {}
            for i, name in ipairs(answer.fields) do
                fields[i] = { name = name, type = proxy.MYSQL_TYPE_VAR_STRING }
            end
            proxy.response.resultset = { fields = fields, rows = answer.rows }
        else
            proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = "(mock) I have no answer to this", errcode = 1064 }
        end
    end
    return proxy.PROXY_SEND_RESULT
end
