//! Numbers that look random and are the same for the same seed.

/// A source of numbers (splitmix64).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, or 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.number() % end).unwrap_or(0)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number().to_be_bytes()[7]).collect()
    }

    /// The id of a challenge that was made at that time: a UUID of version 7.
    pub(crate) fn challenge_id(&mut self, ms: u64) -> String {
        let (high, low) = (self.number(), self.number());
        let time = ms & 0xffff_ffff_ffff;
        let variant = 0x8000 | (low >> 50);
        format!(
            "{:08x}-{:04x}-{:04x}-{variant:04x}-{:012x}",
            time >> 16,
            time & 0xffff,
            0x7000 | (high & 0x0fff),
            low & 0xffff_ffff_ffff
        )
    }
}
