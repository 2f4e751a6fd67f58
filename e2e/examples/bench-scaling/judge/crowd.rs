//! Flash crowds: a load that jumps within a second, out of nothing or on top of a day's work.

use super::rng::Rng;
use super::trace::Scale;

/// How many times the load becomes what it was.
const JUMPS: [f64; 3] = [3.0, 10.0, 30.0];

/// From the end of a crowd to the next one, seconds: around each, the servers have the time to be few again.
const APART: (u32, u32) = (2400, 3600);
/// From the beginning of a half to its first crowd, seconds: even an hour of a trace has one in each half.
const FIRST: (u32, u32) = (300, 900);
/// How long a crowd stays, and how long it takes to go, seconds.
const STAYS: u32 = 600;
const GOES: u32 = 60;

/// Requests per second between the crowds of the first half: nobody to speak of.
const IDLE: f64 = 1.0;
/// What an idle service usually has when somebody comes, in replicas' worth: what a crowd is a multiple of.
const TYPICAL: f64 = 0.7;
/// The working load of the second half is that much of the trace, so that there is room for a crowd above it.
const WORKING: f64 = 0.25;

/// Makes the first half of a load idle and the second one a working load, both with crowds at random times.
pub fn invite(load: &mut [f64], scale: &Scale, rng: &mut Rng) {
    let half = load.len() / 2;
    let (idle, working) = load.split_at_mut(half);
    idle.fill(IDLE);
    working.iter_mut().for_each(|requests| *requests *= WORKING);
    let typical = TYPICAL * scale.one;
    come(idle, rng, |_, jump| (jump * typical).min(scale.most));
    // A crowd beyond the most that all replicas carry would be nobody's fault.
    come(working, rng, |before, jump| (jump * before).min(scale.most).max(before));
}

/// Lets crowds come and go: `crowd` says what a load becomes with a jump.
fn come(load: &mut [f64], rng: &mut Rng, crowd: impl Fn(f64, f64) -> f64) {
    let between = |rng: &mut Rng, (least, most): (u32, u32)| least + rng.below(most - least);
    let mut at = between(rng, FIRST);
    while ((at + STAYS + GOES) as usize) < load.len() {
        let jump = JUMPS[rng.below(JUMPS.len() as u32) as usize];
        for second in 0..STAYS + GOES {
            let there = f64::from(STAYS + GOES - second) / f64::from(GOES);
            let requests = &mut load[(at + second) as usize];
            *requests += (crowd(*requests, jump) - *requests) * there.min(1.0);
        }
        at += STAYS + GOES + between(rng, APART);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowds_come_within_a_second_from_idle_and_from_work_and_never_exceed_what_can_be_carried() {
        let scale = Scale { p99: 200.0, one: 10.0, most: 400.0 };
        let mut load = vec![100.0; 2 * 86_400];
        invite(&mut load, &scale, &mut Rng::new(5));
        let jumps = |half: &[f64]| half.windows(2).filter(|pair| pair[1] > 2.5 * pair[0]).count();
        let (idle, working) = load.split_at(86_400);
        for half in [idle, working] {
            assert!((18..30).contains(&jumps(half)), "{}", jumps(half));
        }
        assert_eq!((idle[0], working[0]), (IDLE, 25.0));
        let heights = |half: &[f64], height: f64| half.iter().filter(|requests| **requests == height).count();
        for (half, height) in [(idle, 21.0), (idle, 70.0), (idle, 210.0), (working, 75.0), (working, 250.0)] {
            assert!(heights(half, height) >= STAYS as usize, "{height}");
        }
        assert!(load.iter().all(|requests| *requests <= 400.0) && working.contains(&400.0), "30 times 25 is cut");
    }

    #[test]
    fn even_an_hour_has_a_crowd_in_each_half() {
        let scale = Scale { p99: 200.0, one: 10.0, most: 400.0 };
        let mut load = vec![100.0; 3480];
        invite(&mut load, &scale, &mut Rng::new(1));
        let (idle, working) = load.split_at(1740);
        assert!(idle.iter().any(|load| *load > 20.0) && working.iter().any(|load| *load > 74.0));
    }
}
