-- proxy.test: unit tests of scripts, without clients and servers.
--
--   local test = require("proxy.test")
--   TestGreeting = test.ProxyBaseTest:new({})
--   function TestGreeting:setUp() self:setDefaultScope() end
--   function TestGreeting:testHello() assertEquals(1 + 1, 2) end
--
--   local suite = test.Suite:new({ result = test.Result:new() })
--   suite:run()
--   suite.result:print()

local test = {}

local function described(value)
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

-- Raises an error at the caller unless both are equal.
function assertEquals(got, expected)
    if got == expected then return end
    error(("expected %s, got %s"):format(described(expected), described(got)), 2)
end

-- Raises an error at the caller if both are equal.
function assertNotEquals(got, unexpected)
    if got ~= unexpected then return end
    error(("expected anything but %s"):format(described(unexpected)), 2)
end

test.assertEquals, test.assertNotEquals = assertEquals, assertNotEquals

-- A class whose `new` takes the object's own fields.
local function class(parent)
    local new_class = setmetatable({}, { __index = parent })
    function new_class:new(fields)
        return setmetatable(fields or {}, { __index = self })
    end
    return new_class
end

-- What tests are made of: methods whose names begin with `test`, each between `setUp` and `tearDown`.
test.BaseTest = class()

function test.BaseTest.setUp() end
function test.BaseTest.tearDown() end

-- A test of a script: it may have a `proxy` of its own.
test.ProxyBaseTest = class(test.BaseTest)

-- Reading what is not there is an error.
local function strict(name, fields)
    return setmetatable(fields, {
        __index = function(_, key) error(("%s.%s is not in this test's scope"):format(name, tostring(key)), 2) end,
    })
end

local function mock_queries()
    local queries = {}
    function queries:append(id, query, attributes)
        self[#self + 1] = { id = id, query = query, attr = attributes }
    end
    function queries:prepend(id, query, attributes)
        table.insert(self, 1, { id = id, query = query, attr = attributes })
    end
    function queries:reset()
        for i = #self, 1, -1 do self[i] = nil end
    end
    function queries:len()
        return #self
    end
    return queries
end

-- Puts a `proxy` with the real constants, an empty queue and no backend in the place of the real one, for this test.
function test.ProxyBaseTest.setDefaultScope()
    local scope = {
        global = { config = {}, backends = {} },
        connection = strict("proxy.connection", {
            backend_ndx = 0,
            client = { default_db = "", username = "" },
            server = false,
        }),
        queries = mock_queries(),
        response = {},
    }
    for name, value in pairs(proxy) do
        if type(value) == "number" then scope[name] = value end
    end
    _G.proxy = strict("proxy", scope)
end

-- What came of tests: `passed` and `failed` are counts, `failures` has a text for each that failed.
test.Result = class()

function test.Result:new(fields)
    local result = fields or {}
    result.passed, result.failed, result.failures = 0, 0, {}
    return setmetatable(result, { __index = self })
end

function test.Result:pass()
    self.passed = self.passed + 1
end

function test.Result:fail(name, message)
    self.failed = self.failed + 1
    self.failures[#self.failures + 1] = name .. ": " .. tostring(message)
end

function test.Result:print()
    for _, failure in ipairs(self.failures) do print("FAILED " .. failure) end
    print(("%d tests passed, %d failed"):format(self.passed, self.failed))
end

-- All tests that are global variables of whoever calls `run`, by names that begin with `Test`.
test.Suite = class()

function test.Suite:new(fields)
    local suite = fields or {}
    suite.result = suite.result or test.Result:new()
    return setmetatable(suite, { __index = self })
end

local function sorted_names(table_, beginning)
    local names = {}
    for name in pairs(table_) do
        if type(name) == "string" and name:find("^" .. beginning) then names[#names + 1] = name end
    end
    table.sort(names)
    return names
end

-- Whatever a test does to `proxy`, the next one gets the real one.
function test.Suite:run_test(case, class_name, name)
    local real = _G.proxy
    local succeeded, message = pcall(function()
        case:setUp()
        case[name](case)
    end)
    local torn_down, message_at_end = pcall(case.tearDown, case)
    _G.proxy = real
    if succeeded and torn_down then return self.result:pass() end
    self.result:fail(class_name .. ":" .. name, message or message_at_end)
end

function test.Suite:run()
    local scope = getfenv(2)
    for _, class_name in ipairs(sorted_names(scope, "Test")) do
        local case = scope[class_name]
        if type(case) == "table" then
            for _, name in ipairs(sorted_names(case, "test")) do self:run_test(case, class_name, name) end
        end
    end
    return self.result
end

-- 0 when all passed, for os.exit().
function test.Suite:exit_code()
    return self.result.failed == 0 and 0 or 1
end

return test
