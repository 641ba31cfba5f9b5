//! The compressed protocol towards clients and towards servers, each for itself, with real clients and servers.

mod scripted;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use protocol::Capabilities;
use protocol::auth::mysql_native_password;
use protocol::connection_phase::{HandshakeResponse41, HandshakeV10};
use protocol::packet::put_payload;
use testkit::{
    Client, Connection, Direction, FaultLink, MariaDb, Mysql97, ProxyProcess, ScratchDirectory,
    Server, command, process,
};
use transport::compression::{Algorithm, Codec, Compression, Role};

use scripted::{BINARY, ScriptFile};

const DEADLINE: Duration = Duration::from_secs(120);

/// How a client asks for compression.
#[derive(Debug, Clone, Copy)]
struct Asking {
    program: fn(SocketAddr) -> Command,
    options: &'static [&'static str],
    /// What it gets of a proxy that offers everything.
    algorithm: Option<&'static str>,
}

const ASKING: [Asking; 6] = [
    Asking {
        program: command::mariadb,
        options: &[],
        algorithm: None,
    },
    Asking {
        program: command::mariadb,
        options: &["--compress"],
        algorithm: Some("zlib"),
    },
    Asking {
        program: command::mysql97,
        options: &[],
        algorithm: None,
    },
    Asking {
        program: command::mysql97,
        options: &["--compression-algorithms=zlib"],
        algorithm: Some("zlib"),
    },
    Asking {
        program: command::mysql97,
        options: &[
            "--compression-algorithms=zstd",
            "--zstd-compression-level=7",
        ],
        algorithm: Some("zstd"),
    },
    Asking {
        program: command::mysql97,
        options: &["--compression-algorithms=zstd,zlib,uncompressed"],
        algorithm: Some("zlib"),
    },
];

/// So many of these use MariaDB's program, which is always there.
const MARIADB: usize = 2;

/// Those whose program is there.
fn asking() -> impl Iterator<Item = Asking> {
    let has_mysql = Mysql97::prefix().join("bin/mysql").exists();
    let known = if has_mysql { ASKING.len() } else { MARIADB };
    ASKING.into_iter().take(known)
}

fn run(asking: Asking, address: SocketAddr, arguments: &[&str]) -> String {
    let mut client = (asking.program)(address);
    client.args(asking.options).args(arguments);
    let said = process::run(client, DEADLINE).expect_success();
    String::from_utf8_lossy(&said).into_owned()
}

/// What the server says of its side: `None` where it is not compressed.
fn server_side(asking: Asking, address: SocketAddr) -> Option<String> {
    let said = run(asking, address, &["-e", "SHOW STATUS LIKE 'Compression%'"]);
    let value = |name: &str| {
        let mut lines = said.lines().filter_map(|line| line.split_once('\t'));
        let found = lines.find(|(key, _)| *key == name);
        found.map(|(_, value)| value.to_owned())
    };
    match value("Compression").expect("a server knows").as_str() {
        "ON" => {}
        _ => return None,
    }
    // MariaDB does not say how: there is one way.
    let algorithm = value("Compression_algorithm");
    Some(algorithm.unwrap_or_else(|| "zlib".to_owned()))
}

fn proxy(server: &Server, more: &[&str]) -> ProxyProcess {
    let backend = format!("--proxy-backend-addresses={}", server.address());
    ProxyProcess::start(BINARY, &[&[backend.as_str()], more].concat())
}

fn each_server(test: impl Fn(&Server, &[&str])) {
    test(&MariaDb::start(&["--local-infile=1"]), &["zlib"]);
    if let Some(server) = Mysql97::start(&["--local-infile=1"]) {
        test(&server, &["zlib", "zstd"]);
    }
}

/// Bytes that compress badly, in lines.
fn noise(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_u32;
    let next = |n: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        match n % 50 {
            49 => '\n',
            _ => char::from(b'0' + (state >> 8) as u8 % 75),
        }
    };
    let noise: String = (0..bytes).map(next).collect();
    noise.replace('\\', "~")
}

/// Much in both directions, and much in one packet.
struct Work {
    _directory: ScratchDirectory,
    statements: PathBuf,
}

impl Work {
    fn new() -> Self {
        let directory = ScratchDirectory::new();
        let file = directory.file("lines");
        fs::write(&file, noise(2_000_000)).expect("the directory is ours");
        let long = noise(1_000_000).replace(['\n', '\''], " ");
        let load = format!(
            "LOAD DATA LOCAL INFILE '{}' INTO TABLE fact",
            file.display()
        );
        let mut sql = String::new();
        let statements = [
            "SELECT 1",
            "CREATE TEMPORARY TABLE fact (line VARCHAR(60) CHARACTER SET latin1)",
            &load,
            "SELECT COUNT(*), SUM(CRC32(line)) FROM fact",
            // In one command, behind a result: client and server count on from different numbers.
            &format!(
                "DELIMITER $$\nSELECT * FROM fact LIMIT 1000; {load}; SELECT COUNT(*) FROM fact$$\nDELIMITER "
            ),
            &format!("SELECT LENGTH('{long}'), CRC32('{long}')"),
            // A statement of several compressed packets, and what its client says behind that.
            &format!("/* {} */ {load}", &long[..200_000]),
            "SELECT COUNT(*), SUM(CRC32(line)) FROM fact",
            "SELECT line FROM fact LIMIT 20000",
            "SELECT REPEAT('0123456789', 1700000)",
            "PREPARE s FROM 'SELECT CONCAT(?, REPEAT(?, 10))'",
            "SET @a = 'a'",
            "EXECUTE s USING @a, @a",
            "SELECT 'done'",
        ];
        for statement in statements {
            writeln!(sql, "{statement};").expect("a string takes it");
        }
        let statements = directory.file("statements");
        fs::write(&statements, sql).expect("the directory is ours");
        Self {
            _directory: directory,
            statements,
        }
    }

    fn run(&self, asking: Asking, address: SocketAddr, more: &[&str]) -> Vec<u8> {
        let mut client = (asking.program)(address);
        client.args(asking.options).args(more);
        client.args([
            "--local-infile=1",
            "--max-allowed-packet=128M",
            "--comments",
            "test",
        ]);
        client.stdin(Stdio::from(
            File::open(&self.statements).expect("it was written"),
        ));
        process::run(client, DEADLINE).expect_success()
    }
}

#[test]
fn mariadb_each_client_with_each_way_towards_the_server() {
    each_client(&MariaDb::start(&["--local-infile=1"]), &["zlib"]);
}

#[test]
fn mysql97_each_client_with_each_way_towards_the_server() {
    if let Some(server) = Mysql97::start(&["--local-infile=1"]) {
        each_client(&server, &["zlib", "zstd"]);
    }
}

fn each_client(server: &Server, able: &[&str]) {
    let work = Work::new();
    let expected = work.run(ASKING[0], server.address(), &[]);
    assert!(expected.len() > 17_000_000, "{} bytes", expected.len());
    for way in ["off", "as-client", "zlib", "zstd"] {
        let proxy = proxy(server, &[&format!("--server-compression={way}")]);
        for asking in asking() {
            assert!(
                work.run(asking, proxy.address(), &[]) == expected,
                "{asking:?}, {way}: not what it is without the proxy"
            );
            let wanted = match way {
                "off" => None,
                // What the server does not offer becomes what it does.
                "as-client" => asking.algorithm.map(|wanted| match able.contains(&wanted) {
                    true => wanted,
                    false => "zlib",
                }),
                way => Some(way).filter(|way| able.contains(way)),
            };
            assert_eq!(
                server_side(asking, proxy.address()).as_deref(),
                wanted,
                "{asking:?}, {way}"
            );
        }
    }
}

#[test]
fn the_clients_side_is_compressed_where_it_asks_and_we_offer() {
    each_server(|server, _| {
        for (offered, options) in [
            (&["zlib", "zstd"][..], &[][..]),
            (&["zlib"], &["--client-compression=zlib"]),
            (&["zstd"], &["--client-compression=zstd"]),
            (&[], &["--client-compression=off"]),
        ] {
            let proxy = proxy(server, options);
            for asking in asking() {
                // A program that insists on what is not offered does not log in.
                let is_offered = asking
                    .algorithm
                    .is_none_or(|wanted| offered.contains(&wanted));
                if !is_offered && asking.options != ["--compress"] {
                    continue;
                }
                let link = FaultLink::to(proxy.address());
                let said = run(
                    asking,
                    link.address(),
                    &["-e", "SELECT REPEAT('0', 1000000)"],
                );
                assert_eq!(said.trim().len(), 1_000_000);
                let bytes = link.recorded(Direction::ToClient).len();
                let is_compressed = asking.algorithm.is_some() && is_offered;
                assert_eq!(
                    bytes < 20_000,
                    is_compressed,
                    "{asking:?} {offered:?}: {bytes}"
                );
            }
        }
    });
}

/// The server's certificates are its own, the clients' are of the proxy's making.
#[test]
fn under_tls_on_either_side() {
    let Some(server) = Mysql97::start(&["--local-infile=1"]) else {
        return;
    };
    let work = Work::new();
    let expected = work.run(ASKING[0], server.address(), &[]);
    for server_tls in ["DISABLED", "REQUIRED"] {
        let mode = format!("--server-ssl-mode={server_tls}");
        let proxy = proxy(&server, &["--server-compression=as-client", &mode]);
        for asking in [ASKING[3], ASKING[4]] {
            for client_tls in ["--ssl-mode=DISABLED", "--ssl-mode=REQUIRED"] {
                let said = work.run(asking, proxy.address(), &[client_tls]);
                assert!(said == expected, "{asking:?}, {client_tls}, {mode}");
                let status =
                    "SHOW STATUS WHERE Variable_name IN ('Compression_algorithm', 'Ssl_version')";
                let said = run(asking, proxy.address(), &[client_tls, "-e", status]);
                let algorithm = asking.algorithm.expect("it asks for one");
                assert!(said.contains(algorithm), "{asking:?}: {said}");
                assert_eq!(said.contains("TLSv1"), server_tls == "REQUIRED", "{said}");
            }
        }
    }
}

#[test]
fn what_goes_through_untouched_is_compressed_by_its_ends() {
    let Some(server) = Mysql97::start(&["--local-infile=1"]) else {
        return;
    };
    let work = Work::new();
    let expected = work.run(ASKING[0], server.address(), &[]);
    let proxy = proxy(&server, &["--client-ssl-mode=PASSTHROUGH"]);
    for asking in [ASKING[3], ASKING[4]] {
        let said = work.run(asking, proxy.address(), &["--ssl-mode=REQUIRED"]);
        assert!(said == expected, "{asking:?}");
        let status = [
            "--ssl-mode=REQUIRED",
            "-e",
            "SHOW STATUS LIKE 'Compression_algorithm'",
        ];
        let said = run(asking, proxy.address(), &status);
        assert!(said.contains(asking.algorithm.expect("it asks")), "{said}");
        // In plain it is the proxy that compresses.
        assert_eq!(server_side(asking, proxy.address()), None);
    }
}

/// Binary protocol, COM_CHANGE_USER, COM_RESET_CONNECTION: a driver's.
#[test]
fn a_driver_with_prepared_statements() {
    each_server(|server, _| {
        for way in ["off", "zlib", "zstd"] {
            let proxy = proxy(server, &[&format!("--server-compression={way}")]);
            let options = mysql_async::OptsBuilder::default()
                .ip_or_hostname(proxy.address().ip().to_string())
                .tcp_port(proxy.address().port())
                .user(Some("app"))
                .pass(Some("app"))
                .prefer_socket(false)
                .compression(mysql_async::Compression::default());
            let session = async {
                let mut connection = mysql_async::Conn::new(options).await?;
                for n in 0..20 {
                    let text = noise(n * 20_000);
                    let said: Option<String> =
                        connection.exec_first("SELECT ?", (text.as_str(),)).await?;
                    assert_eq!(said.as_deref(), Some(text.as_str()));
                    match n % 2 {
                        0 => {
                            let user = mysql_async::ChangeUserOpts::default();
                            connection.change_user(user).await?;
                        }
                        _ => assert!(connection.reset().await?),
                    }
                }
                connection.disconnect().await?;
                Ok::<_, mysql_async::Error>(())
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.expect("a runtime can be built");
            let ended = runtime.block_on(async { tokio::time::timeout(DEADLINE, session).await });
            ended
                .expect("nothing hangs")
                .expect("every statement works");
        }
    });
}

/// Each statement takes the one connection from the pool and gives it back.
const SHARING: &str = "
function connect_server()
  proxy.connection.backend_ndx = 1
  if proxy.connection.server then return proxy.PROXY_IGNORE_RESULT end
end
function read_auth_result(auth)
  if auth.packet:byte() == proxy.MYSQLD_PACKET_OK then proxy.connection.backend_ndx = 0 end
end
function read_query(packet)
  if packet:byte() == proxy.COM_QUIT then
    proxy.response = { type = proxy.MYSQLD_PACKET_OK }
    return proxy.PROXY_SEND_RESULT
  end
  if proxy.connection.backend_ndx == 0 then proxy.connection.backend_ndx = 1 end
  proxy.queries:append(1, packet, { resultset_is_needed = true })
  return proxy.PROXY_SEND_QUERY
end
function read_query_result(inj)
  proxy.connection.backend_ndx = 0
end
function disconnect_client() proxy.connection.backend_ndx = 0 end
";

/// One connection serves all, whether they or it are compressed.
#[test]
fn pooled_connections_know_nothing_of_their_clients_compression() {
    each_server(|server, able| {
        for algorithm in able {
            let script = ScriptFile::new(SHARING);
            let way = format!("--server-compression={algorithm}");
            let proxy = script.proxy(&[server], &[&way]);
            let mut ids = Vec::new();
            for asking in asking().chain(asking()) {
                // Who is logged in is another matter.
                let said = run(asking, proxy.address(), &["-e", "SELECT CONNECTION_ID()"]);
                ids.push(said.trim().to_owned());
                let side = server_side(asking, proxy.address());
                assert_eq!(side.as_deref(), Some(*algorithm));
            }
            ids.dedup();
            // Those of MySQL and of MariaDB speak different dialects.
            assert!(ids.len() <= 4, "{ids:?}");
        }
    });
}

const COUNTING: &str = "
function read_query(packet)
  if packet:byte() ~= proxy.COM_QUERY then return end
  proxy.queries:append(1, packet, { resultset_is_needed = true })
  return proxy.PROXY_SEND_QUERY
end
function read_query_result(inj)
  if not inj.resultset or not inj.resultset.rows then return end
  local count, bytes = 0, 0
  for row in inj.resultset.rows do
    count = count + 1
    bytes = bytes + #row[1]
  end
  proxy.response = {
    type = proxy.MYSQLD_PACKET_OK,
    resultset = {
      fields = { { name = 'query' }, { name = 'rows' }, { name = 'bytes' } },
      rows = { { #inj.query, count, bytes } },
    },
  }
  return proxy.PROXY_SEND_RESULT
end
";

#[test]
fn a_script_sees_what_it_sees_without() {
    each_server(|server, able| {
        let script = ScriptFile::new(COUNTING);
        let mut seen = Vec::new();
        for way in [&["off"], able].concat() {
            let way = format!("--server-compression={way}");
            let proxy = script.proxy(&[server], &[&way]);
            for asking in asking() {
                let long = format!("SELECT '{}'", "x".repeat(60_000));
                let said = [
                    run(
                        asking,
                        proxy.address(),
                        &["-e", "SELECT REPEAT('0', 1000000)"],
                    ),
                    run(asking, proxy.address(), &["-e", &long]),
                ];
                seen.push(said.concat());
            }
        }
        assert!(seen[0].contains("28\t1\t1000000"), "{}", seen[0]);
        seen.dedup();
        assert_eq!(seen.len(), 1, "{seen:?}");
    });
}

fn mock(capabilities: &str) -> String {
    format!(
        "
        local proto = require('mysql.proto')
        function connect_server()
          proxy.response = {{
            type = proxy.MYSQLD_PACKET_RAW,
            packets = {{ proto.to_challenge_packet({{ server_version = 50799 {capabilities} }}) }},
          }}
          return proxy.PROXY_SEND_RESULT
        end
        function read_query(packet)
          proxy.response = {{
            type = proxy.MYSQLD_PACKET_OK,
            resultset = {{ fields = {{ {{ name = 'a' }} }}, rows = {{ {{ ('0'):rep(1000000) }} }} }},
          }}
          return proxy.PROXY_SEND_RESULT
        end"
    )
}

/// Where the script is the server, its greeting says what is offered.
#[test]
fn a_script_that_is_the_server_offers_what_it_says() {
    let server = MariaDb::start(&[]);
    let flags = ", capabilities = 0x0200 + 0x8000 + 0x0008 + 0x2000 + 0x0020";
    for (capabilities, is_compressed) in [("", false), (flags, true)] {
        let script = ScriptFile::new(&mock(capabilities));
        let proxy = script.proxy(&[&server], &[]);
        let link = FaultLink::to(proxy.address());
        let said = run(ASKING[1], link.address(), &["-e", "SELECT 1"]);
        assert_eq!(said.trim().len(), 1_000_000);
        let bytes = link.recorded(Direction::ToClient).len();
        assert_eq!(bytes < 20_000, is_compressed, "{bytes} bytes");
    }
}

/// Nobody's compression depends on what was not asked for.
#[test]
fn a_client_that_asks_for_nothing_gets_nothing() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(&server, &["--server-compression=zlib"]);
    let mut client = Client::connect(proxy.address(), "app", "app").expect("the proxy serves");
    let offered = client.greeting().capabilities;
    assert!(offered.contains(Capabilities::COMPRESS));
    assert!(offered.contains(Capabilities::ZSTD_COMPRESSION));
    let rows = client
        .query("SHOW STATUS LIKE 'Compression'")
        .expect("a result")
        .text();
    assert_eq!(rows[0][1].as_deref(), Some("ON"));
}

/// A connection that is logged in as `app` by one write, with what is `behind` the login in the same one.
fn log_in_by_hand(proxy: &ProxyProcess, algorithm: Algorithm, behind: &[u8]) -> Connection {
    let mut connection = Connection::tcp(proxy.address()).expect("the port is open");
    let (_, payload) = connection.read_payload(0).expect("a greeting");
    let greeting = HandshakeV10::decode(&payload).expect("a greeting");
    let flags = Capabilities::PROTOCOL_41
        | Capabilities::SECURE_CONNECTION
        | Capabilities::PLUGIN_AUTH
        | algorithm.capability();
    let login = HandshakeResponse41 {
        capabilities: greeting.capabilities & flags,
        max_packet_bytes: 1 << 24,
        character_set: 45,
        username: b"app".to_vec(),
        auth_response: mysql_native_password::scramble(b"app", &greeting.auth_plugin_data),
        auth_plugin_name: b"mysql_native_password".to_vec(),
        zstd_level: Some(3),
        ..HandshakeResponse41::default()
    };
    let (mut payload, mut bytes) = (Vec::new(), Vec::new());
    login.encode(&mut payload);
    put_payload(&mut bytes, 1, &payload);
    bytes.extend_from_slice(behind);
    connection.send_bytes(&bytes).expect("it takes them");
    let (_, ok) = connection.read_packet().expect("an answer");
    assert_eq!(ok.first(), Some(&0), "{ok:?}");
    connection
}

fn codec(algorithm: Algorithm) -> Codec {
    let level = 3;
    Codec::new(Role::Client, Compression { algorithm, level })
}

fn compressed(codec: &mut Codec, bytes: &[u8]) -> Vec<u8> {
    let (mut wire, mut taken) = (Vec::new(), 0);
    while taken < bytes.len() {
        taken += codec.encode(&bytes[taken..], &mut wire);
    }
    wire
}

/// What comes behind the last packet of a login, in the same write: it is compressed already.
#[test]
fn commands_that_come_with_the_login_are_compressed_ones() {
    let server = MariaDb::start(&[]);
    for algorithm in Algorithm::ALL {
        let proxy = proxy(&server, &[]);
        let mut codec = codec(algorithm);
        let mut commands = Vec::new();
        for command in [
            &b"\x03SELECT REPEAT('a', 1000)"[..],
            b"\x03SELECT REPEAT('b', 1000)",
            b"\x01",
        ] {
            put_payload(&mut commands, 0, command);
        }
        let commands = compressed(&mut codec, &commands);
        let mut connection = log_in_by_hand(&proxy, algorithm, &commands);
        let wire = connection
            .read_to_end(1 << 20)
            .expect("two answers and the end");
        let mut said = vec![0; 1 << 16];
        let decoded = codec.decode(&wire, &mut said).expect("it can be read");
        assert_eq!(decoded.taken, wire.len());
        let said = String::from_utf8_lossy(&said[..decoded.put]);
        let (a, b) = (said.find(&"a".repeat(1000)), said.find(&"b".repeat(1000)));
        assert!(a.is_some() && a < b, "{algorithm:?}");
        // Each answer counts from its command.
        assert_eq!(wire[3], 1);
    }
}

/// A compressed packet says how long it was before. Nothing is set aside for what it says, and a lie ends the session.
#[test]
fn lengths_that_lie_end_their_session_and_no_other() {
    let server = MariaDb::start(&[]);
    for algorithm in Algorithm::ALL {
        let proxy = proxy(&server, &[]);
        let mut other = log_in_by_hand(&proxy, algorithm, &[]);
        let before = proxy.resident_bytes();
        let mut command = Vec::new();
        let text = [b"\x03SELECT '", "x".repeat(500).as_bytes(), b"'"].concat();
        put_payload(&mut command, 0, &text);
        let honest = compressed(&mut codec(algorithm), &command);
        for length in [
            1_u32,
            command.len() as u32 - 1,
            command.len() as u32 + 1,
            0xff_ffff,
        ] {
            let mut wire = honest.clone();
            wire[4..7].copy_from_slice(&length.to_le_bytes()[..3]);
            let lines = proxy.log().len();
            let mut connection = log_in_by_hand(&proxy, algorithm, &wire);
            // Where it claims more than there is, the rest may still be on its way.
            connection.shutdown_write().expect("it is open");
            let answer = connection.read_to_end(1 << 16).expect("it closes");
            assert!(
                !answer
                    .windows(500)
                    .any(|window| window == "x".repeat(500).as_bytes())
            );
            proxy.wait_for_log_after(lines, "client", DEADLINE);
        }
        let grown = proxy.resident_bytes().saturating_sub(before);
        assert!(grown < 8 << 20, "{grown} bytes for {algorithm:?}");
        other.send_bytes(&honest).expect("it is open");
        let answer = other.read_packet();
        answer.expect("the other session goes on");
    }
}

/// A gigabyte of zeros in a megabyte: it is taken apart as it comes, and the server has the say about its length.
#[test]
fn a_bomb_costs_no_memory() {
    let server = MariaDb::start(&[]);
    let proxy = proxy(&server, &[]);
    for algorithm in Algorithm::ALL {
        let mut connection = log_in_by_hand(&proxy, algorithm, &[]);
        let before = proxy.resident_bytes();
        let mut codec = codec(algorithm);
        let mut packets = Vec::new();
        // Full packets: the command goes on, and on.
        put_payload(&mut packets, 0, &vec![0; 0xff_ffff]);
        packets.truncate(4 + 0xff_ffff);
        packets[4] = 0x03;
        for packet in 0..64_u8 {
            packets[3] = packet;
            let wire = compressed(&mut codec, &packets);
            assert!(wire.len() < 1 << 20, "{}", wire.len());
            // The server has enough of it some time.
            if connection.send_bytes(&wire).is_err() {
                break;
            }
        }
        let peak = proxy.resident_bytes_max().saturating_sub(before);
        assert!(peak < 32 << 20, "{peak} bytes for {algorithm:?}");
    }
}
