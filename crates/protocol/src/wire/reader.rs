//! A checked cursor over one payload.

use crate::DecodeError;

/// Reads fields one after the other. Every method takes the field's documented name for its error.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    packet: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `payload`, which is to be a `packet` (the documented name).
    pub fn new(packet: &'static str, payload: &'a [u8]) -> Self {
        Self {
            packet,
            rest: payload,
        }
    }

    /// What is not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// True when everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// `int<1>`
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// `int<2>`
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// `int<3>`
    pub fn u24(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let [a, b, c] = self.array(field)?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    /// `int<4>`
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// `int<8>`
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// `int<lenenc>`; 0xfb (NULL) and 0xff (ERR) are no integers.
    pub fn lenenc_int(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        match self.u8(field)? {
            0xfc => self.u16(field).map(u64::from),
            0xfd => self.u24(field).map(u64::from),
            0xfe => self.u64(field),
            first @ (0xfb | 0xff) => Err(DecodeError::Invalid {
                packet: self.packet,
                field,
                value: u64::from(first),
            }),
            first => Ok(u64::from(first)),
        }
    }

    /// `string<fix>` of `n` bytes
    pub fn bytes(&mut self, n: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self
            .rest
            .split_at_checked(n)
            .ok_or_else(|| self.truncated(field))?;
        self.rest = tail;
        Ok(head)
    }

    /// `string<lenenc>`
    pub fn lenenc_bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.lenenc_int(field)?;
        let length = usize::try_from(length).map_err(|_| self.truncated(field))?;
        self.bytes(length, field)
    }

    /// `string<lenenc>`, or NULL (0xfb) as `None`: a text row's value
    pub fn lenenc_bytes_or_null(
        &mut self,
        field: &'static str,
    ) -> Result<Option<&'a [u8]>, DecodeError> {
        if let Some((0xfb, tail)) = self.rest.split_first() {
            self.rest = tail;
            return Ok(None);
        }
        self.lenenc_bytes(field).map(Some)
    }

    /// `string<NUL>`, without its terminator
    pub fn nul_bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let end = self
            .rest
            .iter()
            .position(|&byte| byte == 0)
            .ok_or_else(|| self.truncated(field))?;
        let text = self.bytes(end, field)?;
        self.u8(field)?;
        Ok(text)
    }

    /// `string<NUL>` that ends with the packet where its terminator is missing
    pub fn nul_bytes_or_rest(&mut self) -> &'a [u8] {
        self.nul_bytes("text").unwrap_or_else(|_| self.rest())
    }

    /// `string<EOF>`: everything that is left
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Trailing {
            packet: self.packet,
            bytes: self.rest.len(),
        })
    }

    /// The error of a field that holds what it never may.
    pub fn invalid(&self, field: &'static str, value: u64) -> DecodeError {
        DecodeError::Invalid {
            packet: self.packet,
            field,
            value,
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| self.truncated(field))?;
        self.rest = tail;
        Ok(*head)
    }

    fn truncated(&self, field: &'static str) -> DecodeError {
        DecodeError::Truncated {
            packet: self.packet,
            field,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Writer;

    proptest! {
        #[test]
        fn lenenc_integers_round_trip_and_cut_anywhere(value: u64) {
            let mut bytes = Vec::new();
            Writer::new(&mut bytes).lenenc_int(value);
            let mut reader = Reader::new("test", &bytes);
            prop_assert_eq!(reader.lenenc_int("field"), Ok(value));
            prop_assert!(reader.end().is_ok());
            for cut in 0..bytes.len() {
                let short = Reader::new("test", &bytes[..cut]).lenenc_int("field");
                let truncated = matches!(short, Err(DecodeError::Truncated { .. }));
                prop_assert!(truncated);
            }
        }

        #[test]
        fn strings_round_trip(text: Vec<u8>, tail: Vec<u8>) {
            let mut bytes = Vec::new();
            let mut writer = Writer::new(&mut bytes);
            writer.lenenc_bytes(&text);
            writer.bytes(&tail);
            let mut reader = Reader::new("test", &bytes);
            prop_assert_eq!(reader.lenenc_bytes("text"), Ok(text.as_slice()));
            prop_assert_eq!(reader.rest(), tail.as_slice());
        }
    }

    #[test]
    fn a_length_beyond_the_packet_allocates_nothing() {
        let claim = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1];
        let error = Reader::new("test", &claim).lenenc_bytes("text");
        assert!(matches!(error, Err(DecodeError::Truncated { .. })));
    }

    #[test]
    fn null_and_err_markers_are_no_integers() {
        for first in [0xfb, 0xff] {
            let error = Reader::new("test", &[first, 0, 0]).lenenc_int("count");
            assert!(matches!(error, Err(DecodeError::Invalid { .. })));
        }
        let mut null = Reader::new("test", &[0xfb, 1]);
        assert_eq!(null.lenenc_bytes_or_null("value"), Ok(None));
        assert_eq!(null.remaining(), 1);
    }

    #[test]
    fn trailing_bytes_are_noticed() {
        let reader = Reader::new("test", &[0; 3]);
        assert_eq!(
            reader.end(),
            Err(DecodeError::Trailing {
                packet: "test",
                bytes: 3
            })
        );
    }
}
