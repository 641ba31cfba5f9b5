-- The debug interface: each query is Lua, which runs in the global environment of the first Lua state.
--
-- `return 6 * 7` and `6 * 7` both answer one row. A table is one row, its keys the columns; a table of tables is rows, whose
-- columns are the keys of the first one.

local loadstring, pcall, tostring, type, pairs, ipairs = loadstring, pcall, tostring, type, pairs, ipairs
local next, sort, format = next, table.sort, string.format
local proxy = proxy

local function fail(text)
    proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = tostring(text) }
    return proxy.PROXY_SEND_RESULT
end

-- A value as a cell; what has no text is NULL.
local function cell(value)
    local kind = type(value)
    if kind == "boolean" then
        return value and "TRUE" or "FALSE"
    elseif kind == "number" then
        return value % 1 == 0 and format("%.0f", value) or value
    elseif kind == "string" then
        return value
    end
end

-- The keys of a row: numbers first, each kind in order.
local function columns(row)
    local keys = {}
    for key in pairs(row) do keys[#keys + 1] = key end
    sort(keys, function(a, b)
        if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
        return type(a) < type(b)
    end)
    return keys
end

local function send(keys, rows)
    local fields, cells = {}, {}
    for i, key in ipairs(keys) do
        fields[i] = { name = tostring(key), type = proxy.MYSQL_TYPE_STRING }
    end
    for n, row in ipairs(rows) do
        local values = {}
        for i, key in ipairs(keys) do values[i] = cell(row[key]) end
        cells[n] = values
    end
    proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = cells } }
    return proxy.PROXY_SEND_RESULT
end

local function show(value)
    if type(value) ~= "table" then return send({ "lua" }, { { lua = value } }) end
    if next(value) == nil then
        proxy.response = { type = proxy.MYSQLD_PACKET_OK }
        return proxy.PROXY_SEND_RESULT
    end
    for _, row in ipairs(value) do
        if type(row) ~= "table" then return send(columns(value), { value }) end
    end
    if type(value[1]) ~= "table" or next(value[1]) == nil then return send(columns(value), { value }) end
    return send(columns(value[1]), value)
end

function read_query(packet)
    local command = packet:byte()
    if command == proxy.COM_QUIT or command == proxy.COM_PING or command == proxy.COM_INIT_DB then return end
    if command ~= proxy.COM_QUERY then return fail("unknown COM_*") end
    local text = packet:sub(2)
    local question = text:lower()
    if question:find("^select @@version_comment limit 1") then
        return send({ "@@version_comment" }, { { ["@@version_comment"] = "mysql-proxy, debug interface" } })
    elseif question:find("^select user%(%)") then
        return send({ "USER()" }, { { ["USER()"] = proxy.connection.client.username } })
    end
    local chunk, message = loadstring("return " .. text, "=query")
    if not chunk then
        chunk, message = loadstring(text, "=query")
    end
    if not chunk then return fail(message) end
    local succeeded, value = pcall(chunk)
    if not succeeded then return fail(value) end
    return show(value)
end
