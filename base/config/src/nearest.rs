//! "Did you mean": the known name nearest to a wrong one.

/// The name of `known` nearest to `wrong`, when it is near enough to be meant.
pub(crate) fn nearest<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    // One slip in short names, one in three letters of longer ones.
    let slips_max = (wrong.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(&wrong, &name.to_lowercase()), name))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

fn distance(wrong: &str, name: &str) -> usize {
    // `max-ttl` for `max_ttl` is one slip of habit, `ttl` for `ttl_max` half a name.
    let same = |text: &str| text.replace(['-', ' '], "_");
    let slips = strsim::damerau_levenshtein(&same(wrong), &same(name));
    let part = wrong.len() >= 3 && (name.starts_with(wrong) || wrong.starts_with(name));
    let inside = wrong.len() >= 4 && name.contains(wrong);
    if (part || inside) && !name.is_empty() { slips.min(1) } else { slips }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    fn check(wrong: &str, known: &[&str], expected: Option<&str>) {
        assert_eq!(nearest(wrong, known.iter().copied()), expected, "{wrong}");
    }

    #[test]
    fn suggestions() {
        check("timout", &["kind", "target", "timeout"], Some("timeout"));
        check("fra2", &["iad1", "fra1", "nrt1"], Some("fra1"));
        check("ttl", &["max", "ttl_min"], Some("ttl_min"));
        check("max-ttl", &["max_ttl", "max_object"], Some("max_ttl"));
        check("cache", &["webcache", "webserver"], Some("webcache"));
        check("WebCache", &["webcache", "webserver"], Some("webcache"));
        check("zürich", &["iad1"], None);
        check("", &["iad1"], None);
    }
}
