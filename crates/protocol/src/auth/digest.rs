//! Digests and how scrambles hide them.

use aws_lc_rs::digest::{Algorithm, Context};

/// The digest of all `parts` in a row. `N` is the algorithm's output length.
pub(super) fn digest<const N: usize>(algorithm: &'static Algorithm, parts: &[&[u8]]) -> [u8; N] {
    let mut context = Context::new(algorithm);
    parts.iter().for_each(|part| context.update(part));
    let mut digest = [0; N];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Hides `a` behind `b`, and brings it back.
pub(super) fn xor<const N: usize>(a: &[u8; N], b: &[u8; N]) -> [u8; N] {
    std::array::from_fn(|index| a[index] ^ b[index])
}
