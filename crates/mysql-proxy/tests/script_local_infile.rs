//! LOAD DATA LOCAL INFILE where a script has a hand in it: the client's file reaches the server as without one, or not
//! at all where the script says so, and no other command is ever taken for a file.

mod scripted;

use std::net::SocketAddr;

use protocol::{Capabilities, Command, packet::put_payload};
use testkit::{Client, Connection, Login, MariaDb, Mysql97, Server, wait};

use scripted::{DEADLINE, ScriptFile, value};

const LOCAL_INFILE: u8 = 0xfb;
/// How COM_STATISTICS is answered: nothing else looks like it.
const STATISTICS: &[u8] = b"Uptime: ";
const LOAD: &str = "LOAD DATA LOCAL INFILE 'numbers' INTO TABLE test.numbers";

/// A packet's sequence id and payload.
type Packet = (u8, Vec<u8>);

fn login() -> Login {
    Login::new("adm", "adm").with(Capabilities::LOCAL_FILES)
}

fn connect(login: &Login, address: SocketAddr) -> Client {
    let connection = Connection::tcp(address).expect("it listens");
    login.connect(connection).expect("it lets adm in")
}

/// The response to a query in which the server asks for that many files.
fn respond(client: &mut Client, sql: &str, files: &[&[u8]]) -> Vec<Packet> {
    let mut statistics = Vec::new();
    put_payload(&mut statistics, 0, &[Command::STATISTICS.0]);
    client.send_query(sql).expect("it can be sent");
    let connection = client.connection();
    if files.is_empty() {
        connection.send_bytes(&statistics).expect("it can be sent");
    }
    let mut files = files.iter();
    let mut response = Vec::new();
    loop {
        let packet = connection.read_packet();
        let packet = packet.unwrap_or_else(|error| {
            panic!(
                "{sql}: {error} behind {} packets: {:?}",
                response.len(),
                response.last()
            )
        });
        if packet.1.starts_with(STATISTICS) {
            assert_eq!(files.len(), 0, "{sql}: {response:?}");
            return response;
        }
        if packet.1.first() == Some(&LOCAL_INFILE) {
            let mut bytes = file(packet.0, files.next().expect("a file for each request"));
            if files.len() == 0 {
                bytes.extend_from_slice(&statistics);
            }
            connection.send_bytes(&bytes).expect("it can be sent");
        }
        response.push(packet);
    }
}

/// In packets of 1,000 bytes, and the empty one.
fn file(request: u8, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut next = request.wrapping_add(1);
    for chunk in text.chunks(1000) {
        next = put_payload(&mut bytes, next, chunk);
    }
    put_payload(&mut bytes, next, b"");
    bytes
}

const KEEPS: &str = r#"
    function read_query(packet)
        if packet:byte() ~= proxy.COM_QUERY then return end
        proxy.queries:append(1, packet, { resultset_is_needed = true })
        return proxy.PROXY_SEND_QUERY
    end
    function read_query_result(inj)
        print("result", inj.resultset.query_status, inj.resultset.raw:byte())
    end
"#;

/// Scripts that change nothing of what is said.
const SCRIPTS: [&str; 3] = [
    "function read_query(packet) end",
    r#"
    function read_query(packet)
        if packet:byte() ~= proxy.COM_QUERY then return end
        proxy.queries:append(1, packet)
        return proxy.PROXY_SEND_QUERY
    end
    function read_query_result(inj) assert(inj.resultset.row_count) end
    "#,
    KEEPS,
];

/// What a client says, and what it hears.
fn dialogue(address: SocketAddr) -> Vec<Vec<Packet>> {
    let many = (0..100_000)
        .map(|n| format!("{n}\n"))
        .collect::<String>()
        .into_bytes();
    let refuses = LOAD.replace("test.numbers", "test.refuses");
    let missing = LOAD.replace("test.numbers", "test.missing");
    let several = format!("SELECT 1; {LOAD}; SELECT COUNT(*) FROM test.numbers");
    let count = "SELECT COUNT(*) FROM test.numbers";
    let mut client = connect(&login(), address);
    let mut said: Vec<_> = [
        ("TRUNCATE test.numbers", &[][..]),
        (LOAD, &[&b"1\n2\n3\n"[..]]),
        (LOAD, &[&many]),
        // The client refuses.
        (LOAD, &[b""]),
        // The server refuses: before it has asked, amid the file, behind it.
        (&missing, &[]),
        (&refuses, &[&many]),
        (&refuses, &[b"5\n"]),
        (count, &[]),
        (&several, &[b"7\n8\n"]),
        (count, &[]),
    ]
    .map(|(sql, files)| respond(&mut client, sql, files))
    .into();
    let mut client = connect(&login().without(Capabilities::LOCAL_FILES), address);
    said.push(respond(&mut client, LOAD, &[]));
    said
}

fn start_tables(server: &Server) {
    for sql in [
        "CREATE TABLE test.numbers (n INT)",
        "CREATE TABLE test.refuses (n INT)",
        "CREATE TRIGGER test.refuses BEFORE INSERT ON test.refuses FOR EACH ROW \
         IF NEW.n = 5 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not five'; END IF",
    ] {
        server.query(sql);
    }
}

fn files_are_loaded_as_without_a_script(server: &Server) {
    start_tables(server);
    let direct = dialogue(server.address());
    for script in SCRIPTS {
        let file = ScriptFile::new(script);
        let proxy = file.proxy(&[server], &[]);
        let proxied = dialogue(proxy.address());
        for (n, (direct, proxied)) in direct.iter().zip(&proxied).enumerate() {
            assert_eq!(direct, proxied, "step {n} with {script}");
        }
        assert_eq!(proxy.count_in_log("(read_query_result)"), 0);
        if script == KEEPS {
            // The hook is there for the request, not for what becomes of it.
            proxy.wait_for_log("result\tnil\t251", DEADLINE);
        }
    }
}

#[test]
fn mariadb_loads_files_as_without_a_script() {
    files_are_loaded_as_without_a_script(&MariaDb::start(&[]));
}

#[test]
fn mysql97_loads_files_as_without_a_script() {
    if let Some(server) = Mysql97::start(&[]) {
        files_are_loaded_as_without_a_script(&server);
    }
}

const DECLINES: &str = r#"
    function read_query(packet)
        if packet:byte() ~= proxy.COM_QUERY then return end
        if packet:find("twice", 1, true) then
            proxy.queries:append(1, "\003SELECT 'first'")
        end
        proxy.queries:append(2, packet, { resultset_is_needed = true })
        if packet:find("then", 1, true) then
            proxy.queries:append(3, "\003SELECT 'last'", { resultset_is_needed = true })
        end
        return proxy.PROXY_SEND_QUERY
    end
    function read_query_result(inj)
        if inj.id ~= 2 or inj.query:find("twice", 1, true) then return end
        local raw = inj.resultset.raw
        if raw:byte() ~= 251 then return end
        if inj.query:find("then", 1, true) then return proxy.PROXY_IGNORE_RESULT end
        proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = "no " .. raw:sub(2) .. " today" }
        return proxy.PROXY_SEND_RESULT
    end
"#;

fn a_script_declines_files(server: &Server) {
    start_tables(server);
    let file = ScriptFile::new(DECLINES);
    let proxy = file.proxy(&[server], &[]);
    let mut client = connect(&login(), proxy.address());
    let error = client.query(LOAD).expect_err("the script declines");
    assert!(error.to_string().contains("no numbers today"), "{error}");
    let several = format!("{LOAD}; {LOAD}; SELECT 2");
    let error = client.query(&several).expect_err("the script declines");
    assert!(error.to_string().contains("no numbers today"), "{error}");
    assert_eq!(value(&mut client, &format!("{LOAD} /* then */")), "last");
    // The client has its response, and is asked for no file that it could only take for another one.
    assert_eq!(value(&mut client, &format!("{LOAD} /* twice */")), "first");
    proxy.wait_for_log("a result where the client waits for none", DEADLINE);
    let count = "SELECT COUNT(*) FROM test.numbers";
    assert_eq!(value(&mut client, count), "0");
    // One that it does not decline is loaded still.
    let mut client = connect(&login(), proxy.address());
    let select = format!("SELECT 1; {LOAD}");
    respond(&mut client, &select, &[b"1\n2\n"]);
    assert_eq!(value(&mut client, count), "2");
}

#[test]
fn a_script_declines_files_of_mariadb() {
    a_script_declines_files(&MariaDb::start(&[]));
}

#[test]
fn a_script_declines_files_of_mysql97() {
    if let Some(server) = Mysql97::start(&[]) {
        a_script_declines_files(&server);
    }
}

#[test]
fn what_is_too_much_to_keep_asks_for_no_file() {
    let server = MariaDb::start(&[]);
    start_tables(&server);
    let script = ScriptFile::new(KEEPS);
    let proxy = script.proxy(&[&server], &["--lua-result-limit=1000"]);
    let mut client = connect(&login(), proxy.address());
    let error = client.query(&format!("SELECT REPEAT('x', 2000); {LOAD}"));
    let error = error.expect_err("it is too much");
    assert!(error.to_string().contains("--lua-result-limit"), "{error}");
    let count = "SELECT COUNT(*) FROM test.numbers";
    assert_eq!(value(&mut client, count), "0");
}

#[test]
fn a_client_that_leaves_instead_of_sending_its_file_leaves_nothing() {
    let server = MariaDb::start(&[]);
    start_tables(&server);
    for script in SCRIPTS {
        let script = format!("{script} function disconnect_client() print('disconnected') end");
        let script = ScriptFile::new(&script);
        let mut proxy = script.proxy(&[&server], &[]);
        for is_amid_file in [false, true] {
            let mut client = connect(&login(), proxy.address());
            client.send_query(LOAD).expect("it can be sent");
            let (request, _) = client.connection().read_packet().expect("a request");
            if is_amid_file {
                let mut bytes = file(request, b"1\n2\n3\n");
                bytes.truncate(9);
                let sent = client.connection().send_bytes(&bytes);
                sent.expect("it can be sent");
            }
        }
        let sessions = "SELECT 1 FROM information_schema.processlist WHERE user = 'adm'";
        wait::until("the server's sessions end", DEADLINE, || {
            server.query(sessions).is_empty()
        });
        wait::until("the last hooks", DEADLINE, || {
            proxy.count_in_log("disconnected") == 2
        });
        proxy.terminate();
        assert_eq!(proxy.count_in_log("disconnected"), 2);
        assert_eq!(proxy.count_in_log("(warning)"), 0, "{:#?}", proxy.log());
        assert!(server.query("SELECT n FROM test.numbers").is_empty());
    }
}

/// A script asks for a file of the client's, which is for nobody.
const ASKS: &str = r#"
    function read_query(packet)
        print("command", packet:byte())
        if packet:sub(2) ~= "give" then return end
        proxy.response = { type = proxy.MYSQLD_PACKET_RAW, packets = { "\251file" } }
        return proxy.PROXY_SEND_RESULT
    end
"#;

#[test]
fn a_file_that_a_script_asks_for_goes_nowhere() {
    let server = MariaDb::start(&[]);
    let script = ScriptFile::new(ASKS);
    let proxy = script.proxy(&[&server], &[]);
    let mut client = connect(&login(), proxy.address());
    let evil = b"\x03CREATE TABLE test.evil (n INT)";
    for file in [&evil[..], &[b'x'; 100_000], b""] {
        let response = respond(&mut client, "give", &[file]);
        let [(1, request), (_, ok)] = &response[..] else {
            panic!("a request and an OK, but {response:?}");
        };
        assert_eq!((request.as_slice(), ok[0]), (&b"\xfbfile"[..], 0));
    }
    assert_eq!(value(&mut client, "SELECT 'goes on'"), "goes on");
    assert_eq!(server.query("SHOW TABLES FROM test LIKE 'evil'").len(), 0);
    // Each is followed by COM_STATISTICS; the files are no commands.
    assert_eq!(proxy.count_in_log("command\t"), 3 + 3 + 1);
}
