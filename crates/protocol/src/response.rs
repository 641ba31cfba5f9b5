//! Generic response packets. Follows MySQL's "Generic Response Packets".

mod eof_packet;
mod err_packet;
mod ok_packet;
mod session_state;

pub use eof_packet::EofPacket;
pub use err_packet::{ErrPacket, error_code};
pub use ok_packet::{OkHead, OkPacket};
pub use session_state::SessionStateChange;
