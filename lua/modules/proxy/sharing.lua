-- proxy.sharing: for scripts that give the connection back after each statement: how long a client needs it, and what it
-- gets when it asks about its last statement and another connection would answer.

local tokenizer = require("proxy.tokenizer")
local toolkit = require("proxy.toolkit")

local sharing = {}

local Session = {}
Session.__index = Session

-- Of a connection; one for each.
function sharing.session()
    return setmetatable({
        prepared = 0,
        -- Has the connection for what the client may ask of its last statement.
        keeps_for_next = false,
        calculates_found_rows = false,
        -- What ROW_COUNT() and FOUND_ROWS() are.
        row_count = -1,
        found_rows = 0,
    }, Session)
end

local FOLLOWED = {
    [proxy.COM_QUERY] = true,
    [proxy.COM_STMT_PREPARE] = true,
    [proxy.COM_STMT_EXECUTE] = true,
    [proxy.COM_STMT_CLOSE] = true,
    [proxy.COM_INIT_DB] = true,
    [proxy.COM_PING] = true,
}

-- What asks about the statement before, in a SELECT.
local ABOUT_LAST = { FOUND_ROWS = true, ROW_COUNT = true, ["@@WARNING_COUNT"] = true, ["@@ERROR_COUNT"] = true }

-- Behind so many bytes nobody asks.
local ASKING_BYTES_MAX = 4096

-- Whether it asks about the statement before.
local function is_about_last(packet)
    if packet:byte() ~= proxy.COM_QUERY then return false end
    local tokens = tokenizer.tokenize(packet:sub(2, ASKING_BYTES_MAX))
    local first = tokenizer.first_stmt_token(tokens)
    local verb = first and first.text:upper()
    if verb ~= "SELECT" then return verb == "SHOW" or verb == "GET" end
    for i = 1, #tokens do
        if tokens[i].token_name ~= "TK_STRING" and ABOUT_LAST[tokens[i].text:upper()] then return true end
    end
    return false
end

-- For each command: whether the client has a connection that it needs for this one. What was kept for the last statement's
-- sake is given back if it asks for something else.
function Session:attach(packet)
    if self.keeps_for_next and proxy.connection.server and not is_about_last(packet) then
        proxy.connection.backend_ndx = 0
    end
    self.keeps_for_next = false
    return proxy.connection.server ~= nil
end

-- Each statement that `answer` knows has one of them.
local CLUES = { "_ROWS", "_COUNT", "WARNINGS", "ERRORS", "DIAGNOSTICS" }

local function may_ask(packet)
    local text = packet:sub(1, ASKING_BYTES_MAX):upper()
    for _, clue in ipairs(CLUES) do
        if text:find(clue, 1, true) then return true end
    end
    return false
end

local function number(name, value)
    return toolkit.answer({ { name, proxy.MYSQL_TYPE_LONGLONG } }, { { ("%.0f"):format(value) } })
end

local answers = {}

answers["SELECT ROW_COUNT ( )"] = function(session) return number("ROW_COUNT()", session.row_count) end
answers["SELECT FOUND_ROWS ( )"] = function(session) return number("FOUND_ROWS()", session.found_rows) end
answers["SELECT @@WARNING_COUNT"] = function() return number("@@warning_count", 0) end
answers["SELECT @@ERROR_COUNT"] = function() return number("@@error_count", 0) end
answers["SHOW COUNT ( * ) WARNINGS"] = function() return number("@@session.warning_count", 0) end
answers["SHOW COUNT ( * ) ERRORS"] = function() return number("@@session.error_count", 0) end

-- For a command of a client without a connection: answers what is asked about its last statement, which had neither
-- warnings nor an error. nil for all else. Connections in the pool know of others' statements.
function Session:answer(packet)
    if not may_ask(packet) then return nil end
    local words = toolkit.words(packet) or ""
    local answer = answers[words]
    local decision
    if answer then
        decision = answer(self)
    elseif words:find("^SHOW WARNINGS") or words:find("^SHOW ERRORS") then
        return toolkit.answer({ "Level", { "Code", proxy.MYSQL_TYPE_LONG }, "Message" }, {})
    elseif words:find("^GET ") then
        return toolkit.refuse("(proxy.sharing) the statement to GET DIAGNOSTICS of is not known any more", 1235, "42000")
    else
        return nil
    end
    self.row_count, self.found_rows = -1, 1
    return decision
end

-- Whether a result is to be awaited in read_query_result. Else the command goes as it is (replication, and whatever is
-- rare), and the connection is kept until the next statement.
function Session:is_followed(packet)
    local command = packet:byte()
    if command == proxy.COM_STMT_PREPARE then
        self.prepared = self.prepared + 1
    elseif command == proxy.COM_STMT_CLOSE then
        self.prepared = math.max(self.prepared - 1, 0)
    elseif command == proxy.COM_RESET_CONNECTION or command == proxy.COM_CHANGE_USER then
        self.prepared = 0
    end
    local beginning = command == proxy.COM_QUERY and packet:sub(2, ASKING_BYTES_MAX):upper() or ""
    self.calculates_found_rows = beginning:find("SQL_CALC_FOUND_ROWS", 1, true) ~= nil
    self.keeps_for_next = not FOLLOWED[command]
    return not self.keeps_for_next
end

-- For the result of a client's command.
function Session:needs_connection(inj)
    local result, is_err = inj.resultset, inj.resultset.query_status == proxy.MYSQLD_PACKET_ERR
    if is_err and inj.query:byte() == proxy.COM_STMT_PREPARE then self.prepared = math.max(self.prepared - 1, 0) end
    local affected_rows = result.affected_rows
    self.row_count = not is_err and affected_rows or -1
    if not affected_rows then self.found_rows = result.row_count end
    self.keeps_for_next = self.calculates_found_rows or is_err or result.warning_count > 0
    local flags = result.flags
    return flags.in_trans or not flags.auto_commit or self.prepared > 0 or self.keeps_for_next
end

-- At the end of a session: takes an idle connection of a backend where the user has more than so many. It is closed with
-- the session. Where that was, or nil.
function sharing.close_surplus(max_idle_connections)
    local user = proxy.connection.client.username
    for ndx = 1, user and #proxy.global.backends or 0 do
        if proxy.global.backends[ndx].pool.users[user].cur_idle_connections > max_idle_connections then
            proxy.connection.backend_ndx = ndx
            return ndx
        end
    end
end

return sharing
