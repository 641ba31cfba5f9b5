//! `proxy.*`

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use script::{BackendView, Login};
use sql::TokenId;

use super::Scope;
use crate::support::FakeBackend;

#[test]
fn commands_are_parsed() {
    let mut scope = Scope::new();
    scope.run(
        r"local parse = require('proxy.commands').parse
        local function check(packet, name, key, value)
          local command = parse(packet)
          assert(command.type == packet:byte() and command.type_name == name, command.type_name)
          local others = 0
          for found in pairs(command) do
            if found ~= 'type' and found ~= 'type_name' and found ~= key then others = others + 1 end
          end
          assert(others == 0, name)
          if key then assert(command[key] == value, command[key]) end
        end
        check('\3SELECT 1', 'COM_QUERY', 'query', 'SELECT 1')
        check('\3', 'COM_QUERY', 'query', '')
        check('\22SELECT ?', 'COM_STMT_PREPARE', 'query', 'SELECT ?')
        check('\23\1\2\3\255rest', 'COM_STMT_EXECUTE', 'stmt_handler_id', 0xff030201)
        check('\25\1\0\0\0', 'COM_STMT_CLOSE', 'stmt_handler_id', 1)
        check('\25\1\0', 'COM_STMT_CLOSE', 'stmt_handler_id', nil)
        check('\4film\0', 'COM_FIELD_LIST', 'table', 'film\0')
        check('\2sakila', 'COM_INIT_DB', 'schema', 'sakila')
        check('\5sakila', 'COM_CREATE_DB', 'schema', 'sakila')
        check('\6sakila', 'COM_DROP_DB', 'schema', 'sakila')
        check('\27\1\0', 'COM_SET_OPTION', 'option', '\1\0')
        check('\0', 'COM_SLEEP')
        check('\1', 'COM_QUIT')
        check('\14', 'COM_PING')
        check('\8', 'COM_SHUTDOWN')
        check('\18x', 'COM_BINLOG_DUMP')
        check('\30x', 'COM_BINLOG_DUMP_GTID')
        check('\200x', 'COM_200')
        assert(parse('').type == nil and parse('').type_name == 'COM_NONE')
        assert(not pcall(parse) and not pcall(parse, {}))",
    );
}

#[test]
fn commands_are_printed() {
    let mut scope = Scope::new();
    scope.run(
        r"local commands = require('proxy.commands')
        local function check(packet, expected)
          local text = commands.pretty_print(commands.parse(packet))
          assert(text == expected, text)
        end
        check('\3SELECT 1', '[COM_QUERY] SELECT 1')
        check('\23\7\0\0\0', '[COM_STMT_EXECUTE] 7')
        check('\23', '[COM_STMT_EXECUTE] ... no idea')
        check('\2sakila', '[COM_INIT_DB] sakila')
        check('\14', '[COM_PING] ... no idea')
        check('\200', '[COM_200] ... no idea')
        check('', '[COM_NONE] ... no idea')",
    );
}

/// Statements, what they are normalized to, and what they are after a rebuild.
const STATEMENTS: &[(&str, &str, &str)] = &[
    (
        "select * from histogram.queries",
        "SELECT * FROM `histogram` . `queries` ",
        "select * from histogram . queries ",
    ),
    (
        "SELECT count(*), 'a', 1.5 FROM t -- done",
        "SELECT COUNT( * ) , ? , ? FROM `t` ",
        "SELECT count( * ) , \"a\" , 1.5 FROM t ",
    ),
    (
        "/* c */ SELECT /*!40001 SQL_NO_CACHE */ @a, @@version",
        "SELECT /*!40001 SQL_NO_CACHE */ @a , @@version ",
        "SELECT /*!40001 SQL_NO_CACHE */ @a , @@version ",
    ),
    ("commit", "COMMIT ", "commit "),
    ("/* c */ Begin work", "BEGIN `work` ", "Begin work "),
    (
        "start transaction",
        "START TRANSACTION ",
        "start transaction ",
    ),
    ("start slave", "START `slave` ", "start slave "),
    (
        "select begin, transaction",
        "SELECT `begin` , `transaction` ",
        "select begin , transaction ",
    ),
    (
        "SELECT `rank`, `a``b`, rank FROM `select`",
        "SELECT `rank` , `a``b` , `rank` FROM `select` ",
        "SELECT `rank` , `a``b` , rank FROM `select` ",
    ),
    (
        r#"SELECT 'a\'b', 'c"d', 'e\"f', "g'h", 'i''j', 'k\\'"#,
        "SELECT ? , ? , ? , ? , ? , ? ",
        r#"SELECT "a\'b" , "c\"d" , "e\"f" , "g'h" , "i'j" , "k\\" "#,
    ),
    (
        "SELECT a<=>b, a<<1, a->>'$.x', a>-1, a < > b",
        "SELECT `a` <= > `b` , `a` < < ? , `a` - > > ? , `a` > - ? , `a` < > `b` ",
        "SELECT a <=> b , a << 1 , a ->> \"$.x\" , a > - 1 , a < > b ",
    ),
    (
        "SELECT x'1F', _utf8mb4'a', x 'alias', @'var'",
        "SELECT `x` ? , `_utf8mb4` ? , `x` ? , @ ? ",
        "SELECT x'1F' , _utf8mb4'a' , x \"alias\" , @\"var\" ",
    ),
    (
        "GRANT ALL TO 'a'@'%', `b`@`c`",
        "GRANT ALL TO ? @ ? , `b` @ `c` ",
        "GRANT ALL TO \"a\"@\"%\" , `b`@`c` ",
    ),
    (
        "SELECT t.key, t.1e5, @@global.read_only, t.*",
        "SELECT `t` . KEY , `t` . `1e5` , @@global . READ_ONLY , `t` . * ",
        "SELECT t . `key` , t . `1e5` , @@global . `read_only` , t . * ",
    ),
    ("", "", ""),
    ("-- nothing", "", ""),
];

#[test]
fn statements_are_normalized_and_rebuilt() {
    let mut scope = Scope::new();
    for (sql, normalized, rebuilt) in STATEMENTS {
        for (function, expected) in [("normalize", normalized), ("tokens_to_query", rebuilt)] {
            let value = scope.value(&format!(
                "require('proxy.tokenizer').{function}(proxy.tokenizer.tokenize([==[{sql}]==]))"
            ));
            assert_eq!(&value, expected, "{function} of {sql}");
        }
    }
}

/// Pieces of SQL, of which any row is one statement or another.
const PIECES: &[&str] = &[
    " ",
    " ",
    "a",
    "b1",
    "t.",
    "t.key",
    "d.t.x",
    "1e5",
    "0x1F",
    "12",
    ".5",
    "select",
    "IN",
    "COUNT(",
    "(",
    ")",
    ",",
    ";",
    "*",
    "+",
    "-",
    "/",
    "<",
    ">",
    "=",
    "<=>",
    "->>",
    ":=",
    "&&",
    "||",
    "!=",
    "%",
    "?",
    "@",
    "@a",
    "@@b",
    "'s'",
    "''",
    "'it''s'",
    "'\\''",
    "'\\\\'",
    "'\"'",
    "\"d\"",
    "\"e\\\"f\"",
    "`n`",
    "`n``m`",
    "`a b`",
    "``",
    "/* c */",
    "/*!40000 v */",
    "-- l\n",
    "--\n",
    "x'1F'",
    "_utf8'u'",
    "\\N",
    "é",
    "$",
    "{",
    "\0",
];

/// What the server reads: kind and text of each token that is no comment, with the escapes of quotes taken away.
fn read(sql: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut read: Vec<(u16, Vec<u8>)> = Vec::new();
    for token in sql::tokenize(sql) {
        if token.id == TokenId::COMMENT {
            continue;
        }
        let mut id = token.id;
        let is_behind_dot = read.last().is_some_and(|(id, _)| *id == TokenId::DOT.0);
        if is_behind_dot && id.name().is_some_and(|name| name.starts_with("TK_SQL_")) {
            id = TokenId::LITERAL;
        }
        let mut text = token.text.to_vec();
        if id == TokenId::STRING {
            text = String::from_utf8_lossy(&text)
                .replace("\\\"", "\"")
                .into_bytes();
        }
        read.push((id.0, text));
    }
    read
}

proptest! {
    #[test]
    fn a_rebuilt_statement_is_the_same_to_the_server(pieces in vec(select(PIECES), 0..12)) {
        let sql = pieces.concat();
        let hex: String = sql.bytes().map(|byte| format!("\\{byte:03}")).collect();
        let mut scope = Scope::new();
        let rebuilt = scope.value(&format!("require('proxy.tokenizer').tokens_to_query(tokenizer.tokenize('{hex}'))"));
        prop_assert_eq!(read(sql.as_bytes()), read(rebuilt.as_bytes()), "{} {}", sql, rebuilt);
        // The others take it as well.
        for expression in ["proxy.tokenizer.normalize", "require('proxy.parser').get_tables", "proxy.tokenizer.bare_tokens"] {
            let value = scope.value(&format!("({expression})(tokenizer.tokenize('{hex}'))"));
            prop_assert!(!value.starts_with("error"), "{} {}", sql, value);
        }
    }
}

#[test]
fn a_part_is_rebuilt() {
    let mut scope = Scope::new();
    scope.run(
        "local tokenizer = require('proxy.tokenizer')
         local tokens = tokenizer.tokenize('SELECT /* c */ a, b FROM t')
         assert(tokenizer.tokens_to_query(tokens, 3) == 'a , b FROM t ')
         assert(tokenizer.tokens_to_query(tokens, 3, 5) == 'a , b ')
         tokens[4] = nil
         assert(tokenizer.tokens_to_query(tokens) == 'SELECT a b FROM t ')
         local own = { { token_name = 'TK_LITERAL', text = 'a b' }, { token_name = 'TK_LITERAL', text = 'ab' },
           { token_name = 'TK_STRING', text = 'c\\\\' } }
         assert(tokenizer.tokens_to_query(own) == '`a b` ab \"c\\\\\\\\\" ')",
    );
}

#[test]
fn tokens_become_texts() {
    let mut scope = Scope::new();
    scope.run(
        "local tokenizer = require('proxy.tokenizer')
         local tokens = tokenizer.tokenize('/* c */ SELECT \"a\" -- d')
         assert(tokenizer.first_stmt_token(tokens).text == 'SELECT')
         assert(tokenizer.first_stmt_token(tokenizer.tokenize('/* c */')) == nil)
         local function texts(list) return #list .. ':' .. table.concat(list, ' ') end
         assert(texts(tokenizer.bare_tokens(tokens)) == '2:SELECT a')
         assert(texts(tokenizer.bare_tokens(tokens, true)) == '2:SELECT \"a\"')
         assert(texts(tokenizer.tokens_without_comments(tokens)) == '2:SELECT a')
         -- Texts have no texts.
         assert(texts(tokenizer.bare_tokens(tokenizer.tokens_without_comments(tokens), true)) == '0:')",
    );
}

/// `d` is the default database. `+` is written, `-` is read.
const TABLES: &[(&str, &str)] = &[
    ("SELECT 1", ""),
    ("SELECT * FROM t", "-d.t"),
    (
        "SELECT * FROM t AS a, db.u b, `x y`.`z`",
        "-d.t -db.u -x y.z",
    ),
    ("SELECT a, b FROM t ORDER BY a, b LIMIT 1, 2", "-d.t"),
    (
        "SELECT * FROM t JOIN u USING(id) LEFT JOIN v ON (t.a, t.b) = (v.a, v.b) NATURAL JOIN w",
        "-d.t -d.u -d.v -d.w",
    ),
    (
        "SELECT * FROM t STRAIGHT_JOIN u ON t.a = u.a, v",
        "-d.t -d.u -d.v",
    ),
    (
        "SELECT * FROM (t, u) JOIN (v CROSS JOIN w)",
        "-d.t -d.u -d.v -d.w",
    ),
    (
        "SELECT (SELECT a FROM x) FROM t WHERE a IN (SELECT b FROM y)",
        "-d.t",
    ),
    ("SELECT * FROM (SELECT * FROM x) AS y, t", "-d.t"),
    ("SELECT * FROM(SELECT * FROM x) y JOIN(t)", "-d.t"),
    (
        "SELECT EXTRACT(YEAR FROM a), TRIM(BOTH 'x' FROM b) FROM t",
        "-d.t",
    ),
    (
        "SELECT * FROM t USE INDEX (a, b), u IGNORE INDEX (c)",
        "-d.t -d.u",
    ),
    ("SELECT * FROM t PARTITION (p0, p1), u", "-d.t -d.u"),
    (
        "SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a INT PATH '$')) j, t",
        "-d.t",
    ),
    ("SELECT 1 FROM DUAL", ""),
    ("SELECT a FROM t UNION ALL SELECT b FROM u", "-d.t -d.u"),
    (
        "(SELECT a FROM t) UNION (SELECT b FROM u) ORDER BY 1",
        "-d.t -d.u",
    ),
    ("SELECT 1 UNION SELECT a FROM t", "-d.t"),
    ("SELECT * FROM db.date, d.`group`", "-d.group -db.date"),
    (
        "SELECT * FROM t WINDOW w AS (PARTITION BY a), v AS (w)",
        "-d.t",
    ),
    ("SELECT * INTO OUTFILE 'f' FROM t FOR UPDATE", "-d.t"),
    ("/* c */ SELECT /*! SQL_NO_CACHE */ a FROM t", "-d.t"),
    ("SELECT a FROM t; DELETE FROM u", "+d.u -d.t"),
    ("INSERT INTO t VALUES (1, 2), (3, 4)", "+d.t"),
    ("INSERT IGNORE t SET a = 1", "+d.t"),
    ("INSERT LOW_PRIORITY INTO db.t(a, b) VALUES (1, 2)", "+db.t"),
    ("INSERT INTO t (a) SELECT a FROM u JOIN t", "+d.t -d.u"),
    ("INSERT INTO t VALUES ((SELECT 1 FROM u))", "+d.t"),
    ("REPLACE t VALUES (1)", "+d.t"),
    ("UPDATE t SET a = 1, b = 2 WHERE c = 3", "+d.t"),
    (
        "UPDATE LOW_PRIORITY IGNORE t JOIN u USING (a) SET b = 1",
        "+d.t +d.u",
    ),
    ("DELETE FROM t WHERE a = 1", "+d.t"),
    ("DELETE QUICK FROM db.t LIMIT 1", "+db.t"),
    ("DELETE a FROM t AS a, u", "+d.t +d.u"),
    ("DELETE FROM t USING t JOIN u", "+d.t +d.u"),
    ("CREATE TABLE t(a INT)", "+d.t"),
    (
        "CREATE TEMPORARY TABLE IF NOT EXISTS db.t (a INT) SELECT a FROM u",
        "+db.t -d.u",
    ),
    ("CREATE OR REPLACE TABLE t (a INT)", "+d.t"),
    ("CREATE DATABASE x", ""),
    ("DROP TABLE IF EXISTS t, db.u", "+d.t +db.u"),
    ("DROP VIEW v", ""),
    ("ALTER TABLE t ADD COLUMN a INT, DROP COLUMN b", "+d.t"),
    ("RENAME TABLE t TO u, v TO db.w", "+d.t +d.u +d.v +db.w"),
    ("TRUNCATE TABLE t", "+d.t"),
    ("truncate t", "+d.t"),
    ("SHOW TABLES FROM x", ""),
    ("", ""),
    ("SELECT * FROM", ""),
    ("SELECT * FROM t.", "-d.t"),
    ("SELECT ((((", ""),
    ("INSERT", ""),
    ("RENAME TABLE", ""),
    (")))", ""),
];

#[test]
fn tables_of_statements() {
    let mut scope = Scope::new();
    scope.connection.client.default_db = b"d".to_vec();
    for (sql, expected) in TABLES {
        let found = scope.value(&format!(
            "(function()
               local found = {{}}
               for name, access in pairs(require('proxy.parser').get_tables(require('mysql.tokenizer').tokenize([=[{sql}]=]))) do
                 found[#found + 1] = (access == 'write' and '+' or access == 'read' and '-') .. name
               end
               table.sort(found)
               return table.concat(found, ' ')
             end)()"
        ));
        assert_eq!(&found, expected, "{sql}");
    }
}

#[test]
fn names_get_the_default_database_even_if_it_is_empty() {
    let mut scope = Scope::new();
    scope.run(
        "local expand = require('proxy.parser').tablename_expand
         assert(expand('t') == '.t' and expand('t', 'db') == 'db.t')",
    );
}

#[test]
fn balance_chooses_among_those_with_idle_connections() {
    let mut scope = Scope::new();
    let backend = |is_read_only, clients, users: &[&'static str]| {
        let mut backend = FakeBackend::new("127.0.0.1:3306");
        backend.is_read_only = is_read_only;
        backend.connected_clients = clients;
        backend.idle = users.to_vec().into();
        Arc::new(backend)
    };
    let backends = [
        backend(false, 0, &["bob"]),
        backend(false, 0, &["anna"]),
        backend(true, 0, &["bob"]),
        backend(true, 7, &["anna"]),
        backend(true, 3, &["anna", "bob"]),
        backend(true, 3, &["anna"]),
    ];
    let views = backends.iter();
    scope.connection.backends = views
        .map(|view| Arc::clone(view) as Arc<dyn BackendView>)
        .collect();
    scope.connection.client.login = Some(Login {
        username: b"anna".to_vec(),
        ..Login::default()
    });
    scope.connection.is_logged_in = true;
    scope.run(
        "local balance = require('proxy.balance')
         assert(balance.idle_failsafe_rw() == 2, balance.idle_failsafe_rw())
         assert(balance.idle_ro() == 5, balance.idle_ro())",
    );
    backends[4].state.store(2, Ordering::Relaxed);
    backends[1].state.store(2, Ordering::Relaxed);
    scope.run(
        "local balance = require('proxy.balance')
         assert(balance.idle_failsafe_rw() == 0)
         assert(balance.idle_ro() == 6)",
    );
    scope.connection.backends.clear();
    scope.run(
        "local balance = require('proxy.balance')
         assert(balance.idle_failsafe_rw() == 0 and balance.idle_ro() == 0)",
    );
}

/// `handle` of a statement: `nil`, `ok`, the error, or the rows.
const HANDLE: &str = r#"
local auto_config = require("proxy.auto-config")
local config = proxy.global.config
config.rwsplit = { min_idle = 4, is_debug = false, name = "a" }
function handle(query)
  proxy.response = {}
  local decision = config:handle({ type = proxy.COM_QUERY, query = query })
  if decision == nil then return next(proxy.response) and "a response" or "nil" end
  assert(decision == proxy.PROXY_SEND_RESULT)
  if proxy.response.errmsg then
    assert(proxy.response.type == proxy.MYSQLD_PACKET_ERR)
    return proxy.response.errmsg
  end
  assert(proxy.response.type == proxy.MYSQLD_PACKET_OK)
  if not proxy.response.resultset then return "ok" end
  local rows = {}
  for i, row in ipairs(proxy.response.resultset.rows) do rows[i] = table.concat(row, ",") end
  return table.concat(rows, ";")
end
"#;

impl Scope {
    #[track_caller]
    fn handles(&mut self, statement: &str, expected: &str) {
        let value = self.value(&format!("handle([=[{statement}]=])"));
        assert_eq!(value, expected, "{statement}");
    }
}

fn with_settings() -> Scope {
    let mut scope = Scope::new();
    scope.run(HANDLE);
    scope
}

const SHOWN: &str =
    "rwsplit,is_debug,false,boolean;rwsplit,min_idle,4,number;rwsplit,name,a,string";

#[test]
fn settings_are_shown() {
    let mut scope = with_settings();
    scope.handles("PROXY SHOW CONFIG", SHOWN);
    scope.handles("proxy  Show\tconfig", SHOWN);
    scope.run(
        "handle('PROXY SHOW CONFIG')
         local names = {}
         for i, field in ipairs(proxy.response.resultset.fields) do
           assert(field.type == proxy.MYSQL_TYPE_STRING)
           names[i] = field.name
         end
         assert(table.concat(names, ' ') == 'module option value type')",
    );
}

#[test]
fn settings_are_set() {
    let mut scope = with_settings();
    for (value, expected) in [
        ("min_idle = 8", "ok"),
        ("min_idle=-1.5", "ok"),
        ("is_debug = true", "ok"),
        ("is_debug = FALSE", "ok"),
        ("is_debug = True", "ok"),
        ("name = \"it's\"", "ok"),
        ("name = ''", "ok"),
        ("name = 'b \"c\"'", "ok"),
        (
            "min_idle = 'x'",
            "the option rwsplit.min_idle is a number, the value a string",
        ),
        (
            "min_idle = true",
            "the option rwsplit.min_idle is a number, the value a boolean",
        ),
        (
            "is_debug = 1",
            "the option rwsplit.is_debug is a boolean, the value a number",
        ),
        (
            "name = 1",
            "the option rwsplit.name is a string, the value a number",
        ),
        ("max_idle = 1", "option not know"),
        ("min_idle = 1.2.3", "nil"),
        ("min_idle = x", "nil"),
        ("min_idle = 'x' junk", "nil"),
        ("min_idle =", "nil"),
        ("min-idle = 1", "nil"),
    ] {
        scope.handles(&format!("PROXY SET GLOBAL rwsplit.{value}"), expected);
    }
    scope.handles("PROXY SET GLOBAL other.min_idle = 1", "module not known");
    scope.handles("PROXY SET GLOBAL handle.x = 1", "module not known");
    scope.handles(
        "PROXY SHOW CONFIG",
        "rwsplit,is_debug,true,boolean;rwsplit,min_idle,-1.5,number;rwsplit,name,b \"c\",string",
    );
}

#[test]
fn all_else_is_for_the_server() {
    let mut scope = with_settings();
    for statement in [
        "",
        "SELECT 1",
        "PROXY",
        "PROXY SHOW",
        "PROXY SHOW CONFIG x",
        "x PROXY SHOW CONFIG",
        "PROXYSHOW CONFIG",
        "PROXY SET GLOBAL",
        "PROXY SAVE CONFIG",
        "PROXY SAVE CONFIG INTO f",
        "PROXY SAVE CONFIG FROM \"f\"",
        "PROXY LOAD CONFIG INTO \"f\"",
        &format!("PROXY SHOW CONFIG{}", " ".repeat(128)),
    ] {
        scope.handles(statement, "nil");
    }
    scope.run(
        "local auto_config = require('proxy.auto-config')
         assert(auto_config.handle({ type = proxy.COM_INIT_DB, schema = 'PROXY SHOW CONFIG' }) == nil)
         assert(auto_config.handle({ type = proxy.COM_QUERY, query = 'PROXY SHOW CONFIG' }) == proxy.PROXY_SEND_RESULT)
         assert(auto_config.handle(proxy.global.config, { type_name = 'COM_NONE' }) == nil)",
    );
}

#[test]
fn settings_are_saved_and_loaded() {
    let mut scope = with_settings();
    let file = scope.bench.directory.path().join("saved.lua");
    let save = format!("PROXY SAVE CONFIG INTO \"{}\"", file.display());
    let load = format!("proxy load config from '{}'", file.display());
    scope.run(
        "proxy.global.config.rwsplit.name = 'a\"\\n\\\\\\0b'
         proxy.global.config.rwsplit.callback = print
         proxy.global.config['a module'] = { ['an option'] = 0.1 }
         proxy.global.config.number = 5",
    );
    scope.handles(&save, "ok");
    scope.handles(&save, "ok");
    scope.run(
        "proxy.global.config.rwsplit = { min_idle = 0, other = 'kept' }
         proxy.global.config['a module'] = nil",
    );
    scope.handles(&load, "ok");
    scope.run(
        "local rwsplit = proxy.global.config.rwsplit
         assert(rwsplit.min_idle == 4 and rwsplit.is_debug == false and rwsplit.other == 'kept')
         assert(rwsplit.name == 'a\"\\n\\\\\\0b' and rwsplit.callback == nil)
         assert(proxy.global.config['a module']['an option'] == 0.1)",
    );
}

#[test]
fn what_cannot_be_saved_or_loaded_is_an_error() {
    let mut scope = with_settings();
    let directory = scope.bench.directory.path().to_owned();
    let file = directory.join("f");
    let load = format!("PROXY LOAD CONFIG FROM \"{}\"", file.display());
    let save = format!("PROXY SAVE CONFIG INTO \"{}\"", file.display());
    let mut fails = |statement: &str, contents: &[u8], part: &str| {
        fs::write(&file, contents).unwrap();
        let value = scope.value(&format!("handle([=[{statement}]=])"));
        assert!(value.contains(part), "{value}");
        scope.handles("PROXY SHOW CONFIG", SHOWN);
        assert_eq!(fs::read(&file).unwrap(), contents);
    };
    fails(&load, b"return {", "f:1: ");
    fails(&load, b"\x1bLJ\x02", "no text");
    fails(&load, b"return 5", "returns no table");
    fails(&load, b"error('boom')", "attempt to call global 'error'");
    fails(&load, b"os.exit(1)", "attempt to index global 'os'");
    fails(
        &load,
        b"return { rwsplit = { min_idle = 1 }, handle = {} }",
        "handle is no module",
    );
    fails(&load, &vec![b' '; 2 << 20], "more than 1048576 bytes");
    fails(&save, b"precious", "no saved configuration");
    for (statement, message) in [
        ("LOAD CONFIG FROM '/nowhere/file'", "No such file"),
        ("SAVE CONFIG INTO '/nowhere/file'", "No such file"),
        ("LOAD CONFIG FROM '/dev/zero'", "not a regular file"),
        ("SAVE CONFIG INTO '/tmp'", "not a regular file"),
    ] {
        let value = scope.value(&format!("handle([=[PROXY {statement}]=])"));
        assert!(value.contains(message), "{value}");
    }
}

#[test]
fn a_suite_runs_the_tests_of_its_script() {
    let mut scope = Scope::new();
    scope.run(
        r#"local test = require("proxy.test")
        assert(assertEquals == test.assertEquals and assertNotEquals == test.assertNotEquals)
        local real, order = proxy, {}
        TestOrder = test.BaseTest:new({ name = "order" })
        function TestOrder:setUp() order[#order + 1] = "up" end
        function TestOrder:tearDown() order[#order + 1] = "down" end
        function TestOrder:test1() order[#order + 1] = self.name end
        function TestOrder:test2() error("fails") end
        function TestOrder:other() error("is no test") end
        TestScope = test.ProxyBaseTest:new()
        function TestScope:setUp() self:setDefaultScope() end
        function TestScope:testConstants()
          assertNotEquals(proxy, real)
          assertEquals(proxy.PROXY_SEND_RESULT, 2)
          assertEquals(proxy.PROXY_SEND_QUERY, 1)
          assertEquals(proxy.connection.backend_ndx, 0)
        end
        function TestScope:testQueries()
          proxy.queries:append(1, "a", { resultset_is_needed = true })
          proxy.queries:prepend(2, "b")
          assertEquals(#proxy.queries, 2)
          assertEquals(proxy.queries:len(), 2)
          assertEquals(proxy.queries[1].query, "b")
          assertEquals(proxy.queries[2].attr.resultset_is_needed, true)
          proxy.queries:reset()
          assertEquals(#proxy.queries, 0)
        end
        function TestScope:testStrict() return proxy.nonsense end
        function TestScope:testEqual() assertEquals("a", 1) end
        function TestScope:testNotEqual() assertNotEquals(1, 1) end
        local suite = test.Suite:new({ result = test.Result:new() })
        suite:run()
        assert(proxy == real)
        assert(table.concat(order, " ") == "up order down up down")
        assert(suite.result.passed == 3 and suite.result.failed == 4 and suite:exit_code() == 1)
        local failures = table.concat(suite.result.failures, "\n")
        for _, text in ipairs({ "TestOrder:test2: .*fails", "TestScope:testStrict: .*proxy%.nonsense",
          'TestScope:testEqual: .*expected 1, got "a"', "TestScope:testNotEqual: .*expected anything but 1" }) do
          assert(failures:find(text), failures)
        end
        local printed = {}
        local print_before = print
        _G.print = function(text) printed[#printed + 1] = text end
        suite.result:print()
        _G.print = print_before
        assert(#printed == 5 and printed[5] == "3 tests passed, 4 failed", printed[5])"#,
    );
}
