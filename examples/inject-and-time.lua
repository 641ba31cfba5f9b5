-- Asks the server to EXPLAIN each SELECT before it runs it, and prints the plan with the time that the query took.
--
-- Several queries may be sent for one command of the client. Each has a number, its id, and its result comes to
-- read_query_result. The plan is kept from the client: it must get one answer for one command.

local EXPLAIN, ORIGINAL = 1, 2

function read_query(packet)
    if packet:byte() ~= proxy.COM_QUERY then return end
    local query = packet:sub(2)
    if not query:find("^%s*[Ss][Ee][Ll][Ee][Cc][Tt]%s") then return end
    proxy.queries:append(EXPLAIN, string.char(proxy.COM_QUERY) .. "EXPLAIN " .. query, { resultset_is_needed = true })
    proxy.queries:append(ORIGINAL, packet)
    return proxy.PROXY_SEND_QUERY
end

local function print_plan(resultset)
    -- nil where EXPLAIN failed: then the query will say why.
    if not resultset.rows then return end
    for row in resultset.rows do
        local cells = {}
        for column = 1, #resultset.fields do
            cells[column] = resultset.fields[column].name .. "=" .. (row[column] or "NULL")
        end
        print("plan: " .. table.concat(cells, ", "))
    end
end

function read_query_result(inj)
    if inj.id == EXPLAIN then
        print_plan(inj.resultset)
        return proxy.PROXY_IGNORE_RESULT
    end
    print(("%.3f ms: %s"):format(inj.response_time / 1000, inj.query:sub(2)))
end
