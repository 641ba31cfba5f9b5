-- Answers a query again for some seconds without asking the server, if the application says that old data will do.
--
-- It says so by a comment: SELECT /* cache: 30 */ ... Nothing is thrown out when data changes, which is why it is the
-- application's decision. Users have answers of their own, and so has each default database. The number of answers is
-- bounded; expired ones make room.

local ANSWERS_MAX = 1000

proxy.global.answers = proxy.global.answers or {}
proxy.global.answer_count = proxy.global.answer_count or 0
local answers = proxy.global.answers

local function key_of(query)
    local client = proxy.connection.client
    return table.concat({ client.username, client.default_db, query }, "\0")
end

local function remove_expired()
    for key, answer in pairs(answers) do
        if answer.expires <= os.time() then
            answers[key] = nil
            proxy.global.answer_count = proxy.global.answer_count - 1
        end
    end
end

local function remember(key, seconds, resultset)
    if not answers[key] then
        if proxy.global.answer_count >= ANSWERS_MAX then remove_expired() end
        if proxy.global.answer_count >= ANSWERS_MAX then return end
        proxy.global.answer_count = proxy.global.answer_count + 1
    end
    answers[key] = { expires = os.time() + seconds, resultset = resultset }
end

local function lifetime(query)
    return tonumber(query:match("^%s*[Ss][Ee][Ll][Ee][Cc][Tt]%s*/%* *cache: *(%d+) *%*/"))
end

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    local query = packet:sub(2)
    if not lifetime(query) then return end
    local answer = answers[key_of(query)]
    if answer and answer.expires > os.time() then
        proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = answer.resultset }
        return proxy.PROXY_SEND_RESULT
    end
    proxy.queries:append(1, packet, { resultset_is_needed = true })
    return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
    local resultset = inj.resultset
    -- What a transaction sees is not for others.
    if not resultset.rows or resultset.flags.in_trans then return end
    local fields, rows = {}, {}
    for i = 1, #resultset.fields do
        fields[i] = { name = resultset.fields[i].name, type = resultset.fields[i].type }
    end
    for row in resultset.rows do
        rows[#rows + 1] = row
    end
    local query = inj.query:sub(2)
    remember(key_of(query), lifetime(query), { fields = fields, rows = rows })
end
