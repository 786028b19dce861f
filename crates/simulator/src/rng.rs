//! Deterministic random numbers: the same seed gives the same draws on every machine.

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IndexedRandom;
use rand::{Rng as _, RngExt, SeedableRng};

/// A stream of draws that depends on its seed alone.
#[derive(Debug, Clone)]
pub(crate) struct Rng(Xoshiro256PlusPlus);

pub(crate) fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |state, part| Xoshiro256PlusPlus::seed_from_u64(state ^ part).next_u64())
}

pub(crate) fn hash_text(text: &str) -> u64 {
    let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    text.as_bytes().chunks(8).fold(text.len() as u64, |state, bytes| hash(&[state, word(bytes)]))
}

impl Rng {
    pub(crate) fn new(parts: &[u64]) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(hash(parts)))
    }

    pub(crate) fn bits(&mut self) -> u128 {
        self.0.random()
    }

    /// Uniform in 0 to `limit` - 1; 0 if `limit` is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0.random_range(0..limit.max(1))
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        self.0.random()
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Log-normal (Box and Muller) with this median; the logarithm has the standard deviation `sigma`.
    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        median * (sigma * radius * (std::f64::consts::TAU * self.unit()).cos()).exp()
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

    /// One of `list`, uniformly; `None` if it is empty.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.choose(&mut self.0)
    }

    /// One of `list` by its weight; `None` if it is empty.
    pub(crate) fn weighted<'a, T>(&mut self, list: &'a [(u32, T)]) -> Option<&'a T> {
        list.choose_weighted(&mut self.0, |(weight, _)| *weight).ok().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_determines_every_draw() {
        let draws = |seed| {
            let mut rng = Rng::new(&[seed, 7]);
            (rng.bits(), rng.below(1000), rng.bits())
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
        assert_ne!(hash_text("CA01"), hash_text("CA02"));
    }

    #[test]
    fn draws_are_the_same_in_every_version() {
        let mut rng = Rng::new(&[1]);
        assert_eq!((rng.below(1000), rng.below(1000), rng.poisson(5.0)), (148, 89, 8));
        assert_eq!(hash_text("reservations"), 17_074_796_697_798_121_864);
    }

    #[test]
    fn distributions_have_their_means_and_medians() {
        let mut rng = Rng::new(&[3]);
        let mut latencies: Vec<f64> = (0..9999).map(|_| rng.log_normal(1.3, 0.5)).collect();
        latencies.sort_by(f64::total_cmp);
        assert!((1.25..1.35).contains(&latencies[5000]), "{}", latencies[5000]);
        assert!((2.7..3.3).contains(&latencies[9500]), "{}", latencies[9500]);
        for mean in [0.0, 0.3, 5.0, 40.0] {
            let sum: u64 = (0..4000).map(|_| rng.poisson(mean)).sum();
            let found = sum as f64 / 4000.0;
            assert!((found - mean).abs() <= mean.sqrt() * 0.06, "{mean}: {found}");
        }
        let heavy = (0..1000).filter(|_| rng.weighted(&[(9, true), (1, false)]) == Some(&true)).count();
        assert!((870..930).contains(&heavy), "{heavy}");
        assert_eq!(rng.pick::<u8>(&[]), None);
        assert_eq!(rng.weighted::<u8>(&[]), None);
    }
}
