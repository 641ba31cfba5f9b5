use super::*;

/// Runs `script` with the module as `proto`, and `fails(text, f, ...)`, which asserts that `f` raises that text.
fn run(script: &str) {
    let lua = Lua::new();
    callback::install(&lua).unwrap();
    lua.globals().set("proto", module(&lua).unwrap()).unwrap();
    lua.load(
        "function fails(text, f, ...)
            local ok, message = pcall(f, ...)
            assert(not ok, 'no error: ' .. text)
            assert(message:find(text, 1, true), message)
         end",
    )
    .exec()
    .unwrap();
    lua.load(script).exec().unwrap();
}

#[test]
fn err_packets() {
    run(
        "local t = proto.from_err_packet('\\255\\021\\004#28000no\\0way')
         assert(t.errcode == 1045 and t.sqlstate == '28000' and t.errmsg == 'no\\0way')
         assert(proto.from_err_packet('\\255\\021\\004#28000').errmsg == nil)
         local failed = 'network_mysqld_proto_get_err_packet() failed'
         fails(failed, proto.from_err_packet, '\\255\\021\\004no state')
         fails(failed, proto.from_err_packet, '\\255\\021')
         fails(failed, proto.from_err_packet, '\\0\\0\\0')
         fails(failed, proto.from_err_packet, '')
         assert(proto.to_err_packet{} == '\\255\\0\\0#07000')
         assert(proto.to_err_packet{errcode = '1064', sqlstate = '42', errmsg = 'a\\0b', other = 1}
            == '\\255\\040\\004#42000a\\0b')
         assert(proto.to_err_packet{errcode = {}} == '\\255\\0\\0#07000')
         assert(#proto.to_err_packet{errmsg = ('x'):rep(600)} == 9 + 512)
         fails('.errmsg has to be a string', proto.to_err_packet, {errmsg = {}})",
    );
}

#[test]
fn ok_packets() {
    run(
        "local t = proto.from_ok_packet('\\0\\003\\252\\232\\003\\002\\0\\001\\0info')
         assert(t.affected_rows == 3 and t.insert_id == 1000)
         assert(t.server_status == 2 and t.warnings == 1)
         local failed = 'network_mysqld_proto_get_ok_packet() failed'
         fails(failed, proto.from_ok_packet, '\\0\\0\\0\\002\\0')
         fails(failed, proto.from_ok_packet, '\\254\\0\\0\\002\\0\\0\\0')
         fails(failed, proto.from_ok_packet, '')
         assert(proto.to_ok_packet{} == ('\\0'):rep(7))
         assert(proto.to_ok_packet{affected_rows = 3, insert_id = 1000, server_status = 2, warnings = 1}
            == '\\0\\003\\252\\232\\003\\002\\0\\001\\0')",
    );
}

#[test]
fn eof_packets() {
    run("local t = proto.from_eof_packet('\\254\\001\\0\\002\\0')
         assert(t.warnings == 1 and t.server_status == 2)
         local failed = 'network_mysqld_proto_get_eof_packet() failed'
         fails(failed, proto.from_eof_packet, '\\254')
         fails(failed, proto.from_eof_packet, '')
         assert(proto.to_eof_packet{} == '\\254\\0\\0\\0\\0')
         assert(proto.to_eof_packet{warnings = 1, server_status = 2} == '\\254\\001\\0\\002\\0')");
}

#[test]
fn the_greeting_of_mock_servers() {
    run("local greeting = proto.to_challenge_packet{}
         assert(greeting == '\\0105.0.99\\0' .. ('\\0'):rep(4) .. '01234567\\0' .. '\\0\\130'
            .. ('\\0'):rep(3) .. ('\\0'):rep(13) .. '890123456789\\0')
         local t = proto.from_challenge_packet(greeting)
         assert(t.protocol_version == 10 and t.server_version == 50099 and t.thread_id == 0)
         assert(t.capabilities == 512 + 32768 and t.charset == 0 and t.server_status == 0)
         assert(t.challenge == '01234567890123456789' and t.auth_plugin_name == nil)");
}

#[test]
fn greetings_round_trip() {
    run(
        "local t = {server_version = 80400, thread_id = 4294967295, charset = 45, server_status = 2,
            capabilities = 0x80000 + 512 + 32768, challenge = 'abcdefghijklmnopqrst\\0',
            auth_plugin_name = 'mysql_native_password'}
         local back = proto.from_challenge_packet(proto.to_challenge_packet(t))
         for key, value in pairs(t) do assert(back[key] == value, key) end
         for number, text in pairs{[30001] = '3.00.01', [50099] = '5.00.99', [80400] = '8.04.00',
            [99999] = '9.99.99', [30000] = '5.0.99', [100000] = '5.0.99', [0] = '5.0.99'} do
            local packet = proto.to_challenge_packet{server_version = number}
            assert(packet:match('^\\010([^%z]*)') == text, number)
         end
         fails('.challenge has 7 bytes', proto.to_challenge_packet, {challenge = 'shorter'})
         fails('.challenge has 300 bytes', proto.to_challenge_packet, {challenge = ('x'):rep(300)})
         fails('NUL byte', proto.to_challenge_packet, {auth_plugin_name = 'a\\0b'})",
    );
}

#[test]
fn greetings_of_real_servers() {
    run("local function greeting(version)
            return (proto.to_challenge_packet{}:gsub('5.0.99', version, 1))
         end
         for text, number in pairs{['11.4.2-MariaDB'] = 110402, ['5.5.5-10.11.6-MariaDB'] = 50505,
            ['8.0.100'] = 80100} do
            assert(proto.from_challenge_packet(greeting(text)).server_version == number, text)
         end
         local failed = 'network_mysqld_proto_get_auth_challenge() failed'
         for _, text in ipairs{'8', '8.0', 'new', '8.0.x'} do
            fails(failed, proto.from_challenge_packet, greeting(text))
         end
         fails(failed, proto.from_challenge_packet, '')
         fails(failed, proto.from_challenge_packet, '\\0115.0.99\\0')
         fails(failed, proto.from_challenge_packet, proto.to_challenge_packet{}:sub(1, 20))");
}

#[test]
fn logins_round_trip() {
    run(
        "local all = 8 + 512 + 32768 + 0x80000
         local t = {server_capabilities = all, capabilities = all, max_packet_size = 2^24,
            charset = 45, username = 'app', response = ('\\0r'):rep(10), database = 'shop',
            auth_plugin_name = 'mysql_native_password'}
         local back = proto.from_response_packet(proto.to_response_packet(t), all)
         for key, value in pairs(t) do assert(back[key] == value, key) end

         local bare = proto.from_response_packet(proto.to_response_packet{server_capabilities = all}, all)
         assert(bare.capabilities == 512 + 32768 and bare.max_packet_size == 0 and bare.charset == 0)
         assert(bare.username == nil and bare.response == nil and bare.database == nil)

         fails('.server_capabilities has to be a number', proto.to_response_packet,
            {server_capabilities = 'x'})
         fails('.username must not hold a NUL byte', proto.to_response_packet, {username = 'a\\0b'})
         fails('.response has 256 bytes', proto.to_response_packet, {response = ('x'):rep(256)})
         fails('.response must not hold a NUL byte', proto.to_response_packet,
            {capabilities = 512, response = '\\0'})",
    );
}

#[test]
fn fields_of_a_login_depend_on_both_sides() {
    run(
        "local db, plugin, base = 8, 0x80000, 512 + 32768
         local t = {capabilities = base + plugin, username = 'u', database = 'd', auth_plugin_name = 'p'}
         local function tail(server)
            t.server_capabilities = server
            local packet = proto.to_response_packet(t)
            return packet:sub(33), proto.from_response_packet(packet, server or base + db)
         end
         local bytes, back = tail(base)
         assert(bytes == 'u\\0\\0' and back.database == nil and back.auth_plugin_name == nil)
         bytes, back = tail(base + db)
         assert(bytes == 'u\\0\\0d\\0' and back.database == 'd' and back.capabilities == base + db)
         bytes, back = tail(base + plugin)
         assert(bytes == 'u\\0\\0p\\0' and back.auth_plugin_name == 'p')
         bytes, back = tail(nil)
         assert(bytes == 'u\\0\\0d\\0' and back.database == 'd')

         -- a client that flags a database and leaves it out, because the server does not offer it
         local odd = '\\8\\130\\0\\0' .. ('\\0'):rep(28) .. 'u\\0\\0'
         assert(proto.from_response_packet(odd, base).capabilities == base + db)
         assert(proto.from_response_packet(odd, base).database == nil)",
    );
}

#[test]
fn old_logins() {
    run(
        "local t = proto.from_response_packet('\\009\\0\\0\\0\\001root\\0OLDHASH1\\0test\\0', 8)
         assert(t.capabilities == 9 and t.server_capabilities == 8 and t.max_packet_size == 65536)
         assert(t.username == 'root' and t.response == 'OLDHASH1' and t.database == 'test')
         assert(t.charset == 0 and t.auth_plugin_name == nil)
         t.server_capabilities = 8
         assert(proto.to_response_packet(t) == '\\009\\0\\0\\0\\001root\\0OLDHASH1\\0test\\0')
         local failed = 'network_mysqld_proto_get_auth_response() failed'
         fails(failed, proto.from_response_packet, '', 0)
         fails(failed, proto.from_response_packet, '\\0\\130', 0)
         fails(failed, proto.from_response_packet, '\\001\\0\\0', 0)
         assert(not pcall(proto.from_response_packet, 'x'))",
    );
}

#[test]
fn master_info() {
    run(
        "local file = '15\\nbin.000001\\n4\\nhost\\nuser\\nsecret\\n3306\\n60\\n1\\nca\\ncapath\\ncert\\ncipher\\nkey\\n1\\n'
         local t = proto.from_masterinfo_string(file)
         assert(t.master_lines == 15 and t.master_log_file == 'bin.000001' and t.master_log_pos == 4)
         assert(t.master_host == 'host' and t.master_user == 'user' and t.master_password == 'secret')
         assert(t.master_port == 3306 and t.master_connect_retry == 60 and t.master_ssl == 1)
         assert(t.master_ssl_ca == 'ca' and t.master_ssl_capath == 'capath')
         assert(t.master_ssl_cert == 'cert' and t.master_ssl_cipher == 'cipher')
         assert(t.master_ssl_key == 'key' and t.master_ssl_verify_server_cert == 1)
         assert(proto.to_masterinfo_string(t) == file)

         local short = '14\\nbin.000001\\n4\\nhost\\nuser\\n\\n3306\\n60\\n0\\n\\n\\n\\n\\n\\n'
         local t = proto.from_masterinfo_string(short)
         assert(t.master_password == nil and t.master_ssl_verify_server_cert == nil)
         assert(proto.to_masterinfo_string(t) == short)

         local failed = 'network_mysqld_proto_get_masterinfo_string() failed'
         fails(failed, proto.from_masterinfo_string, '')
         fails(failed, proto.from_masterinfo_string, '15\\nbin.000001\\nfour\\n')
         fails(failed, proto.from_masterinfo_string, '15\\nbin.000001\\n4\\n')
         fails('newline', proto.to_masterinfo_string, {master_host = 'a\\nb'})",
    );
}

#[test]
fn statement_commands() {
    run(
        "assert(proto.from_stmt_prepare_packet('\\022SELECT \\0 ?').stmt_text == 'SELECT \\0 ?')
         assert(proto.from_stmt_prepare_packet('\\022').stmt_text == nil)
         fails('network_mysqld_proto_get_stmt_prepare_packet() failed', proto.from_stmt_prepare_packet, '\\003SELECT')
         local ok = proto.from_stmt_prepare_ok_packet('\\0\\001\\0\\0\\0\\002\\0\\003\\0\\0\\004\\0')
         assert(ok.stmt_id == 1 and ok.num_columns == 2 and ok.num_params == 3 and ok.warnings == 4)
         local modern = proto.from_stmt_prepare_ok_packet('\\0\\001\\0\\0\\0\\002\\0\\003\\0\\0\\004\\0\\001')
         assert(modern.stmt_id == 1 and modern.num_params == 3)
         local failed = 'network_mysqld_proto_get_stmt_ok_packet() failed'
         fails(failed, proto.from_stmt_prepare_ok_packet, '\\0\\001')
         fails(failed, proto.from_stmt_prepare_ok_packet, '\\255\\021\\004#28000no')
         assert(proto.from_stmt_close_packet('\\025\\001\\002\\0\\0').stmt_id == 513)
         fails('network_mysqld_proto_get_stmt_close_packet() failed', proto.from_stmt_close_packet, '\\025\\001')
         assert(proto.stmt_id_from_stmt_execute_packet('\\023\\001\\0\\0\\0') == 1)
         fails('failed', proto.stmt_id_from_stmt_execute_packet, '\\022\\001\\0\\0\\0')",
    );
}

#[test]
fn the_head_of_an_execution() {
    run(
        "local t = proto.from_stmt_execute_packet('\\023\\001\\0\\0\\0\\002\\001\\0\\0\\0', 0)
         assert(t.stmt_id == 1 and t.flags == 2 and t.iteration_count == 1)
         assert(t.new_params_bound == false and t.params == nil)
         local t = proto.from_stmt_execute_packet('\\023\\001\\0\\0\\0\\0\\001\\0\\0\\0\\0\\0whatever', 1)
         assert(t.new_params_bound == false and t.params == nil)
         local failed = 'network_mysqld_proto_get_stmt_execute_packet() failed'
         fails(failed, proto.from_stmt_execute_packet, '\\023\\001\\0\\0\\0\\0\\001\\0\\0\\0', 1)
         fails(failed, proto.from_stmt_execute_packet, '\\023\\001', 0)
         assert(not pcall(proto.from_stmt_execute_packet, '\\023\\001\\0\\0\\0\\0\\001\\0\\0\\0', -1))
         assert(not pcall(proto.from_stmt_execute_packet, '\\023\\001\\0\\0\\0\\0\\001\\0\\0\\0'))",
    );
}

#[test]
fn values_of_an_execution() {
    run(
        "local function value(type, flag, bytes, null)
            local packet = '\\023\\001\\0\\0\\0\\0\\001\\0\\0\\0' .. (null and '\\001' or '\\0') .. '\\001'
                .. string.char(type, flag) .. bytes
            local param = proto.from_stmt_execute_packet(packet, 1).params[1]
            assert(param.type == type)
            return param.value
         end
         assert(value(1, 0, '\\255') == -1 and value(1, 128, '\\255') == 255)
         assert(value(2, 0, '\\254\\255') == -2 and value(2, 128, '\\254\\255') == 65534)
         assert(value(3, 0, '\\1\\0\\0\\128') == -2147483647)
         assert(value(8, 0, ('\\255'):rep(8)) == -1 and value(8, 128, ('\\255'):rep(8)) == 2^64)
         assert(value(4, 0, '\\0\\0\\192\\063') == 1.5)
         assert(value(5, 0, '\\102\\102\\102\\102\\102\\102\\036\\064') == 10.2)
         for _, type in ipairs{246, 250, 251, 252, 253, 254} do
            assert(value(type, 0, '\\003a\\0b') == 'a\\0b')
         end
         assert(value(10, 0, '\\004\\218\\007\\010\\017') == '2010-10-17')
         local full = '\\011\\218\\007\\010\\017\\019\\027\\030\\001\\0\\0\\0'
         assert(value(12, 0, full) == '2010-10-17 19:27:30.000000001')
         assert(value(7, 0, '\\0') == '0000-00-00 00:00:00.000000000')
         assert(value(11, 0, '\\012\\001\\120\\0\\0\\0\\019\\027\\030\\001\\0\\0\\0') == '-120 19:27:30.000000001')
         assert(value(11, 0, '\\008\\0\\001\\0\\0\\0\\002\\003\\004') == '1 02:03:04.000000000')
         assert(value(254, 0, '', true) == nil and value(6, 0, '', true) == nil)

         local failed = 'network_mysqld_proto_get_stmt_execute_packet() failed'
         fails(failed, value, 200, 0, '\\001a')
         fails(failed, value, 254, 0, '\\009short')
         fails(failed, value, 12, 0, '\\005\\0\\0\\0\\0\\0')
         fails(failed, value, 1, 0, '')",
    );
}

#[test]
fn several_parameters() {
    run(
        "local packet = '\\023\\001\\0\\0\\0\\0\\001\\0\\0\\0\\002\\001' .. '\\001\\0\\254\\0\\253\\0' .. '\\007\\002hi'
         local params = proto.from_stmt_execute_packet(packet, 3).params
         assert(#params == 3 and params[1].value == 7 and params[3].value == 'hi')
         assert(params[2].type == 254 and params[2].value == nil)",
    );
}

#[test]
fn attributes_of_an_execution() {
    run(
        "local head = '\\023\\001\\0\\0\\0\\008\\001\\0\\0\\0'
         local t = proto.from_stmt_execute_packet(head .. '\\002\\0\\001\\001\\0\\0\\254\\0\\005trace\\042\\002ab', 1)
         assert(#t.params == 1 and t.params[1].value == 42 and t.attributes.trace == 'ab')
         local t = proto.from_stmt_execute_packet(head .. '\\0', 0)
         assert(t.new_params_bound == false and t.attributes == nil)
         fails('failed', proto.from_stmt_execute_packet, head .. '\\254\\255\\255\\255\\255\\255\\255\\255\\255', 1)",
    );
}

#[test]
fn arguments_are_checked() {
    run("for name, f in pairs(proto) do
            if type(f) == 'function' then
                assert(not pcall(f), name)
                local _, message = pcall(f, true)
                assert(message:find('bad argument #1 to .' .. name), message)
            end
         end");
}

#[test]
fn no_packet_panics() {
    run("for length = 0, 60 do
            for _, first in ipairs{0, 1, 8, 10, 22, 23, 25, 130, 254, 255} do
                local packet = string.char(first) .. ('\\251\\0\\255\\010'):rep(15):sub(1, length)
                for name, f in pairs(proto) do
                    if type(f) == 'function' and name:find('from_') then pcall(f, packet, first) end
                end
            end
         end");
}
