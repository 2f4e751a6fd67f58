//! Pareto fronts: cost and result of a policy over all of its settings.

/// A setting's result: replica-hours and seconds above the target.
pub type Cost = (f64, f64);

/// The settings that no other setting beats on both axes, by ascending hours.
#[must_use]
pub fn pareto(costs: &[Cost]) -> Vec<Cost> {
    let mut sorted: Vec<Cost> = costs.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut front: Vec<Cost> = Vec::new();
    for cost in sorted {
        if front.last().is_none_or(|last| cost.1 < last.1) {
            front.push(cost);
        }
    }
    front
}

/// The seconds of the front at these hours. Between two settings ln(seconds) is interpolated linearly. Beyond the last
/// setting it is the value of the last one, before the first None.
#[must_use]
pub fn at(costs: &[Cost], hours: f64) -> Option<f64> {
    let front = pareto(costs);
    let after = front.iter().position(|cost| cost.0 > hours).unwrap_or(front.len());
    let before = front.get(after.checked_sub(1)?)?;
    let Some(next) = front.get(after) else { return Some(before.1) };
    let share = (hours - before.0) / (next.0 - before.0);
    // At least one second keeps the logarithm finite.
    let logarithm = before.1.max(1.0).ln() * (1.0 - share) + next.1.max(1.0).ln() * share;
    Some(logarithm.exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_beaten_on_both_axes_are_not_on_the_front() {
        assert_eq!(pareto(&[(3.0, 10.0), (1.0, 100.0), (2.0, 120.0), (4.0, 10.0)]), [(1.0, 100.0), (3.0, 10.0)]);
    }

    #[test]
    fn between_two_settings_the_seconds_are_their_geometric_mean() {
        let costs = [(1.0, 100.0), (3.0, 1.0)];
        assert!((at(&costs, 2.0).unwrap() - 10.0).abs() < 1e-9);
        assert_eq!((at(&costs, 0.5), at(&costs, 9.0)), (None, Some(1.0)));
    }
}
