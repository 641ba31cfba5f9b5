-- Leaves columns out of every result: clients never see `password`, whatever they select.
--
-- By the column's own name in its table, so that an alias does not help; an expression like CONCAT(password) does. What
-- scripts cannot look through is refused: prepared statements, and several statements in one query. Run it with
-- --lua-on-hook-error=error.

local HIDDEN = { password = true }

local function refuse(why)
    proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = why, errcode = 1295 }
    return proxy.PROXY_SEND_RESULT
end

function read_query(packet)
    local command = packet:byte()
    if command == proxy.COM_STMT_PREPARE then
        return refuse("no prepared statements here")
    elseif command == proxy.COM_QUERY then
        if packet:find(";%s*%S") then return refuse("one statement at a time") end
        proxy.queries:append(1, packet, { resultset_is_needed = true })
        return proxy.PROXY_SEND_QUERY
    end
end

local function visible_columns(fields)
    local columns, described = {}, {}
    for i = 1, #fields do
        local field = fields[i]
        if not HIDDEN[field.org_name or field.name] then
            columns[#columns + 1] = i
            described[#described + 1] = { name = field.name, type = field.type }
        end
    end
    return columns, described
end

function read_query_result(inj)
    local resultset = inj.resultset
    if not resultset.rows then return end
    local columns, described = visible_columns(resultset.fields)
    if #columns == #resultset.fields then return end
    if #columns == 0 then return refuse("all these columns are hidden") end
    local rows = {}
    for row in resultset.rows do
        local shown = {}
        for i, column in ipairs(columns) do
            shown[i] = row[column]
        end
        rows[#rows + 1] = shown
    end
    proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = described, rows = rows } }
    return proxy.PROXY_SEND_RESULT
end
