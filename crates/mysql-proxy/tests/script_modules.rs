//! The modules that scripts require, between real clients and servers.

mod scripted;

use testkit::{Client, MariaDb, Mysql97, ScratchDirectory, Server};

use scripted::{ScriptFile, connect, value};

/// Takes every query to pieces and puts it together again.
const REBUILD: &str = r#"
    local commands = require("proxy.commands")
    local tokenizer = require("proxy.tokenizer")
    function read_query(packet)
        local command = commands.parse(packet)
        if command.type ~= proxy.COM_QUERY then return end
        local query = tokenizer.tokens_to_query(tokenizer.tokenize(command.query))
        proxy.queries:append(1, string.char(proxy.COM_QUERY) .. query)
        return proxy.PROXY_SEND_QUERY
    end
"#;

const QUERIES: &[&str] = &[
    "SELECT 1 <=> NULL, NULL<=>NULL, 1<<3, 8>>1, 3 <> 4, 3!=4, 5%3, !0, ~0, -1--1, 7 DIV 2, 1||0, 1&&0",
    "SELECT x'4D79', X'4D79', b'101' + 0, _utf8mb4'é', N'n', 0x4D79, 1.5e3, .5, DATE'2020-01-01'",
    r#"SELECT 'it''s', 'a\'b', "q""q", 'c"d', 'e\"f', 'g\\', 'line\nbreak', 'two' ' parts', ''"#,
    "SELECT @a:=5, @b := 6",
    "SELECT @a, @`a`, @'a', @\"a\"",
    "SELECT @@global.read_only, @@session.sql_mode, @@version, @@GLOBAL.`max_connections`",
    "SELECT t.key, t.1x, `t`.`a``b`, t.`select` FROM (SELECT 1 AS `key`, 2 AS 1x, 3 AS `a``b`, 4 AS `select`) AS t",
    "SELECT /*!40001 1, */ 2 /* a comment */ -- and another\n + 1 -- the last",
    "SELECT COUNT(*), IF(1, 2, 3), REPLACE('a', 'a', 'b'), LEFT('abc', 2) FROM (SELECT 1) AS t WHERE 1 IN(1, 2)",
    "SELECT SCHEMA_NAME FROM information_schema.schemata WHERE SCHEMA_NAME='mysql' GROUP BY 1 HAVING 1 ORDER BY 1 LIMIT 1",
    "SHOW GRANTS FOR 'app'@'%'",
    "SHOW GRANTS FOR `app`@`%`",
    "SHOW VARIABLES LIKE 'port'",
];

fn check_rebuilt(server: &Server, more: &[&str]) {
    let script = ScriptFile::new(REBUILD);
    let proxy = script.proxy(&[server], &[]);
    let mut direct = Client::connect(server.address(), "app", "app").expect("it serves");
    let mut rebuilt = connect(&proxy);
    for query in QUERIES.iter().chain(more) {
        let expected = direct.query(query).expect("the server understands it");
        let found = rebuilt.query(query);
        let found = found.unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(found.rows, expected.rows, "{query}");
    }
}

#[test]
fn rebuilt_queries_mean_the_same_to_mariadb() {
    check_rebuilt(&MariaDb::start(&[]), &[]);
}

#[test]
fn rebuilt_queries_mean_the_same_to_mysql() {
    let Some(server) = Mysql97::start(&[]) else {
        return;
    };
    let json = r#"SELECT j->'$.a', j->>'$.a' FROM (SELECT CAST('{"a": "b"}' AS JSON) AS j) AS t"#;
    check_rebuilt(&server, &[json]);
}

/// The settings of a script, by a client.
const SETTINGS: &str = r#"
    local commands = require("proxy.commands")
    local auto_config = require("proxy.auto-config")
    local config = proxy.global.config
    config.greeting = config.greeting or { text = "hello", is_loud = false, times_2 = 1 }
    function read_query(packet)
        local command = commands.parse(packet)
        local decision = config:handle(command)
        if decision then return decision end
        if command.query ~= "greeting" then return end
        local text = config.greeting.text:rep(config.greeting.times_2)
        local row = { config.greeting.is_loud and text:upper() or text }
        proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = { { name = "text" } }, rows = { row } } }
        return proxy.PROXY_SEND_RESULT
    end
"#;

#[test]
fn a_client_changes_settings() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(SETTINGS);
    let proxy = script.proxy(&[&server], &[]);
    let directory = ScratchDirectory::new();
    let file = directory.file("settings.lua").display().to_string();
    let (mut client, mut other) = (connect(&proxy), connect(&proxy));
    let mut does = |statement: &str| client.query(statement).expect("the script answers");
    let rows = does("PROXY SHOW CONFIG").rows;
    assert_eq!(rows.len(), 3);
    does(&format!("PROXY SAVE CONFIG INTO \"{file}\""));
    does("PROXY SET GLOBAL greeting.is_loud = true");
    does("PROXY SET GLOBAL greeting.times_2 = 2");
    does("PROXY SET GLOBAL greeting.text = 'hi '");
    assert_eq!(value(&mut other, "greeting"), "HI HI ");
    does(&format!("PROXY LOAD CONFIG FROM \"{file}\""));
    assert_eq!(value(&mut other, "greeting"), "hello");
    let error = client
        .query("PROXY SET GLOBAL greeting.text = 1")
        .expect_err("it is no text");
    assert_eq!(error.code(), Some(1105));
    assert_eq!(value(&mut client, "SELECT 4711"), "4711");
}
