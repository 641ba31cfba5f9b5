-- Finds and calls hooks. On this side of the border to Rust a look-up costs a few nanoseconds; each value that crosses
-- it costs fifty.
--
-- environments: by connection, its script's global variables
-- own: by connection, the table behind `proxy`
-- metatable: of `proxy`
local environments, own, metatable = ...
local pcall, rawget, rawset, type = pcall, rawget, rawset, type

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

-- A script may return thousands of values; the first one counts.
local function first(succeeded, value)
  return succeeded, value
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

-- Whether the hook succeeded, and what it returned or raised.
local function call(connection, name, ...)
  show(connection)
  return first(pcall(find(connection, name), ...))
end

-- As `call`, with an empty proxy.response.
local function call_afresh(connection, name, ...)
  rawset(show(connection), "response", {})
  return first(pcall(find(connection, name), ...))
end

-- Runs a script's body, in the environment that its main function has, for a connection that is known in `own` only.
local function run(connection, main)
  show(connection)
  return first(pcall(main))
end

return has, call, call_afresh, run
