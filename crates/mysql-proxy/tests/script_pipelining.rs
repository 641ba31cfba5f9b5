//! Clients that send several commands before they read an answer, under a script that treats each in its own way: the
//! answers come in the commands' order, one for each, and none is lost or made twice.

mod scripted;

use protocol::{Command, packet::put_payload};
use testkit::{Connection, MariaDb, Mysql97, Server, wait};

use scripted::{DEADLINE, ScriptFile, connect};

/// Treats a query as its first word says. All but `twice` make one of its number.
const SCRIPT: &str = r#"
    local function select(text) return "\003SELECT " .. text end
    local function answer(value)
        proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
            fields = { { name = "v" } }, rows = { { value } } } }
        return proxy.PROXY_SEND_RESULT
    end
    local ways = {
        answer = function(n) return answer(n) end,
        inject = function(n) proxy.queries:append(1, select(n)) end,
        keep = function(n) proxy.queries:append(1, select(n), { resultset_is_needed = true }) end,
        replace = function(n) proxy.queries:append(2, select("'?'"), { resultset_is_needed = true }) end,
        -- What has no response goes on the way to what has one.
        several = function(n)
            proxy.queries:append(3, select("@n"), { resultset_is_needed = true })
            proxy.queries:append(3, "\025\255\255\255\127")
            proxy.queries:append(3, select(n .. " FROM test.missing"), { resultset_is_needed = true })
            proxy.queries:append(1, select(n))
            proxy.queries:append(3, "\003SET @n = " .. n, { resultset_is_needed = true })
        end,
        behind = function(n)
            proxy.queries:append(3, "\003SET @n = " .. n, { resultset_is_needed = true })
            return answer(n)
        end,
        close = function(n)
            proxy.connection.connection_close = true
            return answer(n)
        end,
        fail = function(n) error("fails " .. n) end,
    }
    local current
    function read_query(packet)
        -- Answers where none may stand.
        if packet:byte() == proxy.COM_STMT_CLOSE then
            proxy.response = { type = proxy.MYSQLD_PACKET_OK }
            return proxy.PROXY_SEND_RESULT
        elseif packet:byte() == proxy.COM_STMT_SEND_LONG_DATA then
            proxy.queries:append(1, select(1), { resultset_is_needed = true })
            return proxy.PROXY_SEND_QUERY
        end
        local way, n = packet:sub(2):match("^(%a+) (%d+)$")
        if packet:byte() ~= proxy.COM_QUERY or not ways[way] then return end
        current = n
        return ways[way](n) or proxy.PROXY_SEND_QUERY
    end
    function read_query_result(inj)
        if inj.id == 2 then return answer(current) end
        if inj.id == 3 then return proxy.PROXY_IGNORE_RESULT end
    end
    function disconnect_client() print("disconnected") end
"#;

/// A command's payload and its answer; none for a command without.
fn command(n: usize) -> (Vec<u8>, Option<String>) {
    let query = |text: String| [&[Command::QUERY.0], text.as_bytes()].concat();
    let made = Some(n.to_string());
    let ways = ["answer", "inject", "keep", "replace", "several", "behind"];
    match n % 11 {
        way @ 0..6 => (query(format!("{} {n}", ways[way])), made),
        6 => (query(format!("SELECT {n}")), made),
        7 => (vec![Command::PING.0], Some("ok".to_owned())),
        8 => (query(format!("fail {n}")), Some("error 1064".to_owned())),
        9 => {
            let silent = [Command::STMT_CLOSE, Command::STMT_SEND_LONG_DATA][n % 2];
            (vec![silent.0, 0xff, 0xff, 0xff, 0x7f, 0, 0], None)
        }
        _ => (
            query(format!("SELECT {n} FROM test.missing")),
            Some("error 1146".to_owned()),
        ),
    }
}

fn wire(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in payloads {
        put_payload(&mut bytes, 0, payload);
    }
    bytes
}

/// OK, ERR, or the one value of a resultset.
fn answer(connection: &mut Connection) -> String {
    let mut next = 0;
    let mut packet = || {
        let (sequence_id, payload) = connection.read_packet().expect("an answer to each");
        next += 1;
        assert_eq!(sequence_id, next, "{}", payload.escape_ascii());
        payload
    };
    let first = packet();
    match first[0] {
        0 => "ok".to_owned(),
        0xff => format!("error {}", u16::from_le_bytes([first[1], first[2]])),
        _ => {
            let (_definition, row, end) = (packet(), packet(), packet());
            assert_eq!(end[0], 0xfe);
            String::from_utf8_lossy(&row[1..]).into_owned()
        }
    }
}

const COMMANDS: usize = 330;

fn answers_come_in_order(server: &Server) {
    let script = ScriptFile::new(SCRIPT);
    let mut proxy = script.proxy(&[server], &[]);
    let (payloads, answers): (Vec<_>, Vec<_>) = (0..COMMANDS).map(command).unzip();
    let bytes = wire(&payloads);
    // In one write, and in pieces that end anywhere.
    for size in [bytes.len(), 1000, 7] {
        let mut client = connect(&proxy);
        let connection = client.connection();
        for piece in bytes.chunks(size) {
            connection.send_bytes(piece).expect("the proxy is there");
        }
        for expected in answers.iter().flatten() {
            assert_eq!(answer(connection), *expected, "in pieces of {size}");
        }
        client.quit().expect("nothing is behind");
    }
    wait::until("the last hooks", DEADLINE, || {
        proxy.count_in_log("disconnected") == 3
    });
    proxy.terminate();
    assert_eq!(proxy.count_in_log(" session "), 0, "{:#?}", proxy.log());
}

#[test]
fn answers_come_in_order_on_mariadb() {
    answers_come_in_order(&MariaDb::start(&[]));
}

#[test]
fn answers_come_in_order_on_mysql97() {
    if let Some(server) = Mysql97::start(&[]) {
        answers_come_in_order(&server);
    }
}

fn query(sql: &str) -> Vec<u8> {
    [&[Command::QUERY.0], sql.as_bytes()].concat()
}

#[test]
fn what_stands_behind_a_scripts_close_is_not_done() {
    let server = MariaDb::start(&[]);
    server.query("CREATE TABLE test.t (n INT)");
    let script = ScriptFile::new(SCRIPT);
    let proxy = script.proxy(&[&server], &[]);
    let insert = |n: usize| query(&format!("INSERT INTO test.t VALUES ({n})"));
    let mut client = connect(&proxy);
    let connection = client.connection();
    let bytes = wire(&[insert(1), query("close 2"), insert(3), query("answer 4")]);
    connection.send_bytes(&bytes).expect("the proxy is there");
    assert_eq!(answer(connection), "ok");
    assert_eq!(answer(connection), "2");
    wait::until("the close", DEADLINE, || connection.is_closed());
    proxy.wait_for_log("disconnected", DEADLINE);
    assert_eq!(
        server.query("SELECT n FROM test.t"),
        [[Some("1".to_owned())]]
    );
}

#[test]
fn a_client_that_half_closes_behind_its_commands_gets_all_answers() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(SCRIPT);
    let proxy = script.proxy(&[&server], &[]);
    for last in ["several 9", "keep 9", "behind 9", "SELECT 9"] {
        let mut client = connect(&proxy);
        let connection = client.connection();
        let bytes = wire(&[query("SELECT SLEEP(0.2)"), query("several 2"), query(last)]);
        connection.send_bytes(&bytes).expect("the proxy is there");
        connection.shutdown_write().expect("it is open");
        for expected in ["0", "2", "9"] {
            assert_eq!(answer(connection), expected, "{last}");
        }
        wait::until("the close", DEADLINE, || connection.is_closed());
    }
}

#[test]
fn a_server_that_dies_answers_none_of_the_commands_that_wait() {
    let mut server = MariaDb::start(&[]);
    let script = ScriptFile::new(SCRIPT);
    let proxy = script.proxy(&[&server], &[]);
    let mut client = connect(&proxy);
    let connection = client.connection();
    let bytes = wire(&[
        query("answer 1"),
        query("SELECT SLEEP(3600)"),
        query("answer 3"),
    ]);
    connection.send_bytes(&bytes).expect("the proxy is there");
    assert_eq!(answer(connection), "1");
    let running = "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
    wait::until("the query runs", DEADLINE, || {
        !server.query(running).is_empty()
    });
    server.kill9();
    assert_eq!(answer(connection), "error 2013");
    wait::until("the close", DEADLINE, || connection.is_closed());
}

#[test]
fn a_stream_that_is_refused_is_the_answer() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(
        r#"
        function read_query(packet)
            if packet:sub(2) == "nothing" then
                proxy.queries:append(2, "\003DO 1", { resultset_is_needed = true })
            elseif packet:byte() == proxy.COM_QUERY then
                proxy.queries:append(1, "\018" .. ("\0"):rep(10))
                proxy.queries:append(2, "\003SELECT 1", { resultset_is_needed = true })
            else
                return
            end
            return proxy.PROXY_SEND_QUERY
        end
        function read_query_result(inj) if inj.query:find("DO", 1, true) then return proxy.PROXY_IGNORE_RESULT end end
        "#,
    );
    let proxy = script.proxy(&[&server], &[]);
    let mut client = connect(&proxy);
    let connection = client.connection();
    let bytes = wire(&[query("dump"), vec![Command::PING.0], query("nothing")]);
    connection.send_bytes(&bytes).expect("the proxy is there");
    assert_eq!(answer(connection), "error 1227");
    assert_eq!(answer(connection), "ok");
    proxy.wait_for_log("a result where the client waits for none", DEADLINE);
    proxy.wait_for_log("no result, and the client waits for one", DEADLINE);
}
