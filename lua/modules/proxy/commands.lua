-- proxy.commands: a client's command as a table, and as text for a log.

local commands = {}

-- COM_QUERY and the others, by number.
local names = {}
for name, value in pairs(proxy) do
    if name:find("^COM_") then names[value] = name end
end

-- What is behind the command byte.
local DETAILS = {
    COM_QUERY = "query",
    COM_STMT_PREPARE = "query",
    COM_STMT_EXECUTE = "stmt_handler_id",
    COM_STMT_CLOSE = "stmt_handler_id",
    COM_STMT_RESET = "stmt_handler_id",
    COM_STMT_FETCH = "stmt_handler_id",
    COM_STMT_SEND_LONG_DATA = "stmt_handler_id",
    COM_FIELD_LIST = "table",
    COM_INIT_DB = "schema",
    COM_CREATE_DB = "schema",
    COM_DROP_DB = "schema",
    COM_SET_OPTION = "option",
}

-- The number of a prepared statement; nil where the packet has none.
local function statement_id(packet)
    local a, b, c, d = packet:byte(2, 5)
    return d and a + b * 0x100 + c * 0x10000 + d * 0x1000000
end

-- A command packet as `read_query` gets it. An empty one has no type.
function commands.parse(packet)
    local type = packet:byte()
    local command = { type = type, type_name = type and (names[type] or "COM_" .. type) or "COM_NONE" }
    local detail = DETAILS[command.type_name]
    if detail == "stmt_handler_id" then
        command.stmt_handler_id = statement_id(packet)
    elseif detail then
        command[detail] = packet:sub(2)
    end
    return command
end

-- A parsed command as one line: `[COM_QUERY] SELECT 1`.
function commands.pretty_print(command)
    local detail = DETAILS[command.type_name]
    local text = detail and command[detail] or "... no idea"
    return ("[%s] "):format(command.type_name) .. text
end

return commands
