//! When something was reached, in those canaries in which it was.

/// The seconds of each.
#[derive(Default)]
pub struct Times(Vec<f64>);

impl Times {
    pub fn push(&mut self, seconds: f64) {
        self.0.push(seconds);
    }

    /// The share of so many canaries.
    pub fn share(&self, canaries: u32) -> f64 {
        self.0.len() as f64 / f64::from(canaries)
    }

    /// The share, and the median time.
    pub fn text(&self, canaries: u32) -> String {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).map(|seconds| match *seconds {
            seconds if seconds < 120.0 => format!(" ({seconds} s)"),
            seconds => format!(" ({:.0} min)", seconds / 60.0),
        });
        format!("{:.3}{}", self.share(canaries), median.unwrap_or_default())
    }
}
