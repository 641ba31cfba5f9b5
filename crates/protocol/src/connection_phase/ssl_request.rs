//! `Protocol::SSLRequest`: the fixed part of a HandshakeResponse41, sent alone, after which TLS starts.

use crate::Capabilities;

/// Recognises the request. What follows it belongs to TLS and is never read as packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SslRequest;

impl SslRequest {
    /// Bytes of its payload.
    pub const BYTES: usize = 32;

    /// True when a client's first payload asks for TLS.
    pub fn is(payload: &[u8]) -> bool {
        let Some((low, rest)) = payload.split_first_chunk() else {
            return false;
        };
        let flags = Capabilities::from_halves(u32::from_le_bytes(*low), 0);
        flags.contains(Capabilities::SSL) && rest.len() + 4 == Self::BYTES
    }
}
