-- Lets COMMITs fail, so that an application can be tested with what happens now and then in production. Not for production.
--
--   mysql-proxy --proxy-lua-script=commit-obfuscator.lua --proxy-backend-addresses=HOST
--
-- Of all COMMITs some are
--   executed, and the client gets an error             (error_rate)
--   executed, and the connection is closed unanswered  (drop_rate)
--   rolled back, and the client is told of a deadlock  (rollback_rate)
-- In the first two cases an application cannot know what happened. Which of them each one met is logged.
--
-- It sees a COMMIT that is a query by itself; not one among several statements, and none that is prepared.

local toolkit = require("proxy.toolkit")
local tokenizer = require("proxy.tokenizer")

-- Settings. Each rate is a share of all COMMITs: 0.1 is every tenth one. The same `seed` makes the same choices; 0 takes
-- the time.
local settings = toolkit.settings("commit_obfuscator", {
    error_rate = 0.1,
    drop_rate = 0.1,
    rollback_rate = 0.1,
    seed = 0,
})

if not proxy.global.commit_obfuscator_is_seeded then
    proxy.global.commit_obfuscator_is_seeded = true
    math.randomseed(settings.seed ~= 0 and settings.seed or os.time())
end

local COMMIT = 1
local BUFFERED = { resultset_is_needed = true }

-- What the COMMIT that runs meets.
local fate

local fates = {}

function fates.error()
    return toolkit.refuse("Got error 1 \"(commit-obfuscator)\" during COMMIT", 1180)
end

function fates.drop()
    proxy.connection.connection_close = true
    return proxy.PROXY_IGNORE_RESULT
end

function fates.rollback()
    return toolkit.refuse("(commit-obfuscator) Deadlock found when trying to get lock; try restarting transaction",
        1213, "40001")
end

local function choose()
    local number = math.random()
    for _, name in ipairs({ "error", "drop", "rollback" }) do
        local rate = settings[name .. "_rate"]
        if number < rate then return name end
        number = number - rate
    end
end

-- The same with ROLLBACK; nil if it is no COMMIT.
local function rollback_for(packet)
    local tokens = tokenizer.tokenize(packet:sub(2))
    local first = tokenizer.first_stmt_token(tokens)
    if not first or first.token_name ~= "TK_LITERAL" or first.text:upper() ~= "COMMIT" then return nil end
    local words = tokenizer.bare_tokens(tokens)
    words[1] = "ROLLBACK"
    return string.char(proxy.COM_QUERY) .. table.concat(words, " ")
end

-- `COMMIT /* and CHAIN */ AND CHAIN` is short.
local COMMIT_BYTES_MAX = 256

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY or #packet > COMMIT_BYTES_MAX then return end
    local rollback = rollback_for(packet)
    fate = rollback and choose()
    if not fate then return end
    proxy.queries:append(COMMIT, fate == "rollback" and rollback or packet, BUFFERED)
    return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
    if inj.resultset.query_status == proxy.MYSQLD_PACKET_ERR then return end
    local client = proxy.connection.client
    toolkit.log("message", ("commit-obfuscator: %s for %s at %s"):format(fate, client.username, client.src.name))
    return fates[fate]()
end
