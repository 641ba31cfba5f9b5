//! Much data in one command: payloads around 16 MiB and above, files for LOAD DATA LOCAL INFILE, and MariaDB's
//! reports of how far it has come.

use std::{
    fs::File,
    io::{BufWriter, ErrorKind, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use protocol::{Capabilities, Command, packet::put_payload};
use testkit::{
    Client, Connection, Finished, Login, MariaDb, Mysql97, ProxyProcess, Server, command, process,
};

const DEADLINE: Duration = Duration::from_secs(60);
const PACKET_PAYLOAD_BYTES_MAX: usize = 0xff_ffff;
const NET_PACKET_TOO_LARGE: &[u8] = b"\xff\x81\x04";
const LOCAL_INFILE: u8 = 0xfb;
/// The start of an ERR packet that is a progress report.
const PROGRESS_REPORT: &[u8] = b"\xff\xff\xff";

fn proxy(server: &Server) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    ProxyProcess::start(env!("CARGO_BIN_EXE_mysql-proxy"), &[&backend])
}

fn connect(address: SocketAddr) -> Client {
    Client::connect(address, "adm", "adm").expect("it lets adm in")
}

/// Printable, and again only after a prime number of bytes, so that nothing can be swapped, lost or sent twice unnoticed.
fn noise(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        char::from(b'a' + (state >> 8) as u8 % 26)
    };
    let mut noise: String = (0..bytes.min(1_000_003)).map(next).collect();
    noise = noise.repeat(bytes.div_ceil(noise.len()));
    noise.truncate(bytes);
    noise
}

#[test]
fn mariadb_large_packets() {
    large_packets(&MariaDb::start(&[]));
}

#[test]
fn mysql97_large_packets() {
    if let Some(server) = Mysql97::start(&[]) {
        large_packets(&server);
    }
}

/// A query whose payload is as long as that, or whose only row's is, says its text back.
fn large_packets(server: &Server) {
    let proxy = proxy(server);
    let mut client = connect(proxy.address());
    let query_bytes = Command::QUERY.0.to_le_bytes().len() + "SELECT '' AS a".len();
    let row_bytes = b"\xfd\0\0\0".len();
    for bytes in [
        PACKET_PAYLOAD_BYTES_MAX - 1 - query_bytes,
        PACKET_PAYLOAD_BYTES_MAX - query_bytes,
        PACKET_PAYLOAD_BYTES_MAX + 1 - query_bytes,
        PACKET_PAYLOAD_BYTES_MAX - row_bytes,
        PACKET_PAYLOAD_BYTES_MAX + 1 - row_bytes,
        40 * 1024 * 1024,
    ] {
        let text = noise(bytes);
        let said = client.value(&format!("SELECT '{text}' AS a"));
        assert!(
            said.is_ok_and(|said| said == text),
            "{bytes} bytes come back as they are"
        );
    }
    client.ping().expect("the session goes on");
}

#[test]
fn mariadb_too_large_a_packet() {
    too_large_a_packet(&MariaDb::start(&["--max-allowed-packet=1M"]));
}

#[test]
fn mysql97_too_large_a_packet() {
    if let Some(server) = Mysql97::start(&["--max-allowed-packet=1M"]) {
        too_large_a_packet(&server);
    }
}

/// The server's own error, or the end where it does not read on; never a wait.
fn too_large_a_packet(server: &Server) {
    let proxy = proxy(server);
    for bytes in [2 * 1024 * 1024, 20 * 1024 * 1024] {
        let mut client = connect(proxy.address());
        // It may answer, or close, before it has read all of it.
        let sent = client.send_query(&format!("SELECT '{}'", noise(bytes)));
        match client.connection().read_packet() {
            Ok((_, payload)) => assert!(payload.starts_with(NET_PACKET_TOO_LARGE)),
            Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "{sent:?}"),
        }
        let others = connect(proxy.address()).ping();
        others.expect("the next client is served");
    }
}

#[test]
fn mariadb_loads_files() {
    load_files(&MariaDb::start(&[]), |address| {
        let mut mariadb = command::mariadb(address);
        mariadb.arg("--local-infile=1");
        mariadb
    });
}

#[test]
fn mysql97_loads_files() {
    if let Some(server) = Mysql97::start(&[]) {
        load_files(&server, |address| {
            let mut mysql = command::mysql97(address);
            mysql.arg("--local-infile=1");
            mysql
        });
    }
}

fn load_files(server: &Server, client: fn(SocketAddr) -> std::process::Command) {
    let proxy = proxy(server);
    for table in ["direct", "proxied", "refuses"] {
        let columns = "(n INT NOT NULL, text VARCHAR(2000) NOT NULL)";
        server.query(&format!(
            "CREATE TABLE test.{table} {columns} DEFAULT CHARSET latin1"
        ));
    }
    server.query(
        "CREATE TRIGGER test.refuses BEFORE INSERT ON test.refuses FOR EACH ROW \
         IF NEW.n = 5 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not five'; END IF",
    );
    let (file, empty) = files(server.directory());
    let load = |address, file: &Path, table: &str| -> Finished {
        let mut client = client(address);
        let file = file.display();
        let load = format!("LOAD DATA LOCAL INFILE '{file}' INTO TABLE {table}");
        client.arg(format!("--execute={load}; SELECT 'goes on'"));
        client.args(["--force", "test"]);
        process::run(client, DEADLINE)
    };
    for (address, table) in [(server.address(), "direct"), (proxy.address(), "proxied")] {
        assert_eq!(load(address, &file, table).expect_success(), b"goes on\n");
        assert_eq!(load(address, &empty, table).expect_success(), b"goes on\n");
    }
    let sums = ["direct", "proxied"].map(|table| {
        let sums = "COUNT(*), SUM(LENGTH(text)), SUM(CRC32(text)), SUM(n * CRC32(text) % 1000003)";
        server.query(&format!("SELECT {sums} FROM test.{table}"))
    });
    assert_eq!(sums[0], sums[1]);
    assert_eq!(sums[0][0][0], Some(LINES.to_string()));
    for (file, table, error) in [
        (&file, "refuses", "not five"),
        (&file, "no_such_table", "1146"),
        (&PathBuf::from("/no/such/file"), "proxied", "/no/such/file"),
    ] {
        let refused = load(proxy.address(), file, table);
        assert!(
            refused.stderr.contains(error),
            "{table}: {}",
            refused.stderr
        );
        assert_eq!(refused.text(), "goes on\n", "{table}: {}", refused.stderr);
    }
    assert_eq!(
        server.query("SELECT * FROM test.refuses"),
        Vec::<Vec<_>>::new()
    );
}

/// 50 MB.
const LINES: usize = 50_000;
const LINE_BYTES: usize = 1_000;

/// A long one and one of no bytes.
fn files(directory: &Path) -> (PathBuf, PathBuf) {
    let (long, empty) = (directory.join("long"), directory.join("empty"));
    File::create(&empty).expect("the directory can be written");
    let file = File::create(&long).expect("the directory can be written");
    let mut file = BufWriter::new(file);
    let noise = noise(2 * LINE_BYTES);
    for n in 0..LINES {
        let text = &noise[n % LINE_BYTES..][..LINE_BYTES - 8];
        writeln!(file, "{n:06}\t{text}").expect("the directory can be written");
    }
    file.flush().expect("the directory can be written");
    (long, empty)
}

#[test]
fn mariadb_reports_its_progress() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(&server);
    for login in [
        Login::new("adm", "adm"),
        Login::new("adm", "adm").without(Capabilities::DEPRECATE_EOF),
    ] {
        let login = login
            .database("test")
            .with(Capabilities::MARIADB_PROGRESS | Capabilities::LOCAL_FILES)
            .without(Capabilities::LONG_PASSWORD);
        let mut client = login
            .connect(Connection::tcp(proxy.address()).unwrap())
            .unwrap();
        for sql in [
            "SET progress_report_time = 1",
            "CREATE TEMPORARY TABLE numbers (n INT) ENGINE=MyISAM",
            "INSERT INTO numbers SELECT seq FROM seq_1_to_50000",
        ] {
            client.query(sql).unwrap();
        }
        client
            .send_query("ALTER TABLE numbers ADD KEY (n), ADD COLUMN c CHAR(100)")
            .unwrap();
        assert!(reports_before_ok(&mut client) > 0);

        client
            .send_query("LOAD DATA LOCAL INFILE 'numbers' INTO TABLE numbers (n)")
            .unwrap();
        let (sequence_id, request) = client.connection().read_packet().unwrap();
        assert_eq!(request.first(), Some(&LOCAL_INFILE));
        let mut file = Vec::new();
        let next = put_payload(&mut file, sequence_id + 1, "7\n".repeat(400_000).as_bytes());
        put_payload(&mut file, next, b"");
        client.connection().send_bytes(&file).unwrap();
        assert!(reports_before_ok(&mut client) > 0);
        assert_eq!(
            client.value("SELECT COUNT(*) FROM numbers").unwrap(),
            "450000"
        );
    }
}

/// How many reports stand before the OK.
fn reports_before_ok(client: &mut Client) -> usize {
    for reports in 0.. {
        let (_, payload) = client.connection().read_packet().expect("it is there");
        if payload.first() == Some(&0) {
            return reports;
        }
        let text = payload.escape_ascii();
        assert!(payload.starts_with(PROGRESS_REPORT), "{text}");
    }
    unreachable!("it ends with OK, or a packet that is neither")
}
