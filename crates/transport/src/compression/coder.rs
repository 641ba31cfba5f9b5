//! zlib and zstd for single payloads. A worker has its compressors for all of its sessions, and a stock of decompressors,
//! which sessions have only while a payload is on its way.

use std::cell::RefCell;
use std::fmt;
use std::io;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};
use zstd_safe::{CCtx, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::{Algorithm, Compression};

/// A client chooses the level, and who waits for the work is others: what is slower than this is not done.
const ZSTD_LEVEL_MAX: u8 = 9;
/// Of zstd's window, as a power of two: no payload is longer.
pub(crate) const ZSTD_WINDOW_LOG_MAX: u32 = 24;
/// Decompressors of each kind that a worker keeps.
const STOCK_MAX: usize = 16;
/// A decompressor of zstd that met longer payloads holds too much memory to be kept.
const KEPT_PAYLOAD_BYTES_MAX: usize = 256 * 1024;

thread_local! {
    static COMPRESSORS: RefCell<Compressors> = RefCell::default();
    static STOCK: RefCell<Stock> = RefCell::default();
}

#[derive(Default)]
struct Compressors {
    zlib: Option<Compress>,
    zstd: Option<CCtx<'static>>,
}

#[derive(Default)]
struct Stock {
    zlib: Vec<Decompress>,
    zstd: Vec<DCtx<'static>>,
}

/// The compressed payload into `out`, and how long it is. `None` where it would not be shorter than the payload.
pub(super) fn compress(compression: Compression, payload: &[u8], out: &mut [u8]) -> Option<usize> {
    let room = out.len().min(payload.len().checked_sub(1)?);
    let out = &mut out[..room];
    COMPRESSORS.with_borrow_mut(|compressors| match compression.algorithm {
        Algorithm::Zlib => {
            let new = || Compress::new(flate2::Compression::default(), true);
            let zlib = compressors.zlib.get_or_insert_with(new);
            zlib.reset();
            match zlib.compress(payload, out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => usize::try_from(zlib.total_out()).ok(),
                Ok(Status::Ok | Status::BufError) | Err(_) => None,
            }
        }
        Algorithm::Zstd => {
            if compressors.zstd.is_none() {
                compressors.zstd = CCtx::try_create();
            }
            let level = compression.level.clamp(1, ZSTD_LEVEL_MAX);
            let zstd = compressors.zstd.as_mut()?;
            zstd.compress(out, payload, level.into()).ok()
        }
    })
}

/// One payload that is being decompressed.
pub(super) struct Decoder {
    method: Option<Method>,
    /// Bytes of the wire to come.
    wire_bytes: usize,
    /// Bytes to be put; the last one is held back.
    bytes: usize,
    last: Option<u8>,
    is_ended: bool,
    is_kept: bool,
}

enum Method {
    Zlib(Decompress),
    Zstd(DCtx<'static>),
}

impl Decoder {
    /// # Errors
    /// There is no memory.
    pub(super) fn new(algorithm: Algorithm, wire_bytes: usize, bytes: usize) -> io::Result<Self> {
        Ok(Self {
            method: Some(Method::take(algorithm)?),
            wire_bytes,
            bytes,
            last: None,
            is_ended: false,
            is_kept: bytes <= KEPT_PAYLOAD_BYTES_MAX,
        })
    }

    /// How many bytes of the wire were taken, how many were put. `None` where more of the wire is needed.
    ///
    /// # Errors
    /// The payload is not what its header says.
    pub(super) fn decode(
        &mut self,
        wire: &[u8],
        out: &mut [u8],
    ) -> io::Result<Option<(usize, usize)>> {
        let Some(method) = &mut self.method else {
            return Ok(None);
        };
        let wire = &wire[..wire.len().min(self.wire_bytes)];
        let mut end = [0; 2];
        let is_end = self.bytes <= 1;
        let room = match is_end {
            // One byte more than there may be.
            true => &mut end[..=self.bytes],
            false => {
                let room = out.len().min(self.bytes - 1);
                &mut out[..room]
            }
        };
        let (taken, made, is_ended) = method.run(wire, room)?;
        let left = self.bytes.checked_sub(made);
        self.bytes = left.ok_or_else(|| malformed("is longer than its header says"))?;
        self.wire_bytes -= taken;
        self.is_ended = is_ended;
        if is_end && made == 1 {
            self.last = Some(end[0]);
        }
        match (is_ended, taken == 0 && made == 0) {
            (true, _) if self.bytes > 0 => Err(malformed("is shorter than its header says")),
            (true, _) if self.wire_bytes > 0 => Err(malformed("ends before its packet")),
            (false, true) if self.wire_bytes == 0 => Err(malformed("is cut short")),
            (false, true) => Ok(None),
            _ if is_end => Ok(Some((taken, 0))),
            _ => Ok(Some((taken, made))),
        }
    }

    /// No room is needed to go on.
    pub(super) fn is_to_be_ended(&self) -> bool {
        self.bytes <= 1
    }

    /// The byte that was held back, when all is well.
    pub(super) fn ended(&self) -> Option<u8> {
        self.last.filter(|_| self.is_ended)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let Some(method) = self.method.take() else {
            return;
        };
        // A thread that ends has no stock any more.
        let _ = STOCK.try_with(|stock| method.give_back(&mut stock.borrow_mut(), self.is_kept));
    }
}

impl Method {
    fn take(algorithm: Algorithm) -> io::Result<Self> {
        STOCK.with_borrow_mut(|stock| match algorithm {
            Algorithm::Zlib => {
                let stocked = stock.zlib.pop();
                Ok(Self::Zlib(stocked.unwrap_or_else(|| Decompress::new(true))))
            }
            Algorithm::Zstd => match stock.zstd.pop() {
                Some(context) => Ok(Self::Zstd(context)),
                None => {
                    let mut context = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
                    let limit = DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX);
                    context.set_parameter(limit).map_err(zstd_error)?;
                    Ok(Self::Zstd(context))
                }
            },
        })
    }

    fn give_back(self, stock: &mut Stock, is_kept: bool) {
        match self {
            Self::Zlib(mut decompress) if stock.zlib.len() < STOCK_MAX => {
                decompress.reset(true);
                stock.zlib.push(decompress);
            }
            Self::Zstd(mut context) if is_kept && stock.zstd.len() < STOCK_MAX => {
                if context.reset(ResetDirective::SessionOnly).is_ok() {
                    stock.zstd.push(context);
                }
            }
            Self::Zlib(_) | Self::Zstd(_) => {}
        }
    }

    /// How many bytes were taken, how many put, and whether that was the end.
    fn run(&mut self, wire: &[u8], out: &mut [u8]) -> io::Result<(usize, usize, bool)> {
        match self {
            Self::Zlib(decompress) => {
                let before = (decompress.total_in(), decompress.total_out());
                let status = decompress.decompress(wire, out, FlushDecompress::None);
                let status = status.map_err(|error| malformed(&error.to_string()))?;
                let taken = decompress.total_in() - before.0;
                let put = decompress.total_out() - before.1;
                Ok((taken as usize, put as usize, status == Status::StreamEnd))
            }
            Self::Zstd(context) => {
                let mut input = InBuffer::around(wire);
                let mut output = OutBuffer::around(out);
                let hint = context.decompress_stream(&mut output, &mut input);
                let hint = hint.map_err(zstd_error)?;
                Ok((input.pos(), output.pos(), hint == 0))
            }
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("wire_bytes", &self.wire_bytes)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

fn malformed(what: &str) -> io::Error {
    let message = format!("a compressed packet cannot be read: its payload {what}");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn zstd_error(code: usize) -> io::Error {
    malformed(zstd_safe::get_error_name(code))
}
