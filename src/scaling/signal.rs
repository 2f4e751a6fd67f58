//! A measurement and its quality: no data is not zero.

/// A measurement. A valid value is a finite number that is not negative.
///
/// | signal | [`Signal::value`] (may lower the replicas) | [`Signal::last`] (may raise the replicas) |
/// |---|---|---|
/// | fresh and valid | the value | the value |
/// | fresh, but NaN, infinite or negative (a lag of -1) | None | None |
/// | stale and valid | None | the value |
/// | missing | None | None |
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Signal {
    /// Measured recently.
    Fresh {
        /// In the signal's unit.
        value: f64,
        /// Seconds since it was measured.
        age: f64,
    },
    /// The last value, too old to lower the replicas.
    Stale {
        /// In the signal's unit.
        value: f64,
        /// Seconds since it was measured.
        age: f64,
    },
    /// No value, and the reason.
    Missing(&'static str),
}

impl Signal {
    /// A value that was measured just now.
    #[must_use]
    pub const fn fresh(value: f64) -> Self {
        Self::Fresh { value, age: 0.0 }
    }

    /// The value when it is fresh and valid.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Fresh { value, .. } if valid(*value) => Some(*value),
            _ => None,
        }
    }

    /// The value, fresh or stale, also when it is not valid.
    ///
    /// # Errors
    /// Why there is none.
    pub const fn known(&self) -> Result<f64, &'static str> {
        match self {
            Self::Fresh { value, .. } | Self::Stale { value, .. } => Ok(*value),
            Self::Missing(why) => Err(why),
        }
    }

    /// Seconds since it was measured; 0 without a value.
    #[must_use]
    pub const fn age(&self) -> f64 {
        match self {
            Self::Fresh { age, .. } | Self::Stale { age, .. } => *age,
            Self::Missing(_) => 0.0,
        }
    }

    /// The value, fresh or stale, when it is valid.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        match self {
            Self::Fresh { value, .. } | Self::Stale { value, .. } if valid(*value) => Some(*value),
            _ => None,
        }
    }
}

/// Largest valid value, in the unit of the signal: larger than any real rate, latency or lag. Sums of such values stay finite.
const LARGEST: f64 = 1e15;

fn valid(value: f64) -> bool {
    (0.0..=LARGEST).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fresh_valid_numbers_count_as_measured() {
        let stale = Signal::Stale { value: 3.0, age: 60.0 };
        assert_eq!((Signal::fresh(3.0).value(), Signal::fresh(3.0).last()), (Some(3.0), Some(3.0)));
        assert_eq!((stale.value(), stale.last(), stale.age()), (None, Some(3.0), 60.0));
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!((Signal::fresh(bad).value(), Signal::fresh(bad).last()), (None, None));
        }
        assert_eq!(Signal::Missing("no target answers").last(), None);
    }
}
