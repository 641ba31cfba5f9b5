//! Every bound of the wire format, with its unit and its reason.

/// The longest payload of one packet; a longer one goes on in the next packet.
pub const PACKET_PAYLOAD_BYTES_MAX: usize = 0xff_ffff;

/// A server's greeting. Version and plugin name are short texts; real greetings are below 200 bytes.
pub const HANDSHAKE_V10_BYTES_MAX: usize = 4 * 1024;

/// A client's packets before it is logged in. Servers take 64 KiB of connection attributes, the rest is names.
pub const LOGIN_PACKET_BYTES_MAX: usize = 80 * 1024;

/// A server's packets during the login: an RSA key is the longest; Kerberos tickets stay below this too.
pub const AUTH_PACKET_BYTES_MAX: usize = 80 * 1024;

/// What one response says of session state, where it is kept. A set of all GTIDs is the longest; of a server with a long history
/// it is below this.
pub const SESSION_STATE_BYTES_MAX: usize = 1024 * 1024;
