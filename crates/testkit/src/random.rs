//! Numbers for tests that do something at random, and do it again when told the seed.

/// SplitMix64
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Each number has a sequence of its own.
    pub fn new(seed: u64, number: usize) -> Self {
        Self(mix(mix(seed).wrapping_add(number as u64)))
    }

    /// From 0 to `bound`, which is not reached.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    /// True once in so many times.
    pub fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    /// Any number.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
