//! Charts as SVG made of numbers only: no text from outside gets into a drawing. The template puts
//! `role="img"` and a summary in words around it, and a table with the same numbers below.

use std::fmt::Write as _;

use crate::pulse::float;

/// Size of a sparkline.
const SPARK: (f64, f64) = (160.0, 32.0);

/// Size of a chart, and the room that the labels need on the left and below.
const CHART: (f64, f64) = (640.0, 180.0);
const LEFT: f64 = 66.0;
const BELOW: f64 = 22.0;
const ABOVE: f64 = 8.0;

/// Values over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// One label a value, such as `20:05`.
    pub(crate) labels: Vec<String>,
    /// The values, oldest first; `None` where there is nothing to tell (a ratio of no requests).
    pub(crate) values: Vec<Option<f64>>,
}

/// A line without axes, filled below.
pub(crate) fn spark(values: &[Option<f64>]) -> String {
    let (width, height) = SPARK;
    if values.iter().flatten().count() < 2 {
        return format!(r#"<path class="axis" d="M0 {y}H{width}"/>"#, y = height - 1.0);
    }
    let top = values.iter().flatten().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let step = width / float(as_u64(values.len() - 1));
    let place = |at: usize, value: f64| {
        let y = height - 1.0 - (value / top).clamp(0.0, 1.0) * (height - 3.0);
        (step * float(as_u64(at)), y)
    };
    line(values, place, height)
}

/// A filled line over time; `print` writes the values on the left axis.
pub(crate) fn area(series: &Series, top: Option<f64>, print: impl Fn(f64) -> String) -> String {
    let highest = series.values.iter().flatten().copied().fold(0.0, f64::max);
    let top = top.unwrap_or_else(|| nice(highest));
    let count = series.values.len();
    let place = |at: usize, value: f64| (x_of(at, count), y_of(value, top));
    let mut svg = axes(series, top, print);
    svg.push_str(&line(&series.values, place, y_of(0.0, top)));
    svg
}

/// The line of `values`, broken where there is none; a value alone becomes a dot.
fn line(values: &[Option<f64>], place: impl Fn(usize, f64) -> (f64, f64), floor: f64) -> String {
    let mut svg = String::new();
    let mut piece: Vec<(f64, f64)> = Vec::new();
    for (at, value) in values.iter().enumerate() {
        match value {
            Some(value) => piece.push(place(at, *value)),
            None => draw(&mut svg, &std::mem::take(&mut piece), floor),
        }
    }
    draw(&mut svg, &piece, floor);
    svg
}

fn draw(svg: &mut String, piece: &[(f64, f64)], floor: f64) {
    let (Some((first, y)), Some((last, _))) = (piece.first(), piece.last()) else { return };
    if piece.len() == 1 {
        let _ = write!(svg, r#"<circle class="dot" cx="{first:.1}" cy="{y:.1}" r="2.5"/>"#);
        return;
    }
    let mut path = String::new();
    for (at, (x, y)) in piece.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { "M" } else { "L" });
    }
    let _ = write!(
        svg,
        r#"<path class="fill" d="{path}L{last:.1} {floor:.1}L{first:.1} {floor:.1}z"/><path class="line" d="{path}"/>"#
    );
}

/// Stacked bars over time; each part has a class `part-N` with its own colour and hatch.
pub(crate) fn bars(
    labels: &[String],
    stacks: &[Vec<u64>],
    print: impl Fn(f64) -> String,
) -> String {
    let sums: Vec<f64> = stacks.iter().map(|stack| float(stack.iter().sum())).collect();
    let top = nice(sums.iter().copied().fold(0.0, f64::max));
    let series = Series { labels: labels.to_vec(), values: sums.into_iter().map(Some).collect() };
    let mut svg = axes(&series, top, print);
    let room = (CHART.0 - LEFT) / float(as_u64(stacks.len().max(1)));
    for (at, stack) in stacks.iter().enumerate() {
        let x = LEFT + room * float(as_u64(at));
        let mut below = 0.0;
        for (part, value) in stack.iter().enumerate().filter(|(_, value)| **value > 0) {
            let (low, high) = (y_of(below, top), y_of(below + float(*value), top));
            let _ = write!(
                svg,
                r#"<rect class="part-{part}" x="{x:.1}" y="{high:.1}" width="{w:.1}" height="{h:.1}"/>"#,
                w = (room - 1.5).max(1.0),
                h = (low - high).max(0.5),
            );
            below += float(*value);
        }
    }
    svg
}

fn axes(series: &Series, top: f64, print: impl Fn(f64) -> String) -> String {
    let mut svg = String::new();
    for part in [0.0, 0.5, 1.0] {
        let y = y_of(top * part, top);
        let _ = write!(
            svg,
            r#"<path class="axis" d="M{LEFT} {y:.1}H{right}"/><text x="{x}" y="{text:.1}" class="left">{label}</text>"#,
            right = CHART.0,
            x = LEFT - 6.0,
            text = y + 4.0,
            label = print(top * part),
        );
    }
    let count = series.labels.len();
    let every = (count / 4).max(1);
    for (at, label) in series.labels.iter().enumerate().step_by(every) {
        // Labels are times of ours; anything else does not get in.
        if label.chars().all(|c| c.is_ascii_digit() || c == ':') {
            let x = x_of(at, count);
            let _ = write!(
                svg,
                r#"<text x="{x:.1}" y="{y}" class="below">{label}</text>"#,
                y = CHART.1 - 4.0
            );
        }
    }
    svg
}

fn x_of(at: usize, count: usize) -> f64 {
    let steps = float(as_u64(count.saturating_sub(1).max(1)));
    LEFT + (CHART.0 - LEFT) * float(as_u64(at)) / steps
}

fn y_of(value: f64, top: f64) -> f64 {
    let room = CHART.1 - BELOW - ABOVE;
    let share = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
    ABOVE + room * (1.0 - share)
}

/// The next of 1, 2, 5, 10, 20 … that is at least `value`; at least 1.
fn nice(value: f64) -> f64 {
    let mut step = 1.0;
    while step < 1e18 {
        for factor in [1.0, 2.0, 5.0] {
            if step * factor >= value {
                return step * factor;
            }
        }
        step *= 10.0;
    }
    value
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Series, area, bars, nice, spark};

    #[test]
    fn tops() {
        for (value, top) in [(0.0, 1.0), (1.5, 2.0), (3.0, 5.0), (812.0, 1000.0)] {
            assert!((nice(value) - top).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn drawings_hold_for_odd_input() {
        assert!(spark(&[]).contains("axis"));
        assert!(spark(&[Some(1.0), Some(5.0), Some(2.0)]).contains("M0.0"));
        let broken = spark(&[Some(1.0), Some(5.0), None, Some(2.0)]);
        assert_eq!(broken.matches("class=\"line\"").count(), 1, "{broken}");
        assert_eq!(broken.matches("class=\"dot\"").count(), 1, "{broken}");
        let empty = Series::default();
        assert!(!area(&empty, None, |_| String::new()).contains("NaN"));
        let one = Series { labels: vec!["<b>".into()], values: vec![Some(3.0)] };
        let svg = area(&one, None, |value| value.to_string());
        assert!(!svg.contains("<b>") && !svg.contains("NaN"), "{svg}");
        let svg = bars(&["20:05".into()], &[vec![1, 0, 3]], |value| value.to_string());
        assert!(svg.contains("part-2") && !svg.contains("part-1"), "{svg}");
    }
}
