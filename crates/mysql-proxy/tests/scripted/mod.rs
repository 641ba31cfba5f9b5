//! A proxy with a script, for tests of what scripts do.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test program that includes this uses a part of it"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use testkit::{Client, ClientError, ProxyProcess, QueryResult, ScratchDirectory, Server};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_mysql-proxy");
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A script file that can be edited.
#[derive(Debug)]
pub(crate) struct ScriptFile {
    _directory: ScratchDirectory,
    pub(crate) path: PathBuf,
}

impl ScriptFile {
    pub(crate) fn new(text: &str) -> Self {
        let directory = ScratchDirectory::new();
        let script = Self {
            path: directory.file("script.lua"),
            _directory: directory,
        };
        script.edit(text);
        script
    }

    pub(crate) fn edit(&self, text: &str) {
        fs::write(&self.path, text).expect("the directory is ours");
    }

    /// A proxy in front of `servers` that runs this script.
    pub(crate) fn proxy(&self, servers: &[&Server], more: &[&str]) -> ProxyProcess {
        let mut arguments = vec![format!("--proxy-lua-script={}", self.path.display())];
        for server in servers {
            arguments.push(format!("--proxy-backend-addresses={}", server.address()));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ProxyProcess::start(BINARY, &[&arguments, more].concat())
    }
}

pub(crate) fn connect(proxy: &ProxyProcess) -> Client {
    Client::connect(proxy.address(), "app", "app").expect("the proxy serves")
}

/// Where a plugin listens for operators.
pub(crate) fn plugin_address(proxy: &ProxyProcess, plugin: &str) -> SocketAddr {
    let said = format!("{plugin}-server listening on port ");
    let line = proxy.wait_for_log(&said, DEADLINE);
    let address = line.split_once(&said).expect("the line has it").1;
    address.trim().parse().expect("an address")
}

pub(crate) fn value(client: &mut Client, sql: &str) -> String {
    client.value(sql).expect("a value")
}

/// A statement at a time: each takes an idle connection, and gives it back unless a transaction is open.
pub(crate) const SHARING: &str = "
function connect_server()
  for i = 1, #proxy.global.backends do
    local pool = proxy.global.backends[i].pool
    if pool.users[''].cur_idle_connections > 0 then
      proxy.connection.backend_ndx = i
      if proxy.connection.server then return proxy.PROXY_IGNORE_RESULT end
    end
  end
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
  if not inj.resultset.flags.in_trans then proxy.connection.backend_ndx = 0 end
end
function disconnect_client() proxy.connection.backend_ndx = 0 end
";

/// A proxy in front of `server` that runs it.
pub(crate) fn sharing(server: &Server, more: &[&str]) -> (ScriptFile, ProxyProcess) {
    let script = ScriptFile::new(SHARING);
    let proxy = script.proxy(&[server], more);
    (script, proxy)
}

/// With every right.
pub(crate) fn connect_as_admin(proxy: &ProxyProcess) -> Client {
    Client::connect(proxy.address(), "adm", "adm").expect("the proxy serves")
}

/// NULL as `NULL`, columns separated by blanks.
pub(crate) fn rows(client: &mut Client, sql: &str) -> Vec<String> {
    let result = client.query(sql).expect(sql);
    let text = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "NULL".to_owned());
    let row = |row: &Vec<_>| row.iter().map(text).collect::<Vec<_>>().join(" ");
    result.text().iter().map(row).collect()
}

pub(crate) fn code(result: Result<QueryResult, ClientError>) -> Option<u16> {
    result.expect_err("it is refused").code()
}

pub(crate) fn run_all(client: &mut Client, statements: &[&str]) {
    for sql in statements {
        client.query(sql).expect(sql);
    }
}

/// Scripts that change nothing of what is said, each in its own way.
pub(crate) const TRANSPARENT: [(&str, &str); 3] = [
    (
        "seen by a script",
        "function connect_server() end
         function read_handshake() end
         function read_auth() end
         function read_auth_result() end
         function read_query() end
         function read_query_result() end
         function disconnect_client() end",
    ),
    (
        "injected by a script",
        "function read_query(packet)
            proxy.queries:append(1, packet)
            return proxy.PROXY_SEND_QUERY
         end
         function read_query_result(inj) assert(inj.resultset.row_count >= 0) end",
    ),
    (
        "kept by a script",
        "function read_query(packet)
            proxy.queries:append(1, packet, { resultset_is_needed = true })
            return proxy.PROXY_SEND_QUERY
         end
         function read_query_result(inj)
            if inj.query:byte() ~= proxy.COM_QUERY then return end
            local rows, count = inj.resultset.rows, 0
            if not rows then return end
            for row in rows do count = count + 1 end
            assert(count <= inj.resultset.row_count)
            for i = 1, #inj.resultset.fields do local name = inj.resultset.fields[i].name end
         end",
    ),
];
