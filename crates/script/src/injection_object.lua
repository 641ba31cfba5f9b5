-- `inj` and `inj.resultset`, on this side of the border to Rust: scripts read them for every query, and the JIT compiler
-- sees through what is written here. Rust is asked for what is made of the response itself.
--
-- query(): the query
-- raw(): the response's first payload, nil for none
-- fields(): the columns; or nil and what is wrong
-- rows(): the columns' number and where the first row is; nil for no resultset; or nil, nil and what is wrong
-- chunk(at): some rows' packets from there on, where the next ones are (nil behind the last), and whether it is one payload
--   without header; nil for no rows
-- session_state(): what changed in the server's session; nil for nothing
-- not_found(key): somebody reads what `inj` does not have
local query, raw, fields, rows, chunk, session_state, not_found = ...
local band = require("bit").band
local new_table = require("table.new")
local byte, sub = string.byte, string.sub
local error, newproxy, tostring = error, newproxy, tostring
local getmetatable = getmetatable

local GONE = "inj is gone: it is only valid in the read_query_result that it was given to"

-- What the running hook was called with; `object` and `resultset` are nil while none runs.
local now = {}
-- Counts hooks: an iterator is good for the one that it was made in.
local serial = 0

local function needs_buffering(field)
  if not now.is_buffered then
    -- The reader of the field, __index, this.
    error(".resultset." .. field .. " isn't available if 'resultset_is_needed ~= true'", 4)
  end
end

-- A length-encoded integer of several bytes: its value, and where it ends.
local function long_length(data, first, at)
  if first == 0xfc then
    local a, b = byte(data, at, at + 1)
    return b and a + b * 2 ^ 8, at + 2
  elseif first == 0xfd then
    local a, b, c = byte(data, at, at + 2)
    return c and a + b * 2 ^ 8 + c * 2 ^ 16, at + 3
  elseif first == 0xfe then
    local a, b, c, d, e, f, g, h = byte(data, at, at + 7)
    return h and a + b * 2 ^ 8 + c * 2 ^ 16 + d * 2 ^ 24 + (e + f * 2 ^ 8 + g * 2 ^ 16 + h * 2 ^ 24) * 2 ^ 32, at + 8
  end
end

-- The row in data[at .. stop - 1]; NULL is a hole. nil for what is no row.
local function decode(data, at, stop, columns)
  if columns > stop - at then
    return nil
  end
  local row = new_table(columns, 0)
  for column = 1, columns do
    local length = at < stop and byte(data, at)
    if not length then
      return nil
    end
    at = at + 1
    if length ~= 0xfb then
      if length > 0xfb then
        length, at = long_length(data, length, at)
      end
      if not length or length > stop - at then
        return nil
      end
      row[column] = sub(data, at, at + length - 1)
      at = at + length
    end
  end
  return at == stop and row or nil
end

-- As a generic `for` calls it: a new table for each row, nil behind the last.
local function iterator(columns, first)
  local mine, data, at, following, is_one = serial, "", 1, first, false
  return function()
    if mine ~= serial then
      error(GONE, 2)
    end
    if at > #data then
      if not following then
        return nil
      end
      data, following, is_one = chunk(following)
      at = 1
      if not data then
        data, following = "", nil
        return nil
      end
    end
    local stop = #data + 1
    if not is_one then
      local a, b, c = byte(data, at, at + 2)
      at = at + 4
      stop = at + a + b * 2 ^ 8 + c * 2 ^ 16
    end
    local row = decode(data, at, stop, columns)
    at = stop
    if not row then
      error(".resultset.rows: row-data is invalid", 2)
    end
    return row
  end
end

local resultset_fields = {
  row_count = function() return now.row_count end,
  bytes = function() return now.bytes end,
  flags = function()
    local status = now.status
    return {
      in_trans = band(status, 0x01) ~= 0,
      auto_commit = band(status, 0x02) ~= 0,
      no_good_index_used = band(status, 0x10) ~= 0,
      no_index_used = band(status, 0x20) ~= 0,
    }
  end,
  warning_count = function() return now.warning_count end,
  affected_rows = function() return now.affected_rows end,
  insert_id = function() return now.insert_id end,
  query_status = function() return now.query_status end,
  fields = function()
    needs_buffering("fields")
    local columns, message = fields()
    return columns or error(message, 3)
  end,
  rows = function()
    needs_buffering("rows")
    if now.is_binary then
      error(".resultset.rows isn't available for prepared statements", 3)
    end
    local columns, first, message = rows()
    if message then
      error(message, 3)
    end
    return columns and iterator(columns, first)
  end,
  raw = function()
    needs_buffering("raw")
    return raw()
  end,
  session_state = function() return session_state() end,
}

-- A userdata whose fields these functions give.
local function prototype(index)
  local proxy = newproxy(true)
  local metatable = getmetatable(proxy)
  metatable.__index = index
  metatable.__metatable = false
  return proxy
end

local resultset = prototype(function(self, key)
  if self ~= now.resultset then
    error(GONE, 2)
  end
  local read = resultset_fields[key]
  local value = read and read()
  return value
end)

local injection_fields = {
  id = function() return now.id end,
  query = function() return query() end,
  query_time = function() return now.query_time end,
  response_time = function() return now.response_time end,
  resultset = function()
    now.resultset = now.resultset or newproxy(resultset)
    return now.resultset
  end,
}
-- Its old name.
injection_fields.type = injection_fields.id

local injection = prototype(function(self, key)
  if self ~= now.object then
    error(GONE, 2)
  end
  local read = injection_fields[key]
  if not read then
    not_found(tostring(key))
    return nil
  end
  local value = read()
  return value
end)

-- Makes `inj` for a hook.
local function begin(id, query_time, response_time, row_count, bytes, status, warning_count, affected_rows, insert_id,
                     query_status, is_buffered, is_binary)
  serial = serial + 1
  now.id, now.query_time, now.response_time = id, query_time, response_time
  now.row_count, now.bytes, now.status, now.warning_count = row_count, bytes, status, warning_count
  now.affected_rows, now.insert_id, now.query_status = affected_rows, insert_id, query_status
  now.is_buffered, now.is_binary = is_buffered, is_binary
  now.object, now.resultset = newproxy(injection), nil
  return now.object
end

-- The hook is over: `inj` and what was made from it raise errors from now on.
local function finish()
  serial = serial + 1
  now.object, now.resultset = nil, nil
end

return begin, finish, injection_fields, resultset_fields
