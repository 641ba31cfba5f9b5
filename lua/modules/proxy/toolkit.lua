-- proxy.toolkit: what the shipped scripts have in common, for others as well.

local auto_config = require("proxy.auto-config")
local commands = require("proxy.commands")
local proto = require("mysql.proto")
local tokenizer = require("proxy.tokenizer")

local toolkit = {}

-- The settings of a script, in proxy.global.config[name]; what is not set there gets its default.
function toolkit.settings(name, defaults)
    local config = proxy.global.config
    if type(config[name]) ~= "table" then config[name] = {} end
    local settings = config[name]
    for option, default in pairs(defaults) do
        if settings[option] == nil then settings[option] = default end
    end
    return settings
end

-- Whether the client's user is one of `names`, which blanks or commas separate.
function toolkit.user_is_one_of(names)
    local user = proxy.connection.client.username
    for name in names:gmatch("[^%s,]+") do
        if name == user then return true end
    end
    return false
end

-- Answers with rows. A column is its name, or `{ name, type }`; without a type it is text.
function toolkit.answer(columns, rows)
    local fields = {}
    for i, column in ipairs(columns) do
        local name, type = column, proxy.MYSQL_TYPE_STRING
        if _G.type(column) == "table" then name, type = column[1], column[2] end
        fields[i] = { name = name, type = type }
    end
    proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = rows } }
    return proxy.PROXY_SEND_RESULT
end

-- Answers with OK.
function toolkit.ok(affected_rows)
    proxy.response = { type = proxy.MYSQLD_PACKET_OK, affected_rows = affected_rows }
    return proxy.PROXY_SEND_RESULT
end

-- Answers with an ERR: by default 1105, HY000.
function toolkit.refuse(message, code, sqlstate)
    proxy.response = {
        type = proxy.MYSQLD_PACKET_ERR,
        errmsg = message,
        errcode = code or 1105,
        sqlstate = sqlstate or "HY000",
    }
    return proxy.PROXY_SEND_RESULT
end

-- No longer text is a statement for a script.
local WORDS_BYTES_MAX = 256

-- The words of a short query in upper case with a blank between them, to compare it with statements that a script answers:
-- "SELECT * FROM HELP" for `select *  from help;`. nil for everything else.
function toolkit.words(packet)
    if packet:byte() ~= proxy.COM_QUERY or #packet > WORDS_BYTES_MAX then return nil end
    local words = {}
    local tokens = tokenizer.tokenize(packet:sub(2))
    for i = 1, #tokens do
        local token = tokens[i]
        local name = token.token_name
        if name == "TK_STRING" then
            words[#words + 1] = "'" .. token.text .. "'"
        elseif name ~= "TK_COMMENT" then
            words[#words + 1] = token.text:upper()
        end
    end
    while words[#words] == ";" do words[#words] = nil end
    return table.concat(words, " ")
end

-- Answers an operator's PROXY SHOW CONFIG and PROXY SET GLOBAL, and refuses those of others; nil for all else. What reads
-- and writes files is not for clients.
function toolkit.configure(packet, operators)
    if not packet:find("^%c%s*[Pp][Rr][Oo][Xx][Yy]%s") then return nil end
    local words = toolkit.words(packet) or ""
    if words ~= "PROXY SHOW CONFIG" and not words:find("^PROXY SET GLOBAL ") then return nil end
    if not toolkit.user_is_one_of(operators) then
        return toolkit.refuse("Access denied; only operators of the proxy may do this", 1227, "42000")
    end
    return auto_config.handle(commands.parse(packet))
end

-- At most `bytes` of a text; dots stand for the rest.
function toolkit.cut(text, bytes)
    if #text <= bytes then return text end
    return text:sub(1, bytes) .. "..."
end

-- More of them with one connection are not remembered.
local PREPARED_MAX = 256
-- MariaDB's number for the statement that was prepared last.
local LAST_PREPARED = 0xffffffff
-- MariaDB's COM_STMT_BULK_EXECUTE.
local STMT_BULK_EXECUTE = 250

-- Of a command for a prepared statement, its number; nil where the packet is too short.
local function statement_id(packet)
    local a, b, c, d = packet:byte(2, 5)
    return d and a + b * 0x100 + c * 0x10000 + d * 0x1000000
end

local Statements = {}
Statements.__index = Statements

-- What the commands of a connection run, also those that run what was prepared. Kept is `keep(sql)` of each text.
function toolkit.statements(keep)
    return setmetatable({ keep = keep, prepared = {}, count = 0 }, Statements)
end

-- What is kept of the SQL that a command runs or prepares: false where it is not known, nil for commands that do neither.
-- For each command of the client.
function Statements:of(packet)
    local command = packet:byte()
    if command == proxy.COM_QUERY or command == proxy.COM_STMT_PREPARE then
        self.current = self.keep(packet:sub(2))
        return self.current
    elseif command == proxy.COM_STMT_EXECUTE or command == STMT_BULK_EXECUTE then
        local id = statement_id(packet)
        if id == LAST_PREPARED then id = self.last end
        return self.prepared[id or LAST_PREPARED] or false
    elseif command == proxy.COM_STMT_CLOSE then
        local id = statement_id(packet) or LAST_PREPARED
        if self.prepared[id] then self.count = self.count - 1 end
        self.prepared[id] = nil
    elseif command == proxy.COM_CHANGE_USER or command == proxy.COM_RESET_CONNECTION then
        self.prepared, self.count = {}, 0
    end
end

-- How to queue a command that runs or prepares something: `proxy.queries:append(1, packet, statements:options(packet))`.
function Statements:options(packet)
    return { resultset_is_needed = packet:byte() == proxy.COM_STMT_PREPARE }
end

-- For each result of what was queued so.
function Statements:note(inj)
    local result = inj.resultset
    if inj.query:byte() ~= proxy.COM_STMT_PREPARE or result.query_status ~= proxy.MYSQLD_PACKET_OK then return end
    if self.count == PREPARED_MAX or not result.raw then return end
    local id = proto.from_stmt_prepare_ok_packet(result.raw).stmt_id
    self.count = self.count + 1
    self.prepared[id] = self.current
    self.last = id
end

local KIND_BYTES_MAX = 1000

-- What queries have in common that differ in their constants only, as one line: normalised, with one constant for a list of
-- them and one row for several.
function toolkit.kind(tokens)
    local text = tokenizer.normalize(tokens):gsub("%? , %f[?]", ""):gsub("%( %? %) , %f[(]", "")
    return toolkit.cut(text, KIND_BYTES_MAX)
end

-- Numbers by key, for `rows_max` keys; those of all others are together.
function toolkit.tally(rows_max)
    return { rows = {}, count = 0, rows_max = rows_max }
end

-- The row of a key; `create` makes it.
function toolkit.row(tally, key, create)
    local rows = tally.rows
    if not rows[key] then
        if tally.count >= tally.rows_max then key = "(others)" end
        if not rows[key] then
            rows[key] = create()
            tally.count = tally.count + 1
        end
    end
    return rows[key]
end

local function no_times()
    return { count = 0, sum = 0, min = math.huge, max = 0 }
end

-- Counts a time in the row of a key: `count`, `sum`, `min` and `max`. The row.
function toolkit.add_time(tally, key, time)
    local row = toolkit.row(tally, key, no_times)
    row.count, row.sum = row.count + 1, row.sum + time
    row.min, row.max = math.min(row.min, time), math.max(row.max, time)
    return row
end

-- Without line ends and the like, which would let a statement look like lines of a log.
function toolkit.one_line(text)
    return (text:gsub("%c", " "))
end

-- `chassis`, without what requiring it does to `print`.
local function quiet_chassis()
    if package.loaded.chassis then return package.loaded.chassis end
    local print_before = print
    local chassis = require("chassis")
    _G.print, os.print, _G.chassis, package.loaded.chassis = print_before, nil, nil, nil
    return chassis
end

-- Writes to the proxy's log: `critical`, `warning`, `message`, `info` or `debug`.
toolkit.log = quiet_chassis().log

-- Files that lines are written to, by name.
local files = {}

local function opened(name)
    local file = files[name]
    local now = os.time()
    if file and file.opened_at == now then return file end
    if file and file.handle then file.handle:close() end
    local handle, problem = io.open(name, "a")
    if handle then handle:setvbuf("full", 65536) end
    if problem and not (file and file.problem == problem) then toolkit.log("critical", "cannot write " .. problem) end
    files[name] = { handle = handle, problem = problem, opened_at = now }
    return files[name]
end

-- Appends a line to a file; "" is standard output, which also gets what a file does not take. The file is opened anew
-- each second, so that it may be moved away. One line is one write, if it is shorter than 64 KiB.
function toolkit.write_line(name, line)
    local handle = name ~= "" and opened(name).handle
    if not (handle and handle:write(line, "\n") and handle:flush()) then print(line) end
end

return toolkit
