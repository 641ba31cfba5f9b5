//! How bytes travel: sockets, TLS on them, compression on that, and whole packets where those are small.
//!
//! Knows nothing of backends and of proxies.
//!
//! * [`Stream`]: a connection, whatever it runs over; [`IdleStream`]: the same while no runtime watches it
//! * [`packet_io`]: whole packets, for the connection phase
//! * [`proxy_protocol`]: whom a connection is for, said before anything else; [`Network`]: peers as an operator lists them
//! * [`compression`]: the compressed protocol, as bytes
//! * [`tls`]: certificates and what is expected of a peer's

mod compressed_stream;
pub mod compression;
mod idle_stream;
pub mod limits;
mod network;
pub mod packet_io;
pub mod proxy_protocol;
mod stream;
pub mod tls;

pub use compressed_stream::{CompressedStream, IdleCompressed};
pub use idle_stream::IdleStream;
pub use network::{Network, NetworkError};
pub use stream::{SocketAddress, Stream};
