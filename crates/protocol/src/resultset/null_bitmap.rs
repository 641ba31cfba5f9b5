//! One bit for each value, set where it is NULL: in front of binary rows and of parameters.

use crate::DecodeError;
use crate::wire::Reader;

/// A row's bitmap starts with two bits that mean nothing; a parameters' one does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NullBitmap<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> NullBitmap<'a> {
    /// The unused bits of a binary row's bitmap.
    pub(crate) const ROW_OFFSET: usize = 2;
    /// A parameters' bitmap has none.
    pub(crate) const PARAMETERS_OFFSET: usize = 0;

    pub(crate) fn bytes_for(values: usize, offset: usize) -> usize {
        (values + offset).div_ceil(8)
    }

    pub(crate) fn read(
        reader: &mut Reader<'a>,
        values: usize,
        offset: usize,
    ) -> Result<Self, DecodeError> {
        let bytes = reader.bytes(Self::bytes_for(values, offset), "NULL bitmap")?;
        Ok(Self { bytes, offset })
    }

    pub(crate) fn is_null(self, index: usize) -> bool {
        let bit = index + self.offset;
        let byte = self.bytes.get(bit / 8).copied().unwrap_or_default();
        byte >> (bit % 8) & 1 == 1
    }

    /// Sets the bit of value `index`; `bytes` starts with the bitmap and is long enough.
    pub(crate) fn set(bytes: &mut [u8], index: usize, offset: usize) {
        let bit = index + offset;
        bytes[bit / 8] |= 1 << (bit % 8);
    }
}
