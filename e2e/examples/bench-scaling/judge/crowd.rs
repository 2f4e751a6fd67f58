//! Flash crowds: a load that jumps within a second, from idle or on top of a working load.

use super::rng::Rng;

/// Factors by which the load jumps.
const FACTORS: [f64; 3] = [3.0, 10.0, 30.0];

/// From the end of a crowd to the next one, seconds (minimum, maximum). It is long enough for the servers to scale
/// down.
const GAP: (u32, u32) = (2400, 3600);
/// From the beginning of a half to its first crowd, seconds (minimum, maximum). It is short enough that an hour of a
/// trace has a crowd in each half.
const FIRST: (u32, u32) = (300, 900);
/// Duration of a crowd, seconds.
const DURATION: u32 = 600;
/// Seconds within which the load returns to its previous value after a crowd.
const RAMP_DOWN: u32 = 60;

/// Requests per second between the crowds of the first half: practically idle.
const IDLE: f64 = 1.0;
/// Typical load of the first half, as a fraction of the capacity of a replica. The crowds there are multiples of it.
const TYPICAL: f64 = 0.7;
/// The working load of the second half, as a fraction of the trace. It leaves room for a crowd on top of it.
const WORKING: f64 = 0.25;

/// Replaces the first half of a load by an idle load and the second half by a working load, both with crowds at random
/// times. `one`: capacity of one replica; `most`: limit of the load; both in requests per second.
pub fn add_crowds(load: &mut [f64], one: f64, most: f64, rng: &mut Rng) {
    let half = load.len() / 2;
    let (idle, working) = load.split_at_mut(half);
    idle.fill(IDLE);
    working.iter_mut().for_each(|requests| *requests *= WORKING);
    let typical = TYPICAL * one;
    add(idle, rng, |_, factor| (factor * typical).min(most));
    // A crowd is capped at what the maximum number of replicas serves: no policy could serve more.
    add(working, rng, |before, factor| (factor * before).min(most).max(before));
}

/// Adds crowds to a load. `crowd` maps the load before a crowd and a factor to the load during the crowd.
fn add(load: &mut [f64], rng: &mut Rng, crowd: impl Fn(f64, f64) -> f64) {
    let between = |rng: &mut Rng, (least, most): (u32, u32)| least + rng.below(most - least);
    let mut at = between(rng, FIRST);
    while ((at + DURATION + RAMP_DOWN) as usize) < load.len() {
        let factor = FACTORS[rng.below(FACTORS.len() as u32) as usize];
        for second in 0..DURATION + RAMP_DOWN {
            let share = f64::from(DURATION + RAMP_DOWN - second) / f64::from(RAMP_DOWN);
            let requests = &mut load[(at + second) as usize];
            *requests += (crowd(*requests, factor) - *requests) * share.min(1.0);
        }
        at += DURATION + RAMP_DOWN + between(rng, GAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowds_start_within_a_second_in_both_halves_and_never_exceed_the_maximum_capacity() {
        let mut load = vec![100.0; 2 * 86_400];
        add_crowds(&mut load, 10.0, 400.0, &mut Rng::new(5));
        let jumps = |half: &[f64]| half.windows(2).filter(|pair| pair[1] > 2.5 * pair[0]).count();
        let (idle, working) = load.split_at(86_400);
        for half in [idle, working] {
            assert!((18..30).contains(&jumps(half)), "{}", jumps(half));
        }
        assert_eq!((idle[0], working[0]), (IDLE, 25.0));
        let heights = |half: &[f64], height: f64| half.iter().filter(|requests| **requests == height).count();
        for (half, height) in [(idle, 21.0), (idle, 70.0), (idle, 210.0), (working, 75.0), (working, 250.0)] {
            assert!(heights(half, height) >= DURATION as usize, "{height}");
        }
        assert!(load.iter().all(|requests| *requests <= 400.0) && working.contains(&400.0), "30 times 25 is cut");
    }

    #[test]
    fn an_hour_has_a_crowd_in_each_half() {
        let mut load = vec![100.0; 3480];
        add_crowds(&mut load, 10.0, 400.0, &mut Rng::new(1));
        let (idle, working) = load.split_at(1740);
        assert!(idle.iter().any(|load| *load > 20.0) && working.iter().any(|load| *load > 74.0));
    }
}
