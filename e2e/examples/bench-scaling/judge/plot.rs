//! Line plots as SVG, without a library.

use std::fmt::Write as _;

/// A line: its name, its colour, and its points.
pub type Line<'a> = (&'a str, &'a str, Vec<(f64, f64)>);

/// Width of a panel, pixels.
const WIDTH: f64 = 1100.0;
/// Height of a panel, pixels.
const HEIGHT: f64 = 240.0;
/// Space around each panel, pixels.
const MARGIN: f64 = 60.0;

/// Draws panels one below the other, each with a title and lines. With `dots`, points are drawn instead of lines.
#[must_use]
pub fn panels(panels: &[(&str, Vec<Line<'_>>)], dots: bool) -> String {
    let height = (HEIGHT + MARGIN) * panels.len() as f64 + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        WIDTH + 2.0 * MARGIN
    );
    for (index, (title, lines)) in panels.iter().enumerate() {
        panel(&mut svg, MARGIN + index as f64 * (HEIGHT + MARGIN), title, lines, dots);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, top: f64, title: &str, lines: &[Line<'_>], dots: bool) {
    let all = || lines.iter().flat_map(|line| &line.2);
    let low = all().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let right = all().map(|point| point.0).fold(low + 1e-9, f64::max);
    let high = all().map(|point| point.1).fold(1e-9, f64::max);
    let place = |(x, y): &(f64, f64)| {
        (MARGIN + (x - low) / (right - low) * WIDTH, top + HEIGHT - (y / high).clamp(0.0, 1.0) * HEIGHT)
    };
    // Writing to a String cannot fail.
    let _ = writeln!(svg, "<text x=\"{MARGIN}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 8.0);
    let _ = writeln!(
        svg,
        "<rect x=\"{MARGIN}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#bbb\"/>\n\
         <text x=\"4\" y=\"{}\">{high:.0}</text><text x=\"{MARGIN}\" y=\"{bottom}\">{low:.0}</text>\
         <text x=\"{}\" y=\"{bottom}\">{right:.0}</text>",
        top + 10.0,
        MARGIN + WIDTH - 30.0,
        bottom = top + HEIGHT + 16.0,
    );
    for (index, (name, colour, points)) in lines.iter().enumerate() {
        if dots {
            for point in points {
                let (x, y) = place(point);
                let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
            }
        } else {
            let path: Vec<String> = points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let path = path.join(" ");
            let _ = writeln!(svg, "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\"/>");
        }
        let x = MARGIN + 300.0 + 130.0 * index as f64;
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{}\" fill=\"{colour}\">{name}</text>", top - 8.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_within_their_panel_and_names_are_shown() {
        let lines = vec![("load", "#888", vec![(0.0, 0.0), (10.0, 5.0)]), ("ours", "#06c", vec![(5.0, 2.5)])];
        let svg = panels(&[("Replicas", lines)], false);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("60.0,300.0 1160.0,60.0") && svg.contains(">ours</text>"), "{svg}");
        assert_eq!(
            panels(&[("Front", vec![("kpa", "#c00", vec![(1.0, 1.0), (2.0, 2.0)])])], true).matches("<circle").count(),
            2
        );
    }
}
