//! Drawings over time as SVG that stands alone: axes with numbers, lines with names.

use std::fmt::Write as _;

use crate::gauge::Series;
use crate::num::{count, float, whole};
use crate::report::Plot;

/// Size of a drawing, and of the field for the lines in it.
const SIZE: (f64, f64) = (860.0, 360.0);
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const ABOVE: f64 = 46.0;
const BELOW: f64 = 46.0;

/// Lines that are named and coloured; the others are thin and grey.
const NAMED: usize = 8;

/// So many of the others, those that had the highest load: more are a grey ground.
const OTHERS: usize = 150;

/// Points in a line: more are not seen.
const POINTS: usize = 300;

/// Colours that colour-blind people can tell (Okabe and Ito 2008), without the pale yellow.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f"];

/// One line.
struct Line {
    name: String,
    colour: &'static str,
    width: f64,
    values: Vec<Option<f64>>,
}

/// A drawing before it is drawn.
struct Chart<'a> {
    title: &'a str,
    words: &'a str,
    unit: &'a str,
    low: f64,
    high: f64,
    lines: Vec<Line>,
    /// A level with its name.
    mark: Option<(f64, &'a str)>,
}

/// The load of POPs; those that had the highest are named.
pub(crate) fn loads(title: &str, series: &Series, names: &[String], target: f64) -> Plot {
    let mut order: Vec<usize> = (0..series.loads.len()).collect();
    let top =
        |pop: &usize| series.loads.get(*pop).into_iter().flatten().copied().fold(0.0, f64::max);
    order.sort_by(|a, b| top(b).total_cmp(&top(a)).then(a.cmp(b)));
    let mut lines: Vec<Line> = order
        .iter()
        .take(NAMED + OTHERS)
        .enumerate()
        .map(|(rank, pop)| {
            let colour = COLOURS.get(rank).filter(|_| rank < NAMED);
            let name = names.get(*pop).filter(|_| colour.is_some());
            Line {
                name: name.cloned().unwrap_or_default(),
                colour: colour.copied().unwrap_or("#c8c8c8"),
                width: if colour.is_some() { 1.8 } else { 0.8 },
                values: series.loads.get(*pop).into_iter().flatten().copied().map(Some).collect(),
            }
        })
        .collect();
    // The named ones are drawn over the others.
    lines.reverse();
    let high = lines.iter().flat_map(|line| line.values.iter().flatten()).copied();
    let high = high.fold(1.0, f64::max);
    let words = "load of each POP: demand as a share of capacity";
    let mark = Some((target, "target"));
    let chart = Chart { title, words, unit: "", low: 0.0, high: nice(high), lines, mark };
    Plot { name: "loads", svg: chart.draw() }
}

/// The mean round trip beside the least possible one.
pub(crate) fn latency(title: &str, series: &Series) -> Plot {
    let line = |name: &str, colour, values: &[f64]| Line {
        name: name.to_owned(),
        colour,
        width: 1.8,
        values: values.iter().map(|value| (*value > 0.0).then_some(*value)).collect(),
    };
    let lines = vec![
        line("nearest POP", "#7f7f7f", &series.nearest),
        line("POP in use", "#0072b2", &series.latency),
    ];
    let high = lines.iter().flat_map(|line| line.values.iter().flatten()).copied();
    let high = nice(high.fold(1.0, f64::max));
    let words = "mean round trip of all clients, by demand";
    let chart = Chart { title, words, unit: " ms", low: 0.0, high, lines, mark: None };
    Plot { name: "latency", svg: chart.draw() }
}

/// The share on which all name servers agree; nothing with one name server.
pub(crate) fn agreement(title: &str, series: &Series) -> Option<Plot> {
    let values: Vec<Option<f64>> =
        series.agreement.iter().map(|share| share.map(|share| share * 100.0)).collect();
    let least = values.iter().flatten().copied().reduce(f64::min)?;
    // Between samples the last one holds.
    let mut last = None;
    let held = values.into_iter().map(|value| {
        last = value.or(last);
        last
    });
    let low = if least > 99.0 { 99.0 } else { (least / 10.0).floor() * 10.0 };
    let line = Line {
        name: "all agree".to_owned(),
        colour: "#0072b2",
        width: 1.8,
        values: held.collect(),
    };
    let words = "clients for whom all name servers name the same POP";
    let mark = Some((99.9, "99.9 %"));
    let chart = Chart { title, words, unit: " %", low, high: 100.0, lines: vec![line], mark };
    Some(Plot { name: "agreement", svg: chart.draw() })
}

impl Chart<'_> {
    fn draw(&self) -> String {
        let (width, height) = SIZE;
        let seconds = self.lines.iter().map(|line| line.values.len()).max().unwrap_or(0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<title>{title}: {words}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n\
             <text x=\"{LEFT}\" y=\"37\" fill=\"#555555\">{words}</text>\n",
            title = escape(self.title),
            words = escape(self.words),
        );
        self.axes(&mut svg, seconds);
        for line in &self.lines {
            self.line(&mut svg, line, seconds);
        }
        if let Some((level, name)) = self.mark {
            let (y, end) = (self.y(level), SIZE.0 - RIGHT);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"#d00000\" stroke-dasharray=\"5 4\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#d00000\" text-anchor=\"end\">{name}</text>",
                end - 4.0,
                y - 4.0
            );
        }
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String, seconds: usize) {
        let end = SIZE.0 - RIGHT;
        for part in 0..=4_u32 {
            let value = self.low + (self.high - self.low) * f64::from(part) / 4.0;
            let y = self.y(value);
            let digits = if self.high - self.low < 4.0 { 2 } else { 0 };
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"#e4e4e4\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.digits$}{}</text>",
                LEFT - 6.0,
                y + 4.0,
                self.unit
            );
        }
        let all = float(count(seconds.max(1)));
        for part in 0..=5_u32 {
            let at = all * f64::from(part) / 5.0;
            let x = LEFT + (end - LEFT) * f64::from(part) / 5.0;
            let y = SIZE.1 - BELOW + 18.0;
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
                time(at)
            );
        }
    }

    fn line(&self, svg: &mut String, line: &Line, seconds: usize) {
        let step = (line.values.len() / POINTS).max(1);
        let mut path = String::new();
        let mut is_drawing = false;
        for (at, value) in line.values.iter().enumerate().step_by(step) {
            let Some(value) = value else {
                is_drawing = false;
                continue;
            };
            let part = float(count(at)) / float(count(seconds.max(2) - 1));
            let x = LEFT + (SIZE.0 - RIGHT - LEFT) * part;
            let _ =
                write!(path, "{}{x:.1} {:.1}", if is_drawing { "L" } else { "M" }, self.y(*value));
            is_drawing = true;
        }
        let Line { colour, width, .. } = line;
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
        );
    }

    fn legend(&self, svg: &mut String) {
        let named = self.lines.iter().rev().filter(|line| !line.name.is_empty());
        for (row, line) in named.enumerate() {
            let (x, y) = (SIZE.0 - RIGHT + 14.0, ABOVE + 10.0 + 18.0 * float(count(row)));
            let _ = writeln!(
                svg,
                "<path d=\"M{x} {:.1}h18\" stroke=\"{}\" stroke-width=\"3\"/>\
                 <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                y - 4.0,
                line.colour,
                x + 24.0,
                escape(&line.name)
            );
        }
    }

    fn y(&self, value: f64) -> f64 {
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        SIZE.1 - BELOW - part * (SIZE.1 - BELOW - ABOVE)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `7 s`, `3 min`, `2 h`, with a half where it is one.
fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 120.0 => (s, "s"),
        s if s < 7_200.0 => (s / 60.0, "min"),
        s => (s / 3_600.0, "h"),
    };
    if (value - value.round()).abs() < 0.05 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// The next number above that is easy to read.
fn nice(value: f64) -> f64 {
    let scale = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let fits = steps.into_iter().find(|step| step * scale >= value);
    let found = fits.unwrap_or(10.0) * scale;
    // Without the dust of the powers.
    float(whole(found * 1_000.0)) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_are_whole() {
        let series = Series {
            latency: vec![0.0, 20.0, 30.0],
            nearest: vec![0.0, 10.0, 10.0],
            loads: (0..12).map(|pop| vec![0.1, f64::from(pop) / 10.0]).collect(),
            agreement: vec![None, Some(0.95), None],
            answers: Vec::new(),
        };
        let names: Vec<String> = (0..12).map(|pop| format!("pop<{pop}>")).collect();
        let loads = loads("a & b", &series, &names, 0.8).svg;
        assert!(loads.contains("a &amp; b") && loads.contains("pop&lt;11&gt;"), "{loads}");
        assert_eq!(loads.matches("stroke=\"#c8c8c8\"").count(), 4);
        let shares = agreement("x", &series).unwrap().svg;
        assert!(shares.contains("90 %") && shares.ends_with("</svg>\n"), "{shares}");
        assert!(latency("x", &series).svg.contains("POP in use"));
        assert_eq!((nice(0.93), nice(1.13), nice(41.0)), (1.0, 1.2, 50.0));
        assert_eq!(agreement("x", &Series::default()).map(|plot| plot.name), None);
    }
}
