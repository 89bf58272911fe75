//! Seeded random numbers: the same seed gives the same merchants on every machine.

/// A `SplitMix64` generator.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    pub(crate) fn next_u128(&mut self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// A number in `0..n`; 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next_u64().checked_rem(n).unwrap_or(0)
    }

    /// A number in `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    pub(crate) fn per_mille(&mut self, chance: u32) -> bool {
        self.below(1000) < u64::from(chance)
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn choose<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        let at = self.index(choices.len());
        choices.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    /// Decimal digits, leading zeros included.
    pub(crate) fn digits(&mut self, count: usize) -> String {
        (0..count)
            .map(|_| char::from(b'0'.saturating_add(u8::try_from(self.below(10)).unwrap_or(0))))
            .collect()
    }
}

/// Spreads the bits of `value` (the finalizer of `SplitMix64`).
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A hash of a row's id and a request's number, which orders rows with equal times in that request.
pub(crate) fn tie_break(id: u128, request: u64) -> u64 {
    let low = u64::try_from(id & u128::from(u64::MAX)).unwrap_or(0);
    mix(low ^ mix(request))
}
