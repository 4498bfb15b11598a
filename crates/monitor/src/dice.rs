//! Chance that repeats: numbers from a seed that comes in through the door, for resampling and simulations.
//!
//! Invariant: the same seed gives the same numbers on every machine. Refuses to: be used for secrets.

/// A generator (SplitMix64), small enough to be begun anew for every resample.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// A generator of its own for the `stream`-th use of one seed.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self(seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        dice.next();
        dice
    }

    /// The generator of a seed alone, as simulations use it.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x2545_F491_4F6C_DD1D)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..1`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A standard normal number, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A whole number in `0..bound`; zero when there is nothing to choose from.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn a_seed_repeats_and_streams_differ() {
        let roll = |seed, stream| {
            let mut dice = Dice::new(seed, stream);
            [dice.below(1000), dice.below(1000), dice.below(1000)]
        };
        assert_eq!(roll(7, 0), roll(7, 0));
        assert_ne!(roll(7, 0), roll(7, 1));
        assert_ne!(roll(7, 0), roll(8, 0));
    }

    #[test]
    fn rolls_are_spread_evenly() {
        let mut dice = Dice::new(1, 0);
        let mut counts = [0_u32; 10];
        (0..100_000).for_each(|_| counts[dice.below(10)] += 1);
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        let mean = (0..100_000).map(|_| dice.unit()).sum::<f64>() / 100_000.0;
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        assert_eq!(dice.below(0), 0);
    }
}
