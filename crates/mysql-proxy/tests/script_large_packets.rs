//! Payloads of 16 MiB and more, which are several packets, where scripts have to do with them: commands and rows are
//! whole in Lua, and what takes the place of another payload has packets of its own.

mod scripted;

use protocol::Capabilities;
use testkit::{Client, Connection, Login, MariaDb, Mysql97, Server};

use scripted::{DEADLINE, ScriptFile, value};

const PACKET_PAYLOAD_BYTES_MAX: usize = 0xff_ffff;

/// Does with a query what its first word says, and tells what it has seen.
const SCRIPT: &str = r#"
    local function answer(value)
        proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
            fields = { { name = "v" } }, rows = { { value } } } }
        return proxy.PROXY_SEND_RESULT
    end
    local how
    function read_query(packet)
        if packet:byte() ~= proxy.COM_QUERY then return end
        how = packet:sub(2):match("^%a+")
        print("read_query", how, #packet)
        if how == "inject" or how == "keep" then
            local query = "\003" .. packet:sub(2 + #how)
            proxy.queries:append(1, query, { resultset_is_needed = how == "keep" })
            return proxy.PROXY_SEND_QUERY
        elseif how == "shrink" then
            proxy.queries:append(1, "\003SELECT " .. #packet)
            return proxy.PROXY_SEND_QUERY
        elseif how == "grow" then
            local length = tonumber(packet:match("%d+"))
            proxy.queries:append(1, "\003SELECT '" .. ("g"):rep(length) .. "'")
            return proxy.PROXY_SEND_QUERY
        elseif how == "answer" then
            return answer(("a"):rep(tonumber(packet:match("%d+"))))
        end
    end
    function read_query_result(inj)
        if how ~= "keep" then return end
        local rows = {}
        for row in inj.resultset.rows do
            local cells = {}
            for i = 1, #inj.resultset.fields do
                local cell = row[i]
                cells[i] = cell and cell:sub(1, 1) .. #cell .. cell:sub(-1) or "NULL"
            end
            rows[#rows + 1] = table.concat(cells, ",")
        end
        assert(#rows == inj.resultset.row_count)
        print("rows", table.concat(rows, " "))
    end
"#;

fn connect(login: &Login, address: std::net::SocketAddr) -> Client {
    let connection = Connection::tcp(address).expect("it listens");
    login.connect(connection).expect("it lets adm in")
}

fn logins() -> [Login; 2] {
    let login = Login::new("adm", "adm");
    [
        login.clone(),
        login.without(Capabilities::DEPRECATE_EOF | Capabilities::PLUGIN_AUTH_LENENC_DATA),
    ]
}

/// Text that is printable and differs from one byte to the next.
fn text(bytes: usize) -> String {
    let mut text = "abcdefghijklmnopqrstuvw".repeat(bytes / 23 + 1);
    text.truncate(bytes);
    text
}

fn commands_and_rows_are_whole(server: &Server) {
    let file = ScriptFile::new(SCRIPT);
    let proxy = file.proxy(&[server], &[]);
    // Attributes stand before a query where the server knows them; scripts do not see them.
    let login = Login::new("adm", "adm").with(Capabilities::QUERY_ATTRIBUTES);
    let mut client = connect(&login, proxy.address());
    for bytes in [
        PACKET_PAYLOAD_BYTES_MAX - 2,
        PACKET_PAYLOAD_BYTES_MAX - 1,
        PACKET_PAYLOAD_BYTES_MAX,
        PACKET_PAYLOAD_BYTES_MAX + 1,
        2 * PACKET_PAYLOAD_BYTES_MAX,
    ] {
        // The command byte counts too.
        for how in ["", "inject ", "keep "] {
            let start = format!("{how}SELECT '");
            let text = text(bytes - 1 - start.len() - "'".len());
            let said = value(&mut client, &format!("{start}{text}'"));
            assert!(said == text, "`{how}` of {bytes} bytes comes back as it is");
            let how = if how.is_empty() { "SELECT" } else { how.trim() };
            proxy.wait_for_log(&format!("read_query\t{how}\t{bytes}"), DEADLINE);
        }
        let shrink = format!("shrink {}", text(bytes - 1 - "shrink ".len()));
        assert_eq!(value(&mut client, &shrink), bytes.to_string());
        let grow = format!("grow {}", bytes - 1 - "SELECT ''".len());
        assert_eq!(value(&mut client, &grow).len(), bytes - 10);
        // The cell's length takes four bytes of the row up to 16 MiB, and nine above.
        for cell in [bytes - 4, bytes - 9] {
            let answer = value(&mut client, &format!("answer {cell}"));
            assert!(answer.len() == cell && answer.bytes().all(|byte| byte == b'a'));
        }
    }
    client.ping().expect("the session goes on");
    assert_eq!(proxy.count_in_log("(read_query"), 0);
}

#[test]
fn mariadb_commands_and_rows_are_whole() {
    commands_and_rows_are_whole(&MariaDb::start(&[]));
}

#[test]
fn mysql97_commands_and_rows_are_whole() {
    if let Some(server) = Mysql97::start(&[]) {
        commands_and_rows_are_whole(&server);
    }
}

fn long_rows_are_iterated(server: &Server) {
    let file = ScriptFile::new(SCRIPT);
    // Rows of 120 MB take their time in a proxy that is not optimized.
    let proxy = file.proxy(&[server], &["--lua-hook-timeout=20"]);
    let cells = |row: &[(&str, usize)]| {
        let cell = |&(byte, length)| format!("REPEAT('{byte}', {length})");
        row.iter().map(cell).collect::<Vec<_>>().join(", ")
    };
    // Rows that end with a packet, some bytes before, some behind; a length of nine bytes begins with 0xfe.
    let rows: [&[(&str, usize)]; 6] = [
        &[("a", PACKET_PAYLOAD_BYTES_MAX - 4 - 2), ("b", 1)],
        &[("c", 1), ("d", PACKET_PAYLOAD_BYTES_MAX - 4 - 1)],
        &[("e", 3), ("f", 5)],
        &[("g", 9_000_000), ("h", 12_000_000)],
        &[("i", 17_000_000), ("j", 17_000_000)],
        &[("k", 0), ("l", 2 * PACKET_PAYLOAD_BYTES_MAX - 9 - 1)],
    ];
    let query = rows.map(|row| format!("SELECT {}", cells(row)));
    let query = format!("keep {}", query.join(" UNION ALL "));
    let expected = rows.map(|row| {
        let cell = |&(byte, length)| match length {
            0 => "0".to_owned(),
            _ => format!("{byte}{length}{byte}"),
        };
        row.iter().map(cell).collect::<Vec<_>>().join(",")
    });
    for login in logins() {
        let mut client = connect(&login, proxy.address());
        let lines = proxy.log().len();
        let result = client.query(&query).expect("it is passed on");
        let lengths = result.rows.iter().map(|row| {
            let length = |cell: &Option<Vec<u8>>| cell.as_ref().map_or(0, Vec::len);
            (length(&row[0]), length(&row[1]))
        });
        let sent = rows.map(|row| (row[0].1, row[1].1));
        assert_eq!(lengths.collect::<Vec<_>>(), sent);
        proxy.wait_for_log_after(lines, &format!("rows\t{}", expected.join(" ")), DEADLINE);
        client.ping().expect("the session goes on");
    }
    assert_eq!(proxy.count_in_log("(read_query"), 0);
}

#[test]
fn mariadb_long_rows_are_iterated() {
    long_rows_are_iterated(&MariaDb::start(&[]));
}

#[test]
fn mysql97_long_rows_are_iterated() {
    if let Some(server) = Mysql97::start(&[]) {
        long_rows_are_iterated(&server);
    }
}

#[test]
fn an_injected_query_that_is_too_long_for_the_server_ends_the_session_in_its_words() {
    let server = MariaDb::start(&["--max-allowed-packet=1M"]);
    let file = ScriptFile::new(SCRIPT);
    let proxy = file.proxy(&[&server], &[]);
    for bytes in [2 << 20, 40 << 20] {
        let mut client = connect(&Login::new("adm", "adm"), proxy.address());
        let error = client
            .query(&format!("grow {bytes}"))
            .expect_err("the server does not take it");
        // Its own error, or the loss of a server that closed before it was heard.
        assert!(
            matches!(error.code(), Some(1153 | 2013)),
            "{bytes}: {error}"
        );
        testkit::wait::until("the close", DEADLINE, || client.connection().is_closed());
    }
    let mut client = connect(&Login::new("adm", "adm"), proxy.address());
    client.ping().expect("the next client is served");
}
