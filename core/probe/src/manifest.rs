//! Where a manifest of streamed media leads next: HLS (RFC 8216) and DASH (ISO/IEC 23009-1).

use popnet_config::network::StreamFormat;
use roxmltree::{Document, Node, ParsingOptions};

/// Elements and texts of an MPD that are read; more is refused.
const NODES_MAX: u32 = 50_000;

/// The longest reference.
const REFERENCE_MAX: usize = 2_048;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another manifest: one variant's.
    Manifest(String),
    /// Media.
    Media(String),
}

/// What `manifest` leads to; the error says in words why it leads nowhere. Takes any octets.
///
/// # Errors
/// It is no manifest, or names no media.
pub fn next(format: StreamFormat, manifest: &[u8]) -> Result<Next, &'static str> {
    let text = std::str::from_utf8(manifest).map_err(|_| "the manifest is not UTF-8")?;
    match format {
        StreamFormat::Hls => playlist(text),
        StreamFormat::Dash => description(text).map(Next::Media),
        StreamFormat::Endless => Err("an endless stream has no manifest"),
    }
    .and_then(|next| {
        let (Next::Manifest(reference) | Next::Media(reference)) = &next;
        (reference.len() <= REFERENCE_MAX).then_some(next).ok_or("a reference is too long")
    })
}

/// The first variant of a master playlist; the last segment of a media playlist: of a live stream
/// it is what a client would fetch next.
fn playlist(text: &str) -> Result<Next, &'static str> {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    if lines.next() != Some("#EXTM3U") {
        return Err("not a playlist");
    }
    let mut is_variant = false;
    let mut last = None;
    for line in lines {
        if line.starts_with("#EXT-X-STREAM-INF:") {
            is_variant = true;
        } else if !line.is_empty() && !line.starts_with('#') {
            if is_variant {
                return Ok(Next::Manifest(line.to_owned()));
            }
            last = Some(line);
        }
    }
    last.map(|line| Next::Media(line.to_owned())).ok_or("the playlist names no media")
}

/// The initialization or first segment of the first representation.
fn description(text: &str) -> Result<String, &'static str> {
    // Entities could blow a small text up; a manifest needs none.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..Default::default() };
    let document = Document::parse_with_options(text, options).map_err(|_| "not an MPD")?;
    let root = document.root_element();
    if root.tag_name().name() != "MPD" {
        return Err("not an MPD");
    }
    let none = "the MPD names no media";
    let wanted = |node: &Node<'_, '_>| node.tag_name().name() == "Representation";
    let representation = root.descendants().find(wanted).ok_or(none)?;
    let outward = || representation.ancestors();
    let template = outward().find_map(|node| child(node, "SegmentTemplate"));
    let list = outward().find_map(|node| child(node, "SegmentList"));
    let own = match (template, list) {
        (Some(template), _) => {
            let pattern = template.attribute("initialization").or(template.attribute("media"));
            filled(pattern.ok_or(none)?, representation, template)
        }
        (None, Some(list)) => {
            let first = child(list, "Initialization").and_then(|node| node.attribute("sourceURL"));
            let first = first.or_else(|| child(list, "SegmentURL")?.attribute("media"));
            first.ok_or(none)?.to_owned()
        }
        (None, None) => String::new(),
    };
    // Base addresses from the outside in (5.6), each relative to the one before.
    let mut bases: Vec<&str> =
        outward().filter_map(|node| child(node, "BaseURL")?.text()).collect();
    bases.reverse();
    let mut whole = String::new();
    for part in bases.into_iter().map(str::trim).chain([own.as_str()]) {
        whole = resolve(&whole, part).ok_or("a reference is too long")?;
    }
    if whole.is_empty() { Err(none) } else { Ok(whole) }
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.tag_name().name() == name)
}

/// A template with its identifiers replaced (5.3.9.4.4), widths as in `$Number%05d$`.
fn filled(pattern: &str, representation: Node<'_, '_>, template: Node<'_, '_>) -> String {
    let of = |node: Node<'_, '_>, name| node.attribute(name).unwrap_or_default().to_owned();
    let mut text = String::new();
    for (at, part) in pattern.split('$').enumerate() {
        let (name, width) = part.split_once('%').unwrap_or((part, ""));
        let value = match (at % 2, name) {
            (0, _) => part.to_owned(),
            (_, "") => "$".to_owned(),
            (_, "RepresentationID") => of(representation, "id"),
            (_, "Bandwidth") => of(representation, "bandwidth"),
            (_, "Number") => template.attribute("startNumber").unwrap_or("1").to_owned(),
            (_, "Time") => first_time(template),
            (_, _) => String::new(),
        };
        let width = width.trim_start_matches('0').trim_end_matches('d').parse().unwrap_or(0_usize);
        text.extend(std::iter::repeat_n('0', width.min(20).saturating_sub(value.len())));
        text.push_str(&value);
    }
    text
}

fn first_time(template: Node<'_, '_>) -> String {
    let timeline = child(template, "SegmentTimeline");
    let first = timeline.and_then(|timeline| child(timeline, "S"));
    first.and_then(|first| first.attribute("t")).unwrap_or("0").to_owned()
}

/// `reference` as seen from `base`, each a path or a whole URL (RFC 3986 5.2, without dot segments
/// beyond those at the front). `None` when it grows too long.
#[must_use]
pub fn resolve(base: &str, reference: &str) -> Option<String> {
    if base.len() + reference.len() > 2 * REFERENCE_MAX {
        return None;
    }
    let reference = reference.split('#').next().unwrap_or_default();
    if reference.is_empty() {
        return Some(base.to_owned());
    }
    if reference.contains("://") {
        return Some(reference.to_owned());
    }
    let (authority, path) = parts(base);
    if let Some(rest) = reference.strip_prefix("//") {
        let scheme = authority.split("//").next().unwrap_or_default();
        return Some(format!("{scheme}//{rest}"));
    }
    if reference.starts_with('/') {
        return Some(format!("{authority}{reference}"));
    }
    let path = path.split('?').next().unwrap_or_default();
    let mut folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let is_rooted = path.contains('/');
    let mut rest = reference;
    loop {
        if let Some(up) = rest.strip_prefix("../") {
            folder.truncate(folder.rfind('/').unwrap_or(0));
            rest = up;
        } else if let Some(here) = rest.strip_prefix("./") {
            rest = here;
        } else {
            break;
        }
    }
    let slash = if is_rooted { "/" } else { "" };
    Some(format!("{authority}{folder}{slash}{rest}"))
}

/// `SCHEME://AUTHORITY`, if any, and the path.
fn parts(url: &str) -> (&str, &str) {
    let start = url.find("://").map(|at| at + 3);
    let end = start.and_then(|start| Some(start + url.get(start..)?.find('/')?));
    match (start, end) {
        (Some(_), Some(end)) => url.split_at_checked(end).unwrap_or((url, "")),
        (Some(_), None) => (url, "/"),
        (None, _) => ("", url),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn playlists() {
        let master = "#EXTM3U\r\n#EXT-X-STREAM-INF:BANDWIDTH=1280000\r\nlow/index.m3u8\r\n";
        let hls = |text: &str| next(StreamFormat::Hls, text.as_bytes());
        assert_eq!(hls(master), Ok(Next::Manifest("low/index.m3u8".into())));
        let media = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXTINF:4,\nb.ts\n";
        assert_eq!(hls(media), Ok(Next::Media("b.ts".into())));
        assert_eq!(hls("#EXTM3U\n#EXTINF:4,\n"), Err("the playlist names no media"));
        assert_eq!(hls("<html>"), Err("not a playlist"));
    }

    #[test]
    fn descriptions() {
        let dash = |text: &str| next(StreamFormat::Dash, text.as_bytes());
        let template = r#"<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>vod/</BaseURL><Period>
            <AdaptationSet><SegmentTemplate media="$RepresentationID$/$Number%05d$.m4s"
            startNumber="7"/><Representation id="v1" bandwidth="1"/></AdaptationSet></Period></MPD>"#;
        assert_eq!(dash(template), Ok(Next::Media("vod/v1/00007.m4s".into())));
        let single = "<MPD><Period><AdaptationSet><Representation><BaseURL>a.mp4</BaseURL>\
            </Representation></AdaptationSet></Period></MPD>";
        assert_eq!(dash(single), Ok(Next::Media("a.mp4".into())));
        let list = r#"<MPD><Period><AdaptationSet><Representation><SegmentList>
            <SegmentURL media="one.m4s"/></SegmentList></Representation></AdaptationSet></Period></MPD>"#;
        assert_eq!(dash(list), Ok(Next::Media("one.m4s".into())));
        for junk in ["", "<html/>", "<MPD/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><MPD>&b;</MPD>"] {
            assert!(dash(junk).is_err(), "{junk}");
        }
    }

    #[test]
    fn references() {
        for (base, reference, whole) in [
            ("/live/index.m3u8", "low/a.ts", "/live/low/a.ts"),
            ("/live/low/index.m3u8?t=1", "../b.ts", "/live/b.ts"),
            ("/a", "../../b", "/b"),
            ("/a/b", "/c", "/c"),
            ("/a/b", "https://h/x", "https://h/x"),
            ("https://h/x/y", "z", "https://h/x/z"),
            ("https://h", "z", "https://h/z"),
            ("https://h/x", "//g/z", "https://g/z"),
            ("", "z", "z"),
            ("/a/b", "", "/a/b"),
        ] {
            assert_eq!(resolve(base, reference).as_deref(), Some(whole), "{base} {reference}");
        }
    }

    proptest! {
        #[test]
        fn junk_leads_nowhere(octets in prop::collection::vec(any::<u8>(), 0..300), a in ".{0,40}", b in ".{0,40}") {
            for format in [StreamFormat::Hls, StreamFormat::Dash] {
                let _ = next(format, &octets);
            }
            let _ = resolve(&a, &b);
        }
    }
}
