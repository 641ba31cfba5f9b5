//! From the server's greeting to the end of the login.
//!
//! ```text
//! server -> client  HandshakeV10                      (or ERR: too many connections, host blocked)
//! client -> server  [SSLRequest, TLS]                  HandshakeResponse41
//! server -> client  any number of  AuthSwitchRequest | AuthMoreData | AuthNextFactor
//! client -> server  an answer to each that asks for one
//! server -> client  OK | ERR
//! ```
//! Follows MySQL's "Connection Phase".

mod auth_packet;
mod handshake_response320;
mod handshake_response41;
mod handshake_v10;
mod server_version;
mod ssl_request;

pub use auth_packet::{AuthPacket, AuthSwitchRequest};
pub use handshake_response41::HandshakeResponse41;
pub use handshake_response320::HandshakeResponse320;
pub use handshake_v10::HandshakeV10;
pub use server_version::version_number;
pub use ssl_request::SslRequest;
