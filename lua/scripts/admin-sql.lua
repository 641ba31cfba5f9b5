-- Sends commands of the protocol that clients have no statement for: for tests of servers and of the proxy.
--
--   mysql-proxy --proxy-lua-script=admin-sql.lua --proxy-backend-addresses=HOST
--
-- These texts, in capitals and with nothing around them, are commands. In brackets, what they have behind the command byte:
-- what has nothing there is often cut short, and the server's error shows how it takes that.
--
--   COMMIT SUICIDE      COM_SHUTDOWN: stops the server, if the user may
--   PING, STATISTICS, PROCINFO, TIME, DEBUG, PROCKILL, SETOPT
--                       COM_PING, COM_STATISTICS, COM_PROCESS_INFO, COM_TIME, COM_DEBUG, COM_PROCESS_KILL, COM_SET_OPTION
--   BINLOGDUMP, BINLOGDUMP1
--                       COM_BINLOG_DUMP, and [from position 4 as server 2]: a stream, which only the end of the connection ends
--   REGSLAVE, REGSLAVE1 COM_REGISTER_SLAVE, and [as server 1]
--   PREP, PREP1         COM_STMT_PREPARE, and [SELECT ?]
--   EXEC, EXEC1         COM_STMT_EXECUTE, and [statement 1 with '1234']
--   DEAL, DEAL1         COM_STMT_CLOSE, and [statement 1]
--   RESET, RESET1       COM_STMT_RESET, and [statement 1]
--   FETCH, FETCH1       COM_STMT_FETCH, and [128 rows of statement 1]
--   FLIST, FLIST1       COM_FIELD_LIST, and [id of t1]
--   TDUMP, TDUMP1, TDUMP2
--                       COM_TABLE_DUMP, and [test.t1], [test.t2]
--
-- An ERR comes back as it is. So does every answer that a query may have; COM_STATISTICS is a row, and all else an OK.

local toolkit = require("proxy.toolkit")

local ID = 1

-- Integers of 1, 2 and 4 bytes as the protocol has them.
local function int(bytes, value)
    local text = ""
    for _ = 1, bytes do
        text = text .. string.char(value % 256)
        value = math.floor(value / 256)
    end
    return text
end

local function with_length(text)
    return string.char(#text) .. text
end

local FIRST = int(4, 1)
local ONE_STRING = int(1, 0) .. int(1, 1) .. int(1, proxy.MYSQL_TYPE_STRING) .. int(1, 0) .. with_length("1234")
local NO_CURSOR_ONCE = int(1, 0) .. int(4, 1)

-- The command, and what is behind its byte.
local COMMANDS = {
    ["COMMIT SUICIDE"] = { proxy.COM_SHUTDOWN },
    PING = { proxy.COM_PING },
    STATISTICS = { proxy.COM_STATISTICS },
    PROCINFO = { proxy.COM_PROCESS_INFO },
    TIME = { proxy.COM_TIME },
    DEBUG = { proxy.COM_DEBUG },
    PROCKILL = { proxy.COM_PROCESS_KILL },
    SETOPT = { proxy.COM_SET_OPTION },
    BINLOGDUMP = { proxy.COM_BINLOG_DUMP },
    BINLOGDUMP1 = { proxy.COM_BINLOG_DUMP, int(4, 4) .. int(2, 0) .. int(4, 2) },
    REGSLAVE = { proxy.COM_REGISTER_SLAVE },
    REGSLAVE1 = {
        proxy.COM_REGISTER_SLAVE,
        int(4, 1) .. with_length("") .. with_length("") .. with_length("") .. int(2, 0) .. int(4, 0) .. int(4, 0),
    },
    PREP = { proxy.COM_STMT_PREPARE },
    PREP1 = { proxy.COM_STMT_PREPARE, "SELECT ?" },
    EXEC = { proxy.COM_STMT_EXECUTE },
    EXEC1 = { proxy.COM_STMT_EXECUTE, FIRST .. NO_CURSOR_ONCE .. ONE_STRING },
    DEAL = { proxy.COM_STMT_CLOSE },
    DEAL1 = { proxy.COM_STMT_CLOSE, FIRST },
    RESET = { proxy.COM_STMT_RESET },
    RESET1 = { proxy.COM_STMT_RESET, FIRST },
    FETCH = { proxy.COM_STMT_FETCH },
    FETCH1 = { proxy.COM_STMT_FETCH, FIRST .. int(4, 128) },
    FLIST = { proxy.COM_FIELD_LIST },
    FLIST1 = { proxy.COM_FIELD_LIST, "t1\0id\0" },
    TDUMP = { proxy.COM_TABLE_DUMP },
    TDUMP1 = { proxy.COM_TABLE_DUMP, with_length("test") .. with_length("t1") },
    TDUMP2 = { proxy.COM_TABLE_DUMP, with_length("test") .. with_length("t2") },
}

-- Their answers are those of queries: OK, or rows.
local ANSWERED_AS_QUERIES = {
    [proxy.COM_PING] = true,
    [proxy.COM_TIME] = true,
    [proxy.COM_PROCESS_KILL] = true,
    [proxy.COM_PROCESS_INFO] = true,
    [proxy.COM_REGISTER_SLAVE] = true,
    [proxy.COM_STMT_RESET] = true,
}

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    local command = COMMANDS[packet:sub(2)]
    if not command then return end
    local number, arguments = command[1], command[2] or ""
    local is_stream = number == proxy.COM_BINLOG_DUMP
    proxy.queries:append(ID, string.char(number) .. arguments, { resultset_is_needed = not is_stream })
    -- Servers do not answer it.
    if number == proxy.COM_STMT_CLOSE then return toolkit.ok() end
    return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
    local number, result = inj.query:byte(), inj.resultset
    if result.query_status == proxy.MYSQLD_PACKET_ERR or ANSWERED_AS_QUERIES[number] then return end
    if number == proxy.COM_STATISTICS then return toolkit.answer({ "statistics" }, { { result.raw } }) end
    return toolkit.ok()
end
