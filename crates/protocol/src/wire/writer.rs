//! The mirror of [`Reader`](super::Reader), into a caller's buffer.

/// Appends fields to a payload.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// `int<1>`
    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// `int<2>`
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    /// `int<3>`: the lower 24 bits of `value`
    pub fn u24(&mut self, value: u32) {
        let [a, b, c, _] = value.to_le_bytes();
        self.bytes(&[a, b, c]);
    }

    /// `int<4>`
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    /// `int<8>`
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// `int<lenenc>` in its shortest form
    pub fn lenenc_int(&mut self, value: u64) {
        match value {
            0..=0xfa => self.u8(value as u8),
            0xfb..=0xffff => {
                self.u8(0xfc);
                self.u16(value as u16);
            }
            0x1_0000..=0xff_ffff => {
                self.u8(0xfd);
                self.u24(value as u32);
            }
            _ => {
                self.u8(0xfe);
                self.u64(value);
            }
        }
    }

    /// `string<fix>` and `string<EOF>`
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// `string<lenenc>`
    pub fn lenenc_bytes(&mut self, bytes: &[u8]) {
        self.lenenc_int(bytes.len() as u64);
        self.bytes(bytes);
    }

    /// `string<NUL>`; `bytes` holds no zero
    pub fn nul_bytes(&mut self, bytes: &[u8]) {
        debug_assert!(!bytes.contains(&0));
        self.bytes(bytes);
        self.u8(0);
    }
}
