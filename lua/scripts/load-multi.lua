-- Runs several scripts for each connection, one after the other, and loads and unloads them while clients are connected.
--
--   mysql-proxy --proxy-lua-script=load-multi.lua --proxy-backend-addresses=HOST
--
--   PLOAD name          loads DIRECTORY/name.lua behind all others; again if it is loaded, as the file is now
--   UNLOAD name
--   SHOW HANDLERS       which scripts there are, and which hooks each has
--
-- Operators may say so. All connections follow with their next command; one that has a script only since then has not told
-- it of its login, and one that loses a script calls its disconnect_client. `scripts` are loaded from the start.
--
-- Each hook is called in the order of loading, until one returns a decision. There is more to read_query: a script that
-- sends nothing but the client's own command watches, and the next one is asked. In the end all who watch are told of the
-- result that the client gets. One script at most may send something else: for each command the first that does.
--
-- Needs --lua-states=1, the default: with more, each Lua state has scripts of its own.

local toolkit = require("proxy.toolkit")

-- Settings. `directory` is where scripts are: that of this one. Is `on_hook_error` "error", a script's fault is that of the
-- whole, and the proxy's --lua-on-load-error or --lua-on-hook-error says what follows; else it is logged, and the others
-- go on.
local settings = toolkit.settings("load_multi", {
    directory = debug.getinfo(1, "S").source:match("^@?(.*)/[^/]*$") or ".",
    scripts = "",
    operators = "root",
    on_hook_error = "default",
})

local HOOKS = {
    "connect_server", "read_handshake", "read_auth", "read_auth_result", "read_query", "read_query_result", "disconnect_client",
}

-- { name, path, source } of all that are loaded, in order; `version` counts changes.
proxy.global.load_multi = proxy.global.load_multi or { version = 0 }
local loaded = proxy.global.load_multi

-- What this connection runs, in order: { script, environment, wanted, resets }. `wanted` are the queries that the hook that
-- runs has queued, `resets` is true if it has dropped those that waited.
local instances = {}
local version
-- Queries that wait or run, in order: { number, packet, is_needed, owner, watchers }. Each of those is { instance, id };
-- what no script has planned has no owner.
local pending = {}
local numbers = 0
-- The client's command, and the flags of the last result.
local command
local flags = { in_trans = false, auto_commit = true, no_good_index_used = false, no_index_used = false }

local function fault(script, what, message)
    message = ("%s: (%s) %s"):format(script.name, what, tostring(message))
    if settings.on_hook_error == "error" then error(message, 0) end
    toolkit.log("critical", "load-multi: " .. message)
end

-- `proxy.queries` of one script.
local function queries_of(instance)
    local queries = newproxy(true)
    local methods = {}
    local function want(id, packet, options, is_first)
        local is_needed = options ~= nil and options.resultset_is_needed == true
        local query = { id = id, packet = packet, is_needed = is_needed, is_first = is_first }
        table.insert(instance.wanted, is_first and 1 or #instance.wanted + 1, query)
    end
    local function count()
        local sum = #instance.wanted
        for _, query in ipairs(instance.resets and {} or pending) do
            if query.owner and query.owner.instance == instance then sum = sum + 1 end
        end
        return sum
    end
    function methods.append(_, id, packet, options) want(id, packet, options, false) end
    function methods.prepend(_, id, packet, options) want(id, packet, options, true) end
    function methods.reset() instance.wanted, instance.resets = {}, true end
    methods.len = count
    getmetatable(queries).__index = methods
    getmetatable(queries).__len = count
    return queries
end

-- Its own global variables, and a `proxy` with queries of its own.
local function instantiate(script)
    local instance = { script = script, wanted = {}, resets = false }
    local queries = queries_of(instance)
    local own_proxy = setmetatable({}, {
        __index = function(_, key)
            if key == "queries" then return queries end
            return proxy[key]
        end,
        __newindex = function(_, key, value) proxy[key] = value end,
    })
    instance.environment = setmetatable({ proxy = own_proxy }, { __index = _G })
    local main, problem = loadstring(script.source, script.path)
    if not main then error(problem, 0) end
    setfenv(main, instance.environment)()
    return instance
end

-- What its hook returns, if it is a decision.
local function call(instance, hook, ...)
    instance.wanted, instance.resets = {}, false
    local run = instance.environment[hook]
    if type(run) ~= "function" then return nil end
    local succeeded, decision = pcall(run, ...)
    if not succeeded then
        instance.wanted, instance.resets = {}, false
        fault(instance.script, hook, decision)
        return nil
    end
    decision = tonumber(decision)
    return decision ~= 0 and decision or nil
end

local function find(name)
    for i, script in ipairs(loaded) do
        if script.name == name then return i end
    end
end

local function read(name)
    local path = settings.directory .. "/" .. name .. ".lua"
    local file, problem = io.open(path, "rb")
    if not file then error(problem, 0) end
    local source = file:read("*a")
    file:close()
    return { name = name, path = path, source = source }
end

local function load(script)
    loaded[find(script.name) or #loaded + 1] = script
    loaded.version = loaded.version + 1
end

-- Starts what was loaded since, and ends what was unloaded. A fault that counts leaves all as it is.
local function follow()
    if version == loaded.version then return end
    local by_script, following = {}, {}
    for _, instance in ipairs(instances) do by_script[instance.script] = instance end
    for _, script in ipairs(loaded) do
        local instance = by_script[script]
        by_script[script] = nil
        if not instance then
            local succeeded, result = pcall(instantiate, script)
            if succeeded then instance = result else fault(script, "load", result) end
        end
        following[#following + 1] = instance
    end
    instances, version = following, loaded.version
    for _, instance in pairs(by_script) do call(instance, "disconnect_client") end
end

local statements = {}

function statements.pload(name)
    local succeeded, result = pcall(read, name)
    if not succeeded then return toolkit.refuse("(load-multi) " .. result) end
    local starts, problem = pcall(instantiate, result)
    if not starts then return toolkit.refuse("(load-multi) " .. tostring(problem)) end
    load(result)
    return toolkit.ok()
end

function statements.unload(name)
    local i = find(name)
    if not i then return toolkit.refuse("(load-multi) " .. name .. " is not loaded") end
    table.remove(loaded, i)
    loaded.version = loaded.version + 1
    return toolkit.ok()
end

statements["show handlers"] = function()
    local rows = {}
    for i, instance in ipairs(instances) do
        local hooks = {}
        for _, hook in ipairs(HOOKS) do
            if rawget(instance.environment, hook) then hooks[#hooks + 1] = hook end
        end
        rows[i] = { instance.script.name, instance.script.path, table.concat(hooks, " ") }
    end
    return toolkit.answer({ "handler", "file", "hooks" }, rows)
end

-- The statement of ours in a packet, and the script's name in it; nil for all others.
local function parse(packet)
    if packet:byte() ~= proxy.COM_QUERY or #packet > 256 then return nil end
    local text = packet:sub(2):gsub("^%s+", ""):gsub("[%s;]+$", "")
    if text:lower():find("^show%s+handlers$") then return statements["show handlers"] end
    local verb, name = text:match("^(%a+)%s+[\"'`]?([%w_-]+)[\"'`]?$")
    verb = verb and verb:lower()
    if verb == "pload" or verb == "unload" then return statements[verb], name end
end

-- Queues all that waits, anew.
local function requeue()
    proxy.queries:reset()
    for _, query in ipairs(pending) do
        proxy.queries:append(query.number, query.packet, { resultset_is_needed = query.is_needed })
    end
end

local function planned(instance, wanted)
    numbers = numbers + 1
    return {
        number = numbers,
        packet = wanted.packet,
        is_needed = wanted.is_needed,
        owner = { instance = instance, id = wanted.id },
        watchers = {},
    }
end

-- Does what a hook did with its `proxy.queries`.
local function settle(instance)
    if #instance.wanted == 0 and not instance.resets then return end
    local first, kept, last = {}, {}, {}
    for _, wanted in ipairs(instance.wanted) do
        local part = wanted.is_first and first or last
        part[#part + 1] = planned(instance, wanted)
    end
    for _, query in ipairs(pending) do
        if not (instance.resets and query.owner and query.owner.instance == instance) then kept[#kept + 1] = query end
    end
    pending = first
    for _, part in ipairs({ kept, last }) do
        for _, query in ipairs(part) do pending[#pending + 1] = query end
    end
    requeue()
end

-- Lets scripts watch the query whose result is the client's, as far as that can be said: the client's own command, else
-- what nobody wants to keep from him, else the last one.
local function watch(watchers)
    local main = pending[#pending]
    for _, query in ipairs(pending) do
        if query.packet == command then
            main = query
            break
        elseif not query.is_needed then
            main = query
        end
    end
    for _, watcher in ipairs(watchers) do
        main.is_needed = main.is_needed or watcher.is_needed
        main.watchers[#main.watchers + 1] = watcher
    end
    requeue()
end

-- `inj` with the number that the script gave its query.
local function inj_for(one, inj)
    return setmetatable({ id = one.id, type = one.id }, { __index = function(_, key) return inj[key] end })
end

-- What watchers see of an answer that came from no server.
local function answered()
    local response = proxy.response
    local resultset = type(response.resultset) == "table" and response.resultset
    return {
        query = command,
        query_time = 0,
        response_time = 0,
        resultset = {
            row_count = resultset and type(resultset.rows) == "table" and #resultset.rows or 0,
            bytes = 0,
            flags = flags,
            warning_count = 0,
            affected_rows = not resultset and (response.affected_rows or 0) or nil,
            insert_id = not resultset and (response.insert_id or 0) or nil,
            query_status = response.type == proxy.MYSQLD_PACKET_ERR and proxy.MYSQLD_PACKET_ERR or proxy.MYSQLD_PACKET_OK,
            fields = {},
        },
    }
end

-- Asks all scripts. Who watches; the first that plans something else, and its queries; true if one has answered.
local function ask(packet)
    local watchers, planner, plan = {}, nil, nil
    for _, instance in ipairs(instances) do
        proxy.response = {}
        local decision = call(instance, "read_query", packet)
        local wanted = instance.wanted
        if decision == proxy.PROXY_SEND_RESULT then
            return watchers, instance, wanted, true
        elseif decision == proxy.PROXY_SEND_QUERY and #wanted == 1 and wanted[1].packet == packet then
            watchers[#watchers + 1] = { instance = instance, id = wanted[1].id, is_needed = wanted[1].is_needed }
        elseif decision == proxy.PROXY_SEND_QUERY and #wanted > 0 and not plan then
            planner, plan = instance, wanted
        end
        instance.wanted = {}
    end
    return watchers, planner, plan, false
end

-- What watchers are told changes nothing any more.
local function tell(watchers, inj)
    local response = proxy.response
    for _, watcher in ipairs(watchers) do call(watcher.instance, "read_query_result", inj_for(watcher, inj)) end
    proxy.response = response
end

function read_query(packet)
    local statement, name = parse(packet)
    if statement and not toolkit.user_is_one_of(settings.operators) then
        return toolkit.refuse("Access denied; only operators of the proxy may do this", 1227, "42000")
    end
    follow()
    if statement then return statement(name) end
    command, pending, numbers = packet, {}, 0
    local watchers, planner, plan, has_answer = ask(packet)
    for i, wanted in ipairs(plan or {}) do pending[i] = planned(planner, wanted) end
    if has_answer then
        requeue()
        tell(watchers, answered())
        return proxy.PROXY_SEND_RESULT
    end
    if not plan then
        if #watchers == 0 then return nil end
        numbers = numbers + 1
        pending = { { number = numbers, packet = packet, is_needed = false, watchers = {} } }
    end
    watch(watchers)
    return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
    local query = table.remove(pending, 1)
    while query and query.number ~= inj.id do query = table.remove(pending, 1) end
    if not query then return nil end
    flags = inj.resultset.flags
    local decision
    if query.owner then
        local instance = query.owner.instance
        decision = call(instance, "read_query_result", inj_for(query.owner, inj))
        settle(instance)
        -- The client gets the result of another one.
        if decision == proxy.PROXY_IGNORE_RESULT and #pending > 0 and #query.watchers > 0 then
            watch(query.watchers)
            return decision
        end
    end
    for _, watcher in ipairs(query.watchers) do
        local its_decision = call(watcher.instance, "read_query_result", inj_for(watcher, inj))
        settle(watcher.instance)
        decision = decision or its_decision
    end
    return decision
end

-- Until one decides.
local function ask_all(hook, ...)
    for _, instance in ipairs(instances) do
        local decision = call(instance, hook, ...)
        for _, wanted in ipairs(instance.wanted) do proxy.queries:append(wanted.id, wanted.packet) end
        if decision then return decision end
    end
end

function connect_server() return ask_all("connect_server") end
function read_handshake() return ask_all("read_handshake") end
function read_auth() return ask_all("read_auth") end
function read_auth_result(auth) return ask_all("read_auth_result", auth) end

function disconnect_client()
    for _, instance in ipairs(instances) do call(instance, "disconnect_client") end
end

if not loaded.has_started then
    for name in settings.scripts:gmatch("[^%s,]+") do load(read(name)) end
    loaded.has_started = true
end
follow()
