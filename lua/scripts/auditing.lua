-- Writes down who logs in, what everybody does, and when they leave: a line of JSON each.
--
--   mysql-proxy --proxy-lua-script=auditing.lua --proxy-backend-addresses=HOST
--     --lua-on-load-error=error --lua-on-hook-error=error
--
-- With these two options nothing goes through unseen while the script is broken. Each line has time (UTC), event,
-- connection (a number of its own), client, user, db and server; by event also:
--
--   login       status: OK or ERR
--   statement   command, statement, status (OK, ERR; LOST where no answer came), rows, affected_rows, ms: from the command to
--               the end of its result
--   command     command: all that is no statement (COM_PING ...), as it comes
--   logout      seconds, statements: since the login
--
-- Passwords are not written: where a statement has one of the `secret_words`, anywhere, all its strings are `***`, except
-- names of accounts. Where it could be read in two ways, only its first word is there. What other statements have in their
-- strings, and so what applications store, is written; values of prepared statements are not.
--
-- One of several statements in one text is not told from the others: they are one line, with the numbers of the last. What
-- a procedure does is not seen.

local commands = require("proxy.commands")
local tokenizer = require("mysql.tokenizer")
local toolkit = require("proxy.toolkit")

-- Settings. Lines go to `file`, "" is standard output; it may be moved away at any time. Of a statement so many bytes are
-- written. Is `writes_commands` false, what is no statement is left out.
local settings = toolkit.settings("auditing", {
    file = "",
    statement_bytes = 4096,
    writes_commands = true,
    secret_words = "PASSWORD IDENTIFIED ENCRYPT CONNECTION WSREP_SST_AUTH",
})

local QUERY = 1

-- All Lua states count together.
local number = proxy.shared.incr("auditing.connections", 1, 0)
local logged_in_at
local count = 0

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(character)
    return ESCAPES[character] or ("\\u%04x"):format(character:byte())
end

local SEQUENCES = {
    "^[\194-\223][\128-\191]",
    "^[\224-\239][\128-\191][\128-\191]",
    "^[\240-\244][\128-\191][\128-\191][\128-\191]",
}

-- Whether all bytes beyond ASCII are UTF-8.
local function is_utf8(text)
    local at = text:find("[\128-\255]")
    while at do
        local _, stop
        for _, sequence in ipairs(SEQUENCES) do
            _, stop = text:find(sequence, at)
            if stop then break end
        end
        if not stop then return false end
        at = text:find("[\128-\255]", stop + 1)
    end
    return true
end

-- A byte that is no UTF-8 is written as the character of its number.
local function quoted(text)
    return '"' .. text:gsub(is_utf8(text) and '[%c"\\\127]' or '[%c"\\\127-\255]', escape) .. '"'
end

local function json(value)
    if value == nil then return "null" end
    if type(value) == "number" then return (value % 1 == 0 and "%.0f" or "%.3f"):format(value) end
    return quoted(value)
end

-- `fields` are names and values in turn.
local function write(event, ...)
    local client, server = proxy.connection.client, proxy.connection.server
    local fields = {
        "time", os.date("!%Y-%m-%dT%H:%M:%SZ"),
        "event", event,
        "connection", number,
        "client", client.src.name,
        "user", client.username,
        "db", client.default_db,
        "server", server and server.dst.name,
    }
    local parts = {}
    for i = 1, 14, 2 do parts[#parts + 1] = quoted(fields[i]) .. ":" .. json(fields[i + 1]) end
    for i = 1, select("#", ...), 2 do
        local name, value = select(i, ...)
        parts[#parts + 1] = quoted(name) .. ":" .. json(value)
    end
    toolkit.write_line(settings.file, "{" .. table.concat(parts, ",") .. "}")
end

local function has_secret_word(text)
    local upper = text:upper()
    for word in settings.secret_words:gmatch("%S+") do
        if upper:find(word, 1, true) then return true end
    end
    return false
end

-- What a password may stand behind, so that this is one and no name of an account, whatever follows.
local BEFORE_SECRET = { TK_EQ = true, TK_OBRACE = true, TK_SQL_AS = true, TK_SQL_BY = true, TK_SQL_USING = true }

local function is_account(tokens, i)
    local before, after = tokens[i - 1], tokens[i + 1]
    if before and before.token_name == "TK_LITERAL" and before.text == "@" then return true end
    return after and after.token_name == "TK_LITERAL" and after.text:find("^@")
        and not (before and BEFORE_SECRET[before.token_name])
end

-- A hash in hexadecimal digits is no string.
local function is_secret(tokens, i)
    local token = tokens[i]
    if token.token_name == "TK_STRING" then return not is_account(tokens, i) end
    return token.token_name == "TK_LITERAL" and token.text:find("^0[xX]")
end

-- Servers may end these strings elsewhere, and comments that begin with # are no tokens.
local function is_ambiguous(token)
    local name = token.token_name
    return name == "TK_STRING" and token.text:find("\\", 1, true)
        or name == "TK_UNKNOWN" and token.text == "#"
        or name == "TK_COMMENT" or name == "TK_COMMENT_MYSQL"
end

local function masked(text)
    local tokens = tokenizer.tokenize(text)
    local parts, at = {}, 1
    for i = 1, #tokens do
        local token = tokens[i]
        if is_ambiguous(token) then return (text:match("^%s*(%a+)") or "") .. " ***" end
        if is_secret(tokens, i) then
            parts[#parts + 1] = text:sub(at, token.position - 1) .. "'***'"
            at = token.position + #token.raw
        end
    end
    return table.concat(parts) .. text:sub(at)
end

-- Of each statement, what is written.
local statements = toolkit.statements(function(sql)
    local text = toolkit.cut(sql, settings.statement_bytes)
    return has_secret_word(sql) and masked(text) or text
end)
-- The command that runs, and its statement.
local running, statement

local function write_statement(status, ...)
    write("statement", "command", running, "statement", statement or nil, "status", status, ...)
    running = nil
end

function read_auth_result(auth)
    local first = auth.packet:byte()
    if first == proxy.MYSQLD_PACKET_OK then
        logged_in_at = os.time()
        write("login", "status", "OK")
    elseif first == proxy.MYSQLD_PACKET_ERR then
        write("login", "status", "ERR")
    end
end

function read_query(packet)
    if running then write_statement("LOST") end
    local command = commands.parse(packet).type_name
    statement = statements:of(packet)
    if statement ~= nil then
        running = command
        proxy.queries:append(QUERY, packet, statements:options(packet))
        return proxy.PROXY_SEND_QUERY
    end
    if settings.writes_commands then write("command", "command", command) end
end

function read_query_result(inj)
    statements:note(inj)
    count = count + 1
    local result = inj.resultset
    write_statement(result.query_status == proxy.MYSQLD_PACKET_ERR and "ERR" or "OK",
        "rows", result.row_count,
        "affected_rows", result.affected_rows,
        "ms", inj.response_time / 1000)
end

function disconnect_client()
    if running then write_statement("LOST") end
    if logged_in_at then write("logout", "seconds", os.time() - logged_in_at, "statements", count) end
end
