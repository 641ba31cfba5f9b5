-- Looks at everything that there is to see of its input. What may raise an error raises one that is a text.

local proto = require("mysql.proto")
local tokenizer = require("mysql.tokenizer")

local function try(f, ...)
    local succeeded, result = pcall(f, ...)
    if succeeded then
        return result
    end
    assert(type(result) == "string", "an error that is no text")
end

local function done()
    proxy.response = { type = proxy.MYSQLD_PACKET_OK }
    return proxy.PROXY_SEND_RESULT
end

function read_query(text, attributes)
    for name in pairs(attributes or {}) do
        assert(type(name) == "string")
    end
    local tokens = tokenizer.tokenize(text)
    local bytes = 0
    for i = 1, #tokens do
        local token = tokens[i]
        assert(token.token_name:find("^TK_"))
        bytes = bytes + #token.text
    end
    assert(bytes <= #text)
    for name, decode in pairs(proto) do
        local packet = type(name) == "string" and name:match("^from_(.*)")
        local decoded = packet and try(decode, text, text:byte() or 0)
        local encode = packet and proto["to_" .. packet]
        if decoded and encode then
            try(encode, decoded)
        end
    end
    return done()
end

-- Answers with a response that the bytes say: its kind, how many columns, and texts between zeros.
function read_auth_result(auth)
    local kind, columns = (auth.packet .. "\0\0"):byte(1, 2)
    columns = columns % 8
    local texts = {}
    for text in auth.packet:sub(3):gmatch("%Z+") do
        texts[#texts + 1] = text
    end
    local response = { type = proxy.MYSQLD_PACKET_OK, affected_rows = kind, insert_id = columns }
    if kind % 3 == 1 then
        response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = texts[1] or "", sqlstate = texts[2], errcode = columns }
    elseif kind % 3 == 2 and columns > 0 then
        local fields, rows = {}, {}
        for i = 1, columns do
            fields[i] = { name = texts[i], type = texts[i] and texts[i]:byte() }
        end
        for i = columns + 1, #texts, columns do
            local row = {}
            for column = 1, columns do
                row[column] = texts[i + column]
            end
            row.n = columns
            rows[#rows + 1] = row
        end
        response.resultset = { fields = fields, rows = rows }
    end
    proxy.response = response
    return proxy.PROXY_SEND_RESULT
end

local function read_fields(resultset)
    local fields = resultset.fields
    for i = 1, fields and #fields or 0 do
        local field = fields[i]
        assert(type(field.name) == "string" and type(field.type) == "number")
    end
end

local function read_rows(resultset)
    for row in resultset.rows do
        for i = 1, #row do
            local value = row[i]
            assert(value == nil or type(value) == "string" or type(value) == "number")
        end
    end
end

function read_query_result(inj)
    local resultset = inj.resultset
    assert(#inj.query > 0 and inj.id == 1)
    try(read_fields, resultset)
    try(read_rows, resultset)
    try(function() return #resultset.raw end)
    try(function() return resultset.session_state.system_variables end)
    return done()
end
