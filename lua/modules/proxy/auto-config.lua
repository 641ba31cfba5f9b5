-- proxy.auto-config: settings of scripts, in proxy.global.config[MODULE][OPTION], shown and changed by SQL:
--
--   PROXY SHOW CONFIG
--   PROXY SET GLOBAL module.option = value      a number, true, false, or a string in quotes
--   PROXY SAVE CONFIG INTO "file"
--   PROXY LOAD CONFIG FROM "file"
--
-- Whoever gets a statement to `handle` may do all of that with the rights of the proxy: a script decides whose it shows it.

local lfs = require("lfs")

local auto_config = {}

local QUERY_BYTES_MAX = 128

local FILE_BYTES_MAX = 1024 * 1024

-- What a saved file begins with. No other file is written over.
local FILE_HEAD = "return {\n"

-- Settings of these types are saved.
local SAVED = { string = true, number = true, boolean = true }

local function sorted_keys(table_)
    local keys = {}
    for key in pairs(table_) do
        if type(key) == "string" then keys[#keys + 1] = key end
    end
    table.sort(keys)
    return keys
end

-- Calls `visit(module, option, value)` in the order of names.
local function each_option(config, visit)
    for _, module in ipairs(sorted_keys(config)) do
        local options = config[module]
        if type(options) == "table" then
            for _, option in ipairs(sorted_keys(options)) do visit(module, option, options[option]) end
        end
    end
end

local function ok()
    proxy.response = { type = proxy.MYSQLD_PACKET_OK }
end

local function err(message)
    proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = message }
end

local function show(config)
    local rows = {}
    each_option(config, function(module, option, value)
        rows[#rows + 1] = { module, option, tostring(value), type(value) }
    end)
    local fields = {}
    for i, name in ipairs({ "module", "option", "value", "type" }) do
        fields[i] = { name = name, type = proxy.MYSQL_TYPE_STRING }
    end
    proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = rows } }
end

local function quoted(text)
    return text:match('^"([^"]*)"$') or text:match("^'([^']*)'$")
end

local BOOLEANS = { ["true"] = true, ["false"] = false }

-- nil for what is no value.
local function parse_value(text)
    local boolean = BOOLEANS[text:lower()]
    if boolean ~= nil then return boolean end
    return quoted(text) or text:match("^[-+]?[%d.]+$") and tonumber(text) or nil
end

local function set(config, module, option, value)
    local options = config[module]
    if type(options) ~= "table" then return err("module not known") end
    local current = options[option]
    if current == nil then return err("option not know") end
    if type(current) ~= type(value) then
        return err(("the option %s.%s is a %s, the value a %s"):format(module, option, type(current), type(value)))
    end
    options[option] = value
    ok()
end

-- Anything but a file may make the proxy wait, or never end.
local function open(name, mode)
    local kind = lfs.attributes(name, "mode")
    if kind and kind ~= "file" then return nil, name .. ": not a regular file" end
    return io.open(name, mode)
end

-- Writes all settings into a file that `load` reads. `true`, or nil and what is wrong.
function auto_config.save(config, name)
    local found = open(name, "rb")
    if found then
        local head = found:read(#FILE_HEAD)
        found:close()
        if head and head ~= FILE_HEAD then return nil, name .. ": the file is there and no saved configuration" end
    end
    local lines, last_module = { FILE_HEAD }, nil
    each_option(config, function(module, option, value)
        if not SAVED[type(value)] then return end
        if module ~= last_module then
            lines[#lines + 1] = ("%s    [%q] = {\n"):format(last_module and "    },\n" or "", module)
            last_module = module
        end
        local literal = type(value) == "string" and ("%q"):format(value) or tostring(value)
        lines[#lines + 1] = ("        [%q] = %s,\n"):format(option, literal)
    end)
    lines[#lines + 1] = (last_module and "    },\n" or "") .. "}\n"
    local file, problem = open(name, "wb")
    if not file then return nil, problem end
    local written, problem = file:write(table.concat(lines))
    local closed, problem_at_end = file:close()
    if written and closed then return true end
    return nil, problem or problem_at_end
end

-- The table that a file returns. It is read as Lua that has no global variables.
local function read(name)
    local file, problem = open(name, "rb")
    if not file then return nil, problem end
    local text = file:read(FILE_BYTES_MAX + 1) or ""
    file:close()
    if #text > FILE_BYTES_MAX then return nil, ("%s: more than %d bytes"):format(name, FILE_BYTES_MAX) end
    -- Bytecode may do anything.
    if text:byte() == 27 then return nil, name .. ": no text" end
    local chunk, problem = loadstring(text, "@" .. name)
    if not chunk then return nil, problem end
    local succeeded, result = pcall(setfenv(chunk, {}))
    if not succeeded then return nil, tostring(result) end
    if type(result) ~= "table" then return nil, name .. ": it returns no table" end
    return result
end

-- Adds a file's settings to those that there are. `true`, or nil and what is wrong: then nothing is changed.
function auto_config.load(config, name)
    local loaded, problem = read(name)
    if not loaded then return nil, problem end
    for module in pairs(loaded) do
        if type(config[module] or {}) ~= "table" then return nil, ("%s: %s is no module"):format(name, module) end
    end
    each_option(loaded, function(module, option, value)
        config[module] = config[module] or {}
        config[module][option] = value
    end)
    return true
end

local function done(succeeded, problem)
    if succeeded then return ok() end
    err(tostring(problem))
end

-- By the two words behind PROXY. What is behind those does not always make a statement: then they return false.
local STATEMENTS = {}

STATEMENTS["SHOW CONFIG"] = function(config, rest)
    if rest ~= "" then return false end
    show(config)
end

STATEMENTS["SET GLOBAL"] = function(config, rest)
    local module, option, text = rest:match("^([%a_][%w_]*)%s*%.%s*([%a_][%w_]*)%s*=%s*(.+)$")
    local value
    if text then value = parse_value(text) end
    if value == nil then return false end
    set(config, module, option, value)
end

STATEMENTS["SAVE CONFIG"] = function(config, rest)
    local word, name = rest:match("^(%a+)%s+(.+)$")
    name = name and word:upper() == "INTO" and quoted(name)
    if not name then return false end
    done(auto_config.save(config, name))
end

STATEMENTS["LOAD CONFIG"] = function(config, rest)
    local word, name = rest:match("^(%a+)%s+(.+)$")
    name = name and word:upper() == "FROM" and quoted(name)
    if not name then return false end
    done(auto_config.load(config, name))
end

-- Answers one of the statements above: proxy.PROXY_SEND_RESULT, with proxy.response filled in; nil for all others.
-- `command` is what proxy.commands makes of a packet; as the only argument it stands for proxy.global.config's.
function auto_config.handle(config, command)
    if command == nil then
        config, command = proxy.global.config, config
    end
    local query = command.type == proxy.COM_QUERY and command.query or ""
    if #query > QUERY_BYTES_MAX then return nil end
    local verb, object, rest = query:match("^%s*[Pp][Rr][Oo][Xx][Yy]%s+(%a+)%s+(%a+)%s*(.-)%s*$")
    local statement = verb and STATEMENTS[(verb .. " " .. object):upper()]
    if not statement or statement(config, rest) == false then return nil end
    return proxy.PROXY_SEND_RESULT
end

for name, method in pairs(auto_config) do
    proxy.global.config[name] = method
end

return auto_config
