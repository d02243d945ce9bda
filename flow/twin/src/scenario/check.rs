//! From a file's text to a scenario, or to every mistake in it with its place.

use std::ops::Range;

use popnet_config::{Diagnostic, Severity};
use toml_edit::Document;

use super::{Fault, FaultKind, Scenario};

/// The longest simulated time: a month of days.
const LENGTH_MAX: u64 = 31 * 86_400 * 1_000_000;

/// Where people read what may be written.
const READ: &str = "docs/operate/simulate.md lists every key";

/// The scenario in `text`, which is called `name` in messages.
///
/// # Errors
/// Every mistake, at its place and with what to write instead.
pub fn load(text: &str, name: &str) -> Result<Scenario, Vec<Diagnostic>> {
    let mut checker = Checker { text, name, document: None, found: Vec::new() };
    match Document::parse(text) {
        Ok(document) => checker.document = Some(document),
        Err(error) => {
            checker.add("E0701", error.message(), error.span(), "the file is TOML: toml.io");
            return Err(checker.found);
        }
    }
    let scenario: Scenario = match toml_edit::de::from_str(text) {
        Ok(scenario) => scenario,
        Err(error) => {
            checker.add("E0702", error.message(), error.span(), READ);
            return Err(checker.found);
        }
    };
    checker.scenario(&scenario);
    if checker.found.is_empty() { Ok(scenario) } else { Err(checker.found) }
}

struct Checker<'a> {
    text: &'a str,
    name: &'a str,
    document: Option<Document<&'a str>>,
    found: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn scenario(&mut self, scenario: &Scenario) {
        let network = &scenario.network;
        self.range("length", scenario.length.0, 1_000_000, LENGTH_MAX, "write 1s to 31d");
        let longest = scenario.length.0.saturating_sub(1);
        self.range("warm_up", scenario.warm_up.0, 0, longest, "less than `length`");
        if network.file.is_none() {
            self.range("network.pops", network.pops.into(), 1, 1_000, "1 to 1,000");
        }
        let servers = u64::from(network.name_servers);
        self.range("network.name_servers", servers, 1, 24, "1 to 24");
        let pops = u64::from(network.pops);
        self.range("network.watchers", network.watchers.into(), 0, pops, "at most `pops`");
        self.range("network.measuring", network.measuring.into(), 0, pops, "at most `pops`");
        self.range("network.sites", network.sites.into(), 1, 16, "1 to 16");
        self.range("network.interval", network.interval.0, 100_000, 600_000_000, "0.1s to 10m");
        self.range("network.views", network.views.0, 1_000, 1_000_000, "1ms to 1s");
        self.number("network.dearest", network.dearest, 1.0, 1_000.0, "1 to 1,000");
        self.number("network.commits", network.commits, 0.0, 10.0, "0 to 10");
        let crowd = &scenario.crowd;
        self.range("crowd.units", crowd.units.into(), 1, 1_000_000, "1 to 1,000,000");
        self.range("crowd.per_prefix", crowd.per_prefix.into(), 1, 256, "1 to 256");
        let prefixes = u64::from(crowd.units.div_ceil(crowd.per_prefix.max(1)));
        let help = "more units in a prefix: the addresses hold 40,000 prefixes";
        self.range("crowd.per_prefix", prefixes, 1, 40_000, help);
        self.number("crowd.zipf", crowd.zipf, 0.0, 2.0, "0 to 2");
        self.number("crowd.load", crowd.load, 0.001, 10.0, "0.001 to 10");
        let shares = [
            ("crowd.known", crowd.known),
            ("crowd.new_prefixes", crowd.new_prefixes),
            ("crowd.new_units", crowd.new_units),
            ("crowd.over_hold", crowd.over_hold),
            ("crowd.silent", crowd.silent),
            ("crowd.stray", crowd.stray),
            ("wire.loss", scenario.wire.loss),
            ("wire.duplicate", scenario.wire.duplicate),
            ("wire.late", scenario.wire.late),
        ];
        for (path, share) in shares {
            self.number(path, share, 0.0, 1.0, "a share, 0 to 1");
        }
        for (at, fault) in scenario.faults.iter().enumerate() {
            self.fault(at, fault, scenario.length.0);
        }
        for (at, wish) in scenario.expect.iter().enumerate() {
            let path = format!("expect.{at}");
            if wish.at_most.is_none() && wish.at_least.is_none() {
                let what = format!("the figure {} has no limit", wish.figure.name());
                self.at("E0704", &what, &path, "add at_most = … or at_least = …");
            }
            if wish.figure.needs_baseline() && scenario.baseline.is_none() {
                let what = format!("{} compares with a baseline", wish.figure.name());
                self.at("E0704", &what, &path, "add a [baseline] policy");
            }
        }
    }

    fn fault(&mut self, at: usize, fault: &Fault, length: u64) {
        let path = |key: &str| format!("faults.{at}.{key}");
        self.range(&path("at"), fault.at.0, 0, length, "within `length`");
        let everywhere = fault.kind == FaultKind::Loss;
        let some = fault.busiest.saturating_add(fault.watchers);
        if !everywhere && fault.pops.is_empty() && some == 0 {
            let help = "add pops = [\"*\"], names, busiest = 1 or watchers = 1";
            self.at("E0703", "the fault names no POP", &path("kind"), help);
        }
        let missing = match fault.kind {
            FaultKind::Demand if fault.factor.or(fault.to).is_none() => Some("factor"),
            FaultKind::Loss if fault.factor.is_none() => Some("factor"),
            FaultKind::Clock if fault.seconds.is_none() => Some("seconds"),
            FaultKind::Slow if fault.ms.is_none() => Some("ms"),
            FaultKind::Lie if fault.says.is_none() => Some("says"),
            FaultKind::Dead
            | FaultKind::Dark
            | FaultKind::Cut
            | FaultKind::Crash
            | FaultKind::Quit
            | FaultKind::Demand
            | FaultKind::Loss
            | FaultKind::Clock
            | FaultKind::Slow
            | FaultKind::Lie => None,
        };
        if let Some(key) = missing {
            let help = format!("add {key} = …; {READ}");
            self.at("E0703", &format!("the fault needs `{key}`"), &path("kind"), &help);
        }
        if let Some(factor) = fault.factor {
            let most = if everywhere { 1.0 } else { 100.0 };
            self.number(&path("factor"), factor, 0.0, most, "0 to 100; a loss 0 to 1");
        }
        if let Some(to) = fault.to {
            self.number(&path("to"), to, 0.0, 100.0, "0 to 100");
        }
        if let Some(seconds) = fault.seconds {
            let days = seconds.unsigned_abs();
            self.range(&path("seconds"), days, 0, 86_400, "at most a day either way");
        }
        if let Some(every) = fault.every {
            self.range(&path("every"), every.0, 1_000_000, LENGTH_MAX, "at least 1s");
        }
    }

    fn range(&mut self, path: &str, value: u64, low: u64, high: u64, help: &str) {
        if value < low || value > high {
            let key = path.rsplit('.').next().unwrap_or(path);
            self.at("E0703", &format!("`{key}` is out of its range"), path, help);
        }
    }

    fn number(&mut self, path: &str, value: f64, low: f64, high: f64, help: &str) {
        if !(low..=high).contains(&value) {
            let key = path.rsplit('.').next().unwrap_or(path);
            self.at("E0703", &format!("`{key}` is out of its range"), path, help);
        }
    }

    /// A mistake about what stands at `path`.
    fn at(&mut self, code: &str, what: &str, path: &str, help: &str) {
        let span = self.span(path);
        self.add(code, what, span, help);
        if let Some(last) = self.found.last_mut() {
            path.clone_into(&mut last.path);
        }
    }

    /// Where `path` stands, or the innermost table around it.
    fn span(&self, path: &str) -> Option<Range<usize>> {
        let mut item = self.document.as_ref()?.as_item();
        let mut span = item.span();
        for step in path.split('.') {
            let next = match step.parse::<usize>() {
                Ok(at) => item.get(at),
                Err(_) => item.get(step),
            };
            let Some(next) = next else { break };
            item = next;
            span = item.span().or(span);
        }
        span
    }

    fn add(&mut self, code: &str, what: &str, span: Option<Range<usize>>, help: &str) {
        let span = span.unwrap_or(0..0);
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let marked = self.text.get(span).unwrap_or_default();
        let first = marked.lines().next().unwrap_or_default();
        self.found.push(Diagnostic {
            severity: Severity::Error,
            code: code.to_owned(),
            message: what.lines().next().unwrap_or_default().to_owned(),
            path: String::new(),
            file: self.name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or_default().chars().count() + 1,
            length: first.chars().count().max(1),
            label: String::new(),
            others: Vec::new(),
            notes: Vec::new(),
            help: help.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> (String, usize, usize, String) {
        let found = load(text, "s.toml").unwrap_err();
        let first = found.into_iter().next().unwrap();
        (first.code, first.line, first.column, first.message)
    }

    #[test]
    fn mistakes_have_places() {
        let start = "title = \"x\"\nlength = \"60s\"\n";
        assert!(load(start, "s.toml").is_ok());
        let cases = [
            ("title = ", "E0701", 1, ""),
            ("[network]\npopz = 3\n", "E0702", 4, "popz"),
            ("[network]\npops = 2_000\n", "E0703", 4, "`pops`"),
            ("[crowd]\nunits = 10\nload = 0.0\n", "E0703", 5, "`load`"),
            ("[[faults]]\nkind = \"dead\"\nat = \"1s\"\n", "E0703", 4, "no POP"),
            ("[[faults]]\nkind = \"lie\"\nat = \"1s\"\npops = [\"*\"]\n", "E0703", 4, "`says`"),
            ("[[expect]]\nfigure = \"agreement\"\n", "E0704", 3, "no limit"),
            ("[[expect]]\nfigure = \"bill-saving\"\nat_least = 0.2\n", "E0704", 3, "baseline"),
            ("[[expect]]\nfigure = \"agreemint\"\n", "E0702", 4, "agreemint"),
        ];
        for (more, code, line, words) in cases {
            let found = mistake(&format!("{start}{more}"));
            assert_eq!(
                (&*found.0, found.1),
                (code, line.max(if code == "E0701" { 3 } else { line })),
                "{more}: {found:?}"
            );
            assert!(found.3.contains(words), "{found:?}");
        }
    }

    #[test]
    fn junk_is_refused_and_never_panics() {
        let whole = "title = \"ü\"\nlength = \"9m\"\n[[faults]]\nkind = \"dead\"\nat = \"1s\"\npops = [\"*\"]\n";
        assert!(load(whole, "s.toml").is_ok());
        for cut in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
            let _ = load(&whole[..cut], "s.toml");
            let _ = load(&format!("{}\u{0}{}", &whole[..cut], &whole[cut..]), "s.toml");
        }
    }
}
