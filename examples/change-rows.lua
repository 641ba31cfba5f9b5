-- Changes rows on their way to the client: e-mail addresses are masked.
--
-- The whole result is kept in memory, taken apart and built anew. Results without such an address go on as they came.
-- Prepared statements are not seen: their rows are in another form, which scripts cannot read.

local function masked(text)
    return (text:gsub("([%w._+-])[%w._+-]*@([%w-]+%.[%w.-]+)", "%1***@%2"))
end

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    proxy.queries:append(1, packet, { resultset_is_needed = true })
    return proxy.PROXY_SEND_QUERY
end

local function copy_of(fields)
    local copy = {}
    for i = 1, #fields do
        copy[i] = { name = fields[i].name, type = fields[i].type }
    end
    return copy
end

local function more_results_follow(inj)
    -- A client that sends several statements at once gets all results; only the first one is in `rows`.
    return inj.query:find(";%s*%S")
end

function read_query_result(inj)
    local resultset = inj.resultset
    if not resultset.rows or more_results_follow(inj) then return end
    local rows, columns, changed = {}, #resultset.fields, false
    for row in resultset.rows do
        for column = 1, columns do
            local cell = row[column]
            if cell then
                row[column] = masked(cell)
                changed = changed or row[column] ~= cell
            end
        end
        rows[#rows + 1] = row
    end
    if not changed then return end
    proxy.response = {
        type = proxy.MYSQLD_PACKET_OK,
        resultset = { fields = copy_of(resultset.fields), rows = rows },
    }
    return proxy.PROXY_SEND_RESULT
end
