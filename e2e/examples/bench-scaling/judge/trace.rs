//! Load traces: reading, selection of the busiest two days, scaling, and interpolation to one value per second.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use super::crowd;
use super::rng::Rng;

/// How the load between the points of a trace is interpolated, and what else changes during the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// Linear between the points.
    Main,
    /// As `main`, times a log-normal factor of 15 % with a correlation time of 60 s; one scrape in 200 is lost.
    Noise,
    /// Each point is held; ramps of 20 s between them.
    Steps,
    /// As `main`; after a third of the time every request takes 1/0.7 of its time, for good.
    Drift,
    /// A quarter of `main`, its first half idle, and jumps to 3, 10 and 30 times the load within a second, for ten minutes.
    Crowd,
}

impl Variant {
    /// All variants, in the order of the reports.
    pub const ALL: [Self; 5] = [Self::Main, Self::Noise, Self::Steps, Self::Drift, Self::Crowd];
}

/// The magnitude of a load, requests per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The 99th percentile of the trace's points.
    pub p99: f64,
    /// Capacity of one replica at the target.
    pub one: f64,
    /// Limit of the load: the capacity of the maximum number of replicas, with a reserve of 20 %.
    pub most: f64,
}

impl Scale {
    /// A load whose 99th percentile needs `p99` replicas of at most `most`, each with the capacity `one`.
    #[must_use]
    pub fn of(one: f64, p99: u32, most: u32) -> Self {
        Self { p99: one * f64::from(p99), one, most: one * f64::from(most) * 0.8 }
    }
}

/// A trace file.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The file name without extension.
    pub name: String,
    /// (seconds, requests per second), seconds ascending.
    pub points: Vec<(f64, f64)>,
}

impl Trace {
    /// Reads a CSV with the header `seconds,requests_per_second`.
    ///
    /// # Errors
    /// When the file cannot be read, or a row is not two non-negative numbers with ascending seconds.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_stem().map_or_else(|| "trace".into(), |stem| stem.to_string_lossy().into_owned());
        Self::parse(name, &text).with_context(|| format!("in {}", path.display()))
    }

    /// Parses the text of such a CSV.
    ///
    /// # Errors
    /// As [`Trace::read`].
    pub fn parse(name: String, text: &str) -> Result<Self> {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (index, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
            let number = index + 1;
            let (seconds, load) = line.split_once(',').with_context(|| {
                format!("line {number} is `{line}`; write `seconds,requests_per_second`, for example `300,12.5`")
            })?;
            let seconds: f64 = seconds.trim().parse().with_context(|| format!("seconds in line {number}"))?;
            let load: f64 = load.trim().parse().with_context(|| format!("requests per second in line {number}"))?;
            ensure!(load.is_finite() && load >= 0.0, "line {number}: requests per second must be 0 or more");
            ensure!(points.last().is_none_or(|(before, _)| *before < seconds), "line {number}: seconds must ascend");
            points.push((seconds, load));
        }
        ensure!(points.len() >= 2, "a trace needs at least two points");
        Ok(Self { name, points })
    }

    /// The part of at most `seconds` with the highest mean load, shifted to start at 0.
    #[must_use]
    pub fn busiest(&self, seconds: f64) -> Self {
        let (mut best, mut best_mean) = (0..self.points.len(), -1.0);
        let (mut end, mut sum) = (0, 0.0);
        for start in 0..self.points.len() {
            while end < self.points.len() && self.points[end].0 - self.points[start].0 <= seconds {
                sum += self.points[end].1;
                end += 1;
            }
            let mean = sum / (end - start) as f64;
            if mean > best_mean {
                (best, best_mean) = (start..end, mean);
            }
            if end == self.points.len() {
                break;
            }
            sum -= self.points[start].1;
        }
        let origin = self.points[best.start].0;
        let points = self.points[best].iter().map(|(at, load)| (at - origin, *load)).collect();
        Self { name: self.name.clone(), points }
    }

    /// The load of each second, scaled and varied.
    #[must_use]
    pub fn per_second(&self, size: &Scale, variant: Variant, seed: u64) -> Vec<f64> {
        let mut sorted: Vec<f64> = self.points.iter().map(|point| point.1).collect();
        sorted.sort_by(f64::total_cmp);
        let scale = size.p99 / sorted[(sorted.len() as f64 * 0.99) as usize].max(1e-9);
        let mut load = self.interpolate(if variant == Variant::Steps { Some(20.0) } else { None });
        let mut rng = Rng::new(seed);
        let mut noise = rng.normal();
        let keep: f64 = (-1.0f64 / 60.0).exp();
        for value in &mut load {
            *value *= scale;
            if variant == Variant::Noise {
                noise = keep * noise + (1.0 - keep * keep).sqrt() * rng.normal();
                *value *= (0.15 * noise - 0.15 * 0.15 / 2.0).exp();
            }
        }
        if variant == Variant::Crowd {
            crowd::add_crowds(&mut load, size.one, size.most, &mut rng);
        }
        load
    }

    /// The load of each second: linear between points, or constant with a ramp of `ramp` seconds before the next point.
    fn interpolate(&self, ramp: Option<f64>) -> Vec<f64> {
        let last = self.points[self.points.len() - 1].0;
        let mut index = 0;
        (0..=last as u64)
            .map(|second| {
                let at = second as f64;
                while index + 2 < self.points.len() && self.points[index + 1].0 <= at {
                    index += 1;
                }
                let ((from, low), (to, high)) = (self.points[index], self.points[index + 1]);
                let length = ramp.map_or(to - from, |ramp| ramp.min(to - from));
                let share = ((at - (to - length)) / length).clamp(0.0, 1.0);
                low + (high - low) * share
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Scale = Scale { p99: 10.0, one: 1.0, most: 20.0 };

    fn trace(points: &[(f64, f64)]) -> Trace {
        Trace { name: "t".into(), points: points.to_vec() }
    }

    #[test]
    fn main_is_linear_and_steps_are_constant_with_a_short_ramp() {
        let trace = trace(&[(0.0, 0.0), (100.0, 10.0), (200.0, 10.0)]);
        let main = trace.per_second(&TEN, Variant::Main, 1);
        assert_eq!((main.len(), main[50], main[100]), (201, 5.0, 10.0));
        let steps = trace.per_second(&TEN, Variant::Steps, 1);
        assert_eq!((steps[79], steps[90], steps[100]), (0.0, 5.0, 10.0));
    }

    #[test]
    fn the_busiest_part_is_found_and_starts_at_zero() {
        let trace = trace(&[(0.0, 1.0), (10.0, 1.0), (20.0, 9.0), (30.0, 8.0), (40.0, 1.0)]);
        assert_eq!(trace.busiest(10.0).points, [(0.0, 9.0), (10.0, 8.0)]);
        assert_eq!(trace.busiest(1e9).points.len(), 5);
    }

    #[test]
    fn noise_is_15_per_cent_around_the_trace_and_differs_by_seed() {
        let flat = trace(&[(0.0, 10.0), (50_000.0, 10.0)]);
        let noisy = flat.per_second(&TEN, Variant::Noise, 3);
        let mean = noisy.iter().sum::<f64>() / noisy.len() as f64;
        let deviation = (noisy.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / noisy.len() as f64).sqrt();
        assert!((mean - 10.0).abs() < 0.3 && (deviation - 1.5).abs() < 0.3, "{mean} {deviation}");
        assert_ne!(noisy, flat.per_second(&TEN, Variant::Noise, 4));
    }

    #[test]
    fn an_error_names_the_line_of_a_bad_row() {
        let error = Trace::parse("t".into(), "seconds,requests_per_second\n0,1\nx,2\n").unwrap_err();
        assert!(format!("{error:#}").contains("line 3"), "{error:#}");
        assert!(Trace::parse("t".into(), "h\n5,1\n5,2\n").is_err());
        assert!(Trace::parse("t".into(), "h\n5,1\n6,-2\n").is_err());
    }
}
