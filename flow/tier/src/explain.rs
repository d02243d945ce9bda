//! "Why?": the answer to a URL, found by the functions that serve it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use popnet_cache::key::Key;
use popnet_cache::reuse::{Rule, Verdict, is_cacheable_request, reuse};
use popnet_cache::stored::Stored;
use popnet_delivery::describe as describe_delivery;
use popnet_terms::CacheReason;
use popnet_wire::explaining::{ExplainUrl, UrlStory};
use popnet_wire::sheet::{PathRule, SetCookie, SiteSheet};

use crate::coding::Asked;
use crate::delivery::delivery_of;
use crate::shelf::Shelf;
use crate::tier::{Tier, wish_of};
use crate::upstream::Upstream;

impl<S: Shelf, U: Upstream> Tier<S, U> {
    /// What a GET of this URL would get here just now. Nothing is fetched.
    pub async fn explain(&self, url: &ExplainUrl, site: Option<&SiteSheet>) -> UrlStory {
        let mut story = UrlStory {
            node: self.settings.node.clone(),
            tier: self.settings.kind.into(),
            site: None,
            key: "".into(),
            verdict: "refuse".into(),
            reason: CacheReason::RuleBypass,
            ttl: None,
            age: None,
            variants: 0,
            not_stored: None,
            checks: Vec::new(),
        };
        let Some(site) = site else {
            check(&mut story, "host", &format!("no site is named {}, and there is no *", url.host));
            return story;
        };
        story.site = Some(site.site.as_str().into());
        let fields = fields(url);
        let rule = Rule::of(site, &url.path);
        let key = Key::of(&url.scheme, &url.host, &url.path, &site.cache);
        story.key = key.as_str().into();
        check(&mut story, "host", &format!("site {}", site.site));
        check(&mut story, "rules", &deciding(Rule::deciding(site, &url.path)));
        check(&mut story, "delivery", &describe_delivery(delivery_of(site, &url.path)));
        if let Err(reason) = is_cacheable_request(&Method::GET, false, rule) {
            story.verdict = "forward".into();
            story.reason = reason;
            return story;
        }
        check(&mut story, "key", key.as_str());
        let asked = Asked { method: &Method::GET, fields: &fields, path: &url.path, site };
        self.judge(&mut story, &key, &asked, rule).await;
        story
    }

    async fn judge(&self, story: &mut UrlStory, key: &Key, asked: &Asked<'_>, rule: Rule) {
        let Asked { fields, site, .. } = *asked;
        let now = self.now();
        let entries = self.shelf.find(key).await;
        story.variants = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let absence = self.absences.recall(key, now).map(|absence| absence.reason);
        story.not_stored = absence.filter(|reason| *reason != CacheReason::Purged);
        let Some(entry) = entries.iter().find(|entry| entry.stored.selects(fields)) else {
            story.verdict = "forward".into();
            story.reason = match (entries.is_empty(), absence) {
                (true, Some(reason)) => reason,
                (empty, _) => self.why_absent(key, !empty),
            };
            let known: Vec<_> =
                entries.iter().map(|entry| entry.stored.variant.readable()).collect();
            let found = if known.is_empty() {
                "nothing is stored".to_owned()
            } else {
                format!("stored only for {}", known.join(" | "))
            };
            check(story, "stored", &found);
            return;
        };
        check(story, "stored", &describe(&entry.stored));
        let judged = reuse(&wish_of(fields), &entry.stored, site, rule, now);
        story.ttl = Some(judged.ttl);
        story.age = Some(judged.age);
        let (verdict, reason) = match judged.verdict {
            Verdict::Reuse => ("hit", self.settings.hit),
            Verdict::ReuseWhileValidating => ("hit", CacheReason::StaleRevalidating),
            Verdict::Validate { reason, .. } => ("validate", reason),
        };
        story.verdict = verdict.into();
        story.reason = reason;
        if self.shelf.codes() {
            check(story, "coding", &self.why_coded(asked, entry));
        }
        let fresh = format!("age {} s, {} s left", judged.age, judged.ttl);
        check(story, "freshness", &fresh);
    }
}

fn describe(stored: &Stored) -> String {
    let length = stored.length.map_or_else(|| "?".to_owned(), |length| length.to_string());
    let variant = stored.variant.readable();
    let variant = if variant.is_empty() { String::new() } else { format!(", vary: {variant}") };
    format!("{}, {length} octets{variant}", stored.status)
}

/// Which path rule counts, counted from 0 as in the configuration's messages, and what it changes.
fn deciding(found: Option<(usize, &PathRule)>) -> String {
    let Some((at, rule)) = found else { return "no path rule matches".to_owned() };
    let mut says = Vec::new();
    if rule.bypass {
        says.push("bypass".to_owned());
    }
    match rule.set_cookie {
        Some(SetCookie::Bypass) => says.push("set_cookie bypass".to_owned()),
        Some(SetCookie::Strip) => says.push("set_cookie strip".to_owned()),
        Some(SetCookie::Obey) => says.push("set_cookie obey".to_owned()),
        None => {}
    }
    if rule.delivery.is_some() {
        says.push("delivery".to_owned());
    }
    if let Some(ttl) = rule.default_ttl {
        says.push(format!("default_ttl {} s", ttl.0));
    }
    let says = if says.is_empty() { "nothing".to_owned() } else { says.join(", ") };
    format!("rules[{at}] {} says {says}", rule.path)
}

fn check(story: &mut UrlStory, name: &str, found: &str) {
    story.checks.push((name.into(), Arc::from(found)));
}

fn fields(url: &ExplainUrl) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in &url.fields {
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(&**name), HeaderValue::try_from(&**value))
        {
            fields.append(name, value);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use popnet_terms::Seconds;

    use super::*;

    #[test]
    fn the_rule_that_counts_is_named() {
        let rule = PathRule {
            path: "/api/*".into(),
            bypass: true,
            set_cookie: Some(SetCookie::Strip),
            default_ttl: Some(Seconds(60)),
            delivery: None,
        };
        let text = "rules[1] /api/* says bypass, set_cookie strip, default_ttl 60 s";
        assert_eq!(deciding(Some((1, &rule))), text);
        let empty = PathRule { bypass: false, set_cookie: None, default_ttl: None, ..rule };
        assert_eq!(deciding(Some((0, &empty))), "rules[0] /api/* says nothing");
        assert_eq!(deciding(None), "no path rule matches");
    }
}
