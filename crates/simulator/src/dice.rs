//! Deterministic chance: the same seed gives the same draws on every machine and in every version.
//!
//! Owns: the generator (SplitMix64, whose few lines cannot change under us) and the distributions drawn from it. Never:
//! what the draws mean.

/// A stream of draws that is a pure function of what it was seeded with.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

/// Mixes `parts` into one number; the order matters.
pub(crate) fn hash(parts: &[u64]) -> u64 {
    let mut dice = Rng(0x9e37_79b9_7f4a_7c15);
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
    hash(&[fnv])
}

impl Rng {
    /// A stream for exactly these `parts`.
    pub(crate) fn new(parts: &[u64]) -> Self {
        Self(hash(parts))
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

    /// Normal, mean 0, deviation 1 (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Log-normal: half of the draws lie below `median`; the logarithm deviates by `sigma`.
    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// Poisson with this mean (Knuth's product, in parts so that it cannot underflow).
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        let (mut left, mut count) = (mean.clamp(0.0, 100_000.0), 0);
        while left > 0.0 {
            let (floor, mut product) = ((-left.min(16.0)).exp(), self.unit());
            while product > floor {
                count += 1;
                product *= self.unit();
            }
            left -= 16.0;
        }
        count
    }

    /// One of `list`, all alike; None from nothing.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(usize::try_from(self.below(list.len() as u64)).ok()?)
    }

    /// One of `list` by its weight; None from nothing.
    pub(crate) fn weighted<'a, T>(&mut self, list: &'a [(u32, T)]) -> Option<&'a T> {
        let mut left = self.below(list.iter().map(|(weight, _)| u64::from(*weight)).sum());
        list.iter().find_map(|(weight, value)| match left.checked_sub(u64::from(*weight)) {
            Some(rest) => {
                left = rest;
                None
            }
            None => Some(value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_draws_and_another_seed_others() {
        let draws = |seed| {
            let mut dice = Rng::new(&[seed, 7]);
            [dice.next(), dice.below(1000), dice.next()]
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
    }

    #[test]
    fn distributions_have_their_centres() {
        let mut dice = Rng::new(&[3]);
        let mut latencies: Vec<f64> = (0..9999).map(|_| dice.log_normal(1.3, 0.5)).collect();
        latencies.sort_by(f64::total_cmp);
        assert!((1.25..1.35).contains(&latencies[5000]), "{}", latencies[5000]);
        assert!((2.7..3.3).contains(&latencies[9500]), "{}", latencies[9500]);
        for mean in [0.0, 0.3, 5.0, 40.0] {
            let sum: u64 = (0..4000).map(|_| dice.poisson(mean)).sum();
            let found = sum as f64 / 4000.0;
            assert!((found - mean).abs() <= mean.sqrt() * 0.06, "{mean}: {found}");
        }
        let heavy = (0..1000).filter(|_| dice.weighted(&[(9, true), (1, false)]) == Some(&true)).count();
        assert!((870..930).contains(&heavy), "{heavy}");
        assert_eq!(dice.pick::<u8>(&[]), None);
        assert_eq!(dice.weighted::<u8>(&[]), None);
    }
}
