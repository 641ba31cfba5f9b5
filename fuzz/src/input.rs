//! Takes a fuzzer's input apart: settings first, then bytes and where they are cut.

use protocol::Capabilities;

/// Reads settings from the front; past the end all of them are 0.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(crate) fn capabilities(&mut self) -> Capabilities {
        Capabilities::from_bits_retain(u64::from_le_bytes(self.array()))
    }

    pub(crate) fn cuts(&mut self) -> Cuts {
        Cuts(self.array())
    }

    /// So many bytes, or what is left.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.bytes(N);
        array[..bytes.len()].copy_from_slice(bytes);
        array
    }
}

/// Lengths of pieces, in turn; 0 is a piece of 256 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Cuts([u8; 4]);

impl Cuts {
    pub(crate) fn lengths(self) -> impl Iterator<Item = usize> {
        let lengths = self.0.into_iter().cycle();
        lengths.map(|length| if length == 0 { 256 } else { length.into() })
    }

    /// Gives `bytes` away piece by piece.
    pub(crate) fn pieces(self, mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        let pieces = self.lengths().map(move |length| {
            let (piece, rest) = bytes.split_at(length.min(bytes.len()));
            bytes = rest;
            piece
        });
        pieces.take_while(|piece| !piece.is_empty())
    }
}
