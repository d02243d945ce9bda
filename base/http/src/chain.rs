//! `Via` (RFC 9110 7.6.3): who passed a message on.

use http::{HeaderMap, HeaderValue, Version, header};

/// Adds `name` to `Via` for a message received over `version`.
pub fn add_via(fields: &mut HeaderMap, version: Version, name: &str) {
    let protocol = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    };
    append_to_list(fields, &header::VIA, &format!("{protocol} {name}"));
}

/// How often `name` stands in `Via`: more than none means that a message goes in a circle.
#[must_use]
pub fn passed(fields: &HeaderMap, name: &str) -> usize {
    fields
        .get_all(header::VIA)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter(|member| member.split_whitespace().nth(1) == Some(name))
        .count()
}

/// Adds `member` at the end of a list field, all in one line.
pub fn append_to_list(fields: &mut HeaderMap, name: &header::HeaderName, member: &str) {
    let mut whole = Vec::new();
    for value in fields.get_all(name) {
        whole.extend_from_slice(value.as_bytes());
        whole.extend_from_slice(b", ");
    }
    whole.extend_from_slice(member.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&whole) {
        fields.insert(name.clone(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn via() {
        let mut fields = HeaderMap::new();
        add_via(&mut fields, Version::HTTP_11, "a");
        add_via(&mut fields, Version::HTTP_2, "b");
        assert_eq!(fields["via"], "1.1 a, 2 b");
        assert_eq!((passed(&fields, "a"), passed(&fields, "c")), (1, 0));
    }
}
