//! How wrong a forecast usually is: a histogram of its errors that forgets.

const BINS: usize = 64;
/// ln(load / forecast) of the first bin's lower edge and the width of one: from a half to almost twice.
const LOWEST: f64 = -0.64;
const WIDTH: f64 = 0.02;
/// A bin's weight before all are made small again.
const RESCALE: f32 = 1e6;

/// Errors as ln(load / forecast). Those outside -0.64..0.64 count as the outermost bin.
#[derive(Debug, Clone, PartialEq)]
pub struct Errors {
    bins: [f32; BINS],
    /// What the next error weighs: newer ones weigh more instead of all older ones being made less each time.
    weight: f32,
    total: f32,
}

impl Default for Errors {
    fn default() -> Self {
        Self { bins: [0.0; BINS], weight: 1.0, total: 0.0 }
    }
}

impl Errors {
    /// Adds an error; earlier ones lose 1/`memory` of their weight (`memory` in errors).
    pub fn add(&mut self, error: f64, memory: f32) {
        self.weight *= 1.0 + 1.0 / memory;
        let index = ((error - LOWEST) / WIDTH).clamp(0.0, (BINS - 1) as f64) as usize;
        self.bins[index] += self.weight;
        self.total += self.weight;
        if self.weight > RESCALE {
            self.bins.iter_mut().for_each(|bin| *bin /= RESCALE);
            self.total /= RESCALE;
            self.weight /= RESCALE;
        }
    }

    /// The quantiles of the errors; `levels` fall. 0 before there are any.
    #[must_use]
    pub fn quantiles<const N: usize>(&self, levels: &[f64; N]) -> [f64; N] {
        let mut found = [0.0; N];
        if self.total <= 0.0 {
            return found;
        }
        let (mut above, mut index) = (0.0, BINS - 1);
        for (quantile, level) in found.iter_mut().zip(levels) {
            let rank = (1.0 - level) as f32 * self.total;
            while index > 0 && above + self.bins[index] < rank {
                above += self.bins[index];
                index -= 1;
            }
            let share = if self.bins[index] > 0.0 { ((rank - above) / self.bins[index]).min(1.0) } else { 1.0 };
            *quantile = LOWEST + WIDTH * (index as f64 + 1.0 - f64::from(share));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_known_errors_are_found_to_within_a_bin() {
        let mut errors = Errors::default();
        (0..1000).for_each(|i| errors.add(-0.5 + f64::from(i * 619 % 1000) / 1000.0, 1e9));
        let [high, middle] = errors.quantiles(&[0.9, 0.5]);
        assert!((high - 0.4).abs() < 0.021 && middle.abs() < 0.021, "{high} {middle}");
    }

    #[test]
    fn old_errors_are_forgotten_and_weights_stay_finite() {
        let mut errors = Errors::default();
        (0..5000).for_each(|_| errors.add(0.3, 100.0));
        (0..1000).for_each(|_| errors.add(0.0, 100.0));
        let [high] = errors.quantiles(&[0.99]);
        assert!(high.abs() < 0.03 && errors.total.is_finite(), "{high}");
    }

    #[test]
    fn a_larger_error_never_lowers_a_quantile() {
        let mut errors = Errors::default();
        (0..50).for_each(|i| errors.add(f64::from(i) / 100.0 - 0.25, 720.0));
        let (mut small, mut large) = (errors.clone(), errors);
        small.add(0.1, 720.0);
        large.add(0.4, 720.0);
        let levels = [0.99, 0.9, 0.6];
        assert!(small.quantiles(&levels).iter().zip(large.quantiles(&levels)).all(|(a, b)| *a <= b + 1e-9));
    }

    #[test]
    fn without_errors_nothing_is_added() {
        assert_eq!(Errors::default().quantiles(&[0.9]), [0.0]);
    }
}
