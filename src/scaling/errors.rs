//! The distribution of the errors of a forecast: a histogram with exponentially decaying weights.

/// Number of bins.
const BINS: usize = 64;
/// Lower edge of the first bin as ln(load / forecast): the load is about half of the forecast. The bins end at 0.64, where
/// the load is almost twice the forecast.
const LOWEST: f64 = -0.64;
/// Width of a bin, in ln(load / forecast).
const WIDTH: f64 = 0.02;
/// Weight of an error above which all weights are scaled down, so that they stay finite.
const RESCALE: f32 = 1e6;

/// Errors as ln(load / forecast). Those outside -0.64..0.64 count in the outermost bin.
#[derive(Debug, Clone, PartialEq)]
pub struct Errors {
    bins: [f32; BINS],
    /// Weight of the latest error. It grows with each error, instead of lowering the weights of all older ones.
    weight: f32,
    total: f32,
}

impl Default for Errors {
    fn default() -> Self {
        Self { bins: [0.0; BINS], weight: 1.0, total: 0.0 }
    }
}

impl Errors {
    /// Adds an error. The relative weight of earlier ones decays with a time constant of `kept` errors.
    pub fn add(&mut self, error: f64, kept: f32) {
        self.weight *= 1.0 + 1.0 / kept;
        let index = ((error - LOWEST) / WIDTH).clamp(0.0, (BINS - 1) as f64) as usize;
        self.bins[index] += self.weight;
        self.total += self.weight;
        if self.weight > RESCALE {
            self.bins.iter_mut().for_each(|bin| *bin /= RESCALE);
            self.total /= RESCALE;
            self.weight /= RESCALE;
        }
    }

    /// The quantiles of the errors at `levels`, which must be in falling order. 0 without any error.
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
    fn quantiles_are_exact_to_within_one_bin() {
        let mut errors = Errors::default();
        (0..1000).for_each(|i| errors.add(-0.5 + f64::from(i * 619 % 1000) / 1000.0, 1e9));
        let [high, middle] = errors.quantiles(&[0.9, 0.5]);
        assert!((high - 0.4).abs() < 0.021 && middle.abs() < 0.021, "{high} {middle}");
    }

    #[test]
    fn old_errors_decay_and_weights_stay_finite() {
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
    fn without_errors_a_quantile_is_zero() {
        assert_eq!(Errors::default().quantiles(&[0.9]), [0.0]);
    }
}
