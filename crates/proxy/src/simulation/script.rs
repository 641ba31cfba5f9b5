//! The scripts that a simulated proxy may have.

use backend::Role;

/// What the proxy's script does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// There is none.
    None,
    /// Looks at each command, and lets it pass.
    Passing,
    /// Sends each command itself, and keeps what comes back.
    Keeping,
    /// Sends each command itself; what comes back is passed on as it comes.
    Injecting,
    /// Gives its connection to others between two commands.
    Sharing,
    /// `lua/scripts/ro-pooling.lua`
    Pooling,
    /// `lua/scripts/rw-splitting.lua`, with one server for writes.
    Splitting,
}

impl Script {
    pub(super) const ALL: [Self; 8] = [
        Self::None,
        Self::Passing,
        Self::Keeping,
        Self::Injecting,
        Self::Sharing,
        Self::Sharing,
        Self::Pooling,
        Self::Splitting,
    ];

    /// Connections are shared.
    pub(super) fn is_sharing(self) -> bool {
        matches!(self, Self::Sharing | Self::Pooling | Self::Splitting)
    }

    /// Of the server of this number.
    pub(super) fn role(self, index: usize) -> Role {
        match self {
            Self::Splitting if index > 0 => Role::ReadOnly,
            _ => Role::ReadWrite,
        }
    }

    /// Lua.
    pub(super) fn text(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Passing => Some("function read_query() end"),
            Self::Keeping => Some(KEEPING),
            Self::Injecting => Some(INJECTING),
            Self::Sharing => Some(SHARING),
            Self::Pooling => Some(include_str!("../../../../lua/scripts/ro-pooling.lua")),
            Self::Splitting => Some(include_str!("../../../../lua/scripts/rw-splitting.lua")),
        }
    }
}

const KEEPING: &str = "
function read_query(packet)
  proxy.queries:append(1, packet, { resultset_is_needed = true })
  return proxy.PROXY_SEND_QUERY
end
function read_query_result() end
";

const INJECTING: &str = "
function read_query(packet)
  proxy.queries:append(1, packet)
  return proxy.PROXY_SEND_QUERY
end
";

/// A statement at a time, where the user has an idle connection; one who logs in takes an idle connection where there are
/// several.
const SHARING: &str = "
local home = 1
local function idle(ndx, user)
  return proxy.global.backends[ndx].pool.users[user].cur_idle_connections
end
function connect_server()
  for ndx = 1, #proxy.global.backends do
    if idle(ndx, '') > 1 and proxy.global.backends[ndx].state ~= proxy.BACKEND_STATE_DOWN then
      proxy.connection.backend_ndx = ndx
      if proxy.connection.server then return proxy.PROXY_IGNORE_RESULT end
    end
  end
end
function read_auth_result(auth)
  if auth.packet:byte() == proxy.MYSQLD_PACKET_OK then
    home = proxy.connection.backend_ndx
    proxy.connection.backend_ndx = 0
  end
end
function read_query(packet)
  if packet:byte() == proxy.COM_QUIT then
    proxy.response = { type = proxy.MYSQLD_PACKET_OK }
    return proxy.PROXY_SEND_RESULT
  end
  if proxy.connection.backend_ndx == 0 then
    for ndx = 1, #proxy.global.backends do
      if idle(ndx, proxy.connection.client.username) > 0 then home = ndx end
    end
    proxy.connection.backend_ndx = home
  end
  proxy.queries:append(1, packet, { resultset_is_needed = true })
  return proxy.PROXY_SEND_QUERY
end
function read_query_result(inj)
  if not inj.resultset.flags.in_trans then proxy.connection.backend_ndx = 0 end
end
function disconnect_client() proxy.connection.backend_ndx = 0 end
";
