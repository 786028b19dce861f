//! Deterministic chance: the same seed gives the same draws on every machine and in every version.
//!
//! Owns: the generator (SplitMix64, whose few lines cannot change under us) and the distributions drawn from it. Never:
//! what the draws mean.

/// A stream of draws that is a pure function of what it was seeded with.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

/// Mixes `parts` into one number; the order matters.
pub(crate) fn mix(parts: &[u64]) -> u64 {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for part in parts {
        dice.0 ^= *part;
        dice.0 = dice.next();
    }
    dice.0
}

/// A number for a name (FNV-1a, mixed once more).
pub(crate) fn mix_text(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(&[fnv])
}

impl Dice {
    /// A stream for exactly these `parts`.
    pub(crate) fn new(parts: &[u64]) -> Self {
        Self(mix(parts))
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0 to `limit` - 1; 0 when `limit` is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next().checked_rem(limit).unwrap_or(0)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_draws_and_another_seed_others() {
        let draws = |seed| {
            let mut dice = Dice::new(&[seed, 7]);
            [dice.next(), dice.below(1000), dice.next()]
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        assert_ne!(mix(&[1, 2]), mix(&[2, 1]));
    }
}
