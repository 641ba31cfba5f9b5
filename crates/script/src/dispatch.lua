-- Finds and calls hooks. On this side of the border to Rust a look-up costs a few nanoseconds; each value that crosses
-- it costs fifty.
--
-- environments: by connection, its script's global variables
-- own: by connection, the table behind `proxy`
-- metatable: of `proxy`
-- begin, finish: make `inj`, and let go of it
local environments, own, metatable, begin, finish = ...
local pcall, rawget, rawset, tonumber, type = pcall, rawget, rawset, tonumber, type

-- What a call came to.
local NO_HOOK, NUMBER, ERROR, NO_FUNCTION = 0, 1, 2, 3

local function index(table, key)
  return table[key]
end

-- A global of the connection's script; what it does not have is looked for in _G. A script may forbid undeclared
-- globals: a hook that it does not declare is no fault.
local function find(connection, name)
  local environment = environments[connection]
  if environment == nil then
    return nil
  end
  local hook = rawget(environment, name)
  if hook ~= nil then
    return hook
  end
  local found, inherited = pcall(index, environment, name)
  if found then
    return inherited
  end
end

-- A script may return thousands of values; the first one counts, if it is or reads as a number.
local function outcome(succeeded, value)
  if not succeeded then
    return ERROR, 0, value
  elseif type(value) == "number" then
    return NUMBER, value
  else
    return NUMBER, type(value) == "string" and tonumber(value) or 0
  end
end

-- Why there is nothing to call.
local function missing(hook)
  if hook == nil then
    return NO_HOOK, 0
  end
  return NO_FUNCTION, 0, type(hook)
end

-- Makes `proxy` show this connection.
local function show(connection)
  local mine = own[connection]
  metatable.__index = mine
  metatable.__newindex = mine
  return mine
end

-- true for a function, its type for something else, nil for nothing.
local function has(connection, name)
  local hook = find(connection, name)
  if hook ~= nil then
    return type(hook) == "function" or type(hook)
  end
end

local function call(connection, name, ...)
  local hook = find(connection, name)
  if type(hook) ~= "function" then
    return missing(hook)
  end
  show(connection)
  return outcome(pcall(hook, ...))
end

-- With an empty proxy.response.
local function call_read_query(connection, packet, attributes)
  local hook = find(connection, "read_query")
  if type(hook) ~= "function" then
    return missing(hook)
  end
  rawset(show(connection), "response", {})
  if attributes ~= nil then
    return outcome(pcall(hook, packet, attributes))
  end
  return outcome(pcall(hook, packet))
end

local function finished(...)
  finish()
  return outcome(...)
end

-- With what makes an `inj`.
local function call_read_query_result(connection, ...)
  local hook = find(connection, "read_query_result")
  if type(hook) ~= "function" then
    return missing(hook)
  end
  show(connection)
  return finished(pcall(hook, begin(...)))
end

-- Runs a script's body, in the environment that its main function has, for a connection that is known in `own` only.
local function run(connection, main)
  show(connection)
  return outcome(pcall(main))
end

return has, call, call_read_query, call_read_query_result, run
