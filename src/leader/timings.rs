//! How long a term lasts and how often it is renewed.

use std::time::Duration;

/// The three times of the protocol; the default is client-go's: 15 s, 10 s, 2 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How long other candidates wait after the last change they observed; written into the Lease, so whole seconds.
    pub lease_duration: Duration,
    /// How long the holder's term lasts after it sent its last successful renewal.
    pub renew_deadline: Duration,
    /// The time between two renewals, or two reads of a lease that another candidate holds.
    pub retry_period: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Why the timings cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimings {
    /// The Lease object stores whole seconds.
    #[error("the lease duration is {0:?}; write whole seconds, from 1 s to an hour")]
    LeaseDuration(Duration),
    /// The holder would still write while another candidate already may.
    #[error("the renew deadline is {deadline:?}; it has to be shorter than the lease duration of {lease:?}")]
    RenewDeadline {
        /// What was given.
        deadline: Duration,
        /// What it has to be shorter than.
        lease: Duration,
    },
    /// One failed renewal would already end the term.
    #[error(
        "the retry period is {retry:?}; it has to be above zero and at most half the renew deadline of {deadline:?}"
    )]
    RetryPeriod {
        /// What was given.
        retry: Duration,
        /// The renew deadline, which it has to fit into twice.
        deadline: Duration,
    },
}

impl Timings {
    /// Accepts only timings under which terms cannot overlap and a single failed renewal is harmless.
    ///
    /// # Errors
    /// When one of the three is wrong; the error names it and what it may be.
    pub fn validate(&self) -> Result<(), InvalidTimings> {
        let &Self { lease_duration, renew_deadline, retry_period } = self;
        if lease_duration.subsec_nanos() != 0 || !(1..=3600).contains(&lease_duration.as_secs()) {
            return Err(InvalidTimings::LeaseDuration(lease_duration));
        }
        if renew_deadline >= lease_duration {
            return Err(InvalidTimings::RenewDeadline { deadline: renew_deadline, lease: lease_duration });
        }
        if retry_period.is_zero() || retry_period * 2 > renew_deadline {
            return Err(InvalidTimings::RetryPeriod { retry: retry_period, deadline: renew_deadline });
        }
        Ok(())
    }

    /// Time-out of a single request: half the renew deadline as in client-go, so that one request without a response leaves
    /// time for a second one.
    pub(super) fn call_timeout(&self) -> Duration {
        self.renew_deadline / 2
    }

    /// The lease duration as the Lease object stores it, in seconds.
    pub(super) fn lease_seconds(&self) -> i32 {
        i32::try_from(self.lease_duration.as_secs()).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(lease: u64, deadline: u64, retry: u64) -> Timings {
        Timings {
            lease_duration: Duration::from_millis(lease),
            renew_deadline: Duration::from_millis(deadline),
            retry_period: Duration::from_millis(retry),
        }
    }

    #[test]
    fn invalid_timings_are_refused_with_the_reason() {
        for (timings, message) in [
            (millis(1500, 1000, 200), "the lease duration is 1.5s; write whole seconds, from 1 s to an hour"),
            (millis(0, 0, 0), "the lease duration is 0ns; write whole seconds, from 1 s to an hour"),
            (millis(3_601_000, 1000, 200), "the lease duration is 3601s; write whole seconds, from 1 s to an hour"),
            (
                millis(10_000, 10_000, 2000),
                "the renew deadline is 10s; it has to be shorter than the lease duration of 10s",
            ),
            (
                millis(15_000, 10_000, 5001),
                "the retry period is 5.001s; it has to be above zero and at most half the renew deadline of 10s",
            ),
            (
                millis(15_000, 10_000, 0),
                "the retry period is 0ns; it has to be above zero and at most half the renew deadline of 10s",
            ),
        ] {
            assert_eq!(timings.validate().map_err(|error| error.to_string()), Err(message.to_owned()));
        }
    }

    #[test]
    fn the_defaults_and_the_edges_are_accepted() {
        for timings in [Timings::default(), millis(1000, 999, 400), millis(3_600_000, 3_599_000, 2000)] {
            assert_eq!(timings.validate(), Ok(()), "{timings:?}");
        }
    }
}
