//! Where a value stands in the tree: `pops.fra1.cost`, `sites."static.acme.example".rules[0].path`.
//! Errors, plans, differences and `config get` speak in these.

use std::fmt;
use std::str::FromStr;

/// The way from the root to a value; the empty path is the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Vec<Step>);

/// One step down the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Into a table.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

impl TreePath {
    /// The path made of these keys.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self(keys.into_iter().map(|key| Step::Key(key.to_owned())).collect())
    }

    /// This path and one key more.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// This path and one index more.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    /// The steps from the root.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The path without its last step; the root's parent is the root.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self(self.0.split_last().map(|(_, rest)| rest.to_vec()).unwrap_or_default())
    }

    /// The path up to the first index: the list itself for an element of a list.
    #[must_use]
    pub fn without_indices(&self) -> Self {
        Self(self.0.iter().take_while(|step| matches!(step, Step::Key(_))).cloned().collect())
    }

    /// Whether `self` is `other` or lies above it.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) => {
                    if at > 0 {
                        f.write_str(".")?;
                    }
                    write_key(f, key)?;
                }
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn write_key(f: &mut fmt::Formatter<'_>, key: &str) -> fmt::Result {
    if !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        f.write_str(key)
    } else {
        // The escapes are those of a TOML basic string.
        f.write_str("\"")?;
        for c in key.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04X}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// The text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a path ({why}); write pops.fra1.cost or 'sites.\"www.example.net\".cache.max_ttl'"
)]
pub struct PathError {
    text: String,
    why: &'static str,
}

impl FromStr for TreePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let wrong = |why| PathError { text: text.to_owned(), why };
        let mut steps = Vec::new();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Ok(Self(steps));
        }
        loop {
            let (key, after) = read_key(rest).map_err(wrong)?;
            steps.push(Step::Key(key));
            rest = after;
            while let Some(inside) = rest.strip_prefix('[') {
                let (digits, after) = inside.split_once(']').ok_or(wrong("[ without ]"))?;
                let index =
                    digits.trim().parse().map_err(|_| wrong("no number between [ and ]"))?;
                steps.push(Step::Index(index));
                rest = after;
            }
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None if rest.is_empty() => return Ok(Self(steps)),
                None => return Err(wrong("a dot is missing")),
            }
        }
    }
}

/// The first key of `text`, bare or quoted, and what follows it.
fn read_key(text: &str) -> Result<(String, &str), &'static str> {
    if let Some(inside) = text.strip_prefix('\'') {
        let (key, rest) = inside.split_once('\'').ok_or("a quote is open")?;
        return Ok((key.to_owned(), rest));
    }
    if let Some(inside) = text.strip_prefix('"') {
        return read_quoted(inside);
    }
    let end = text.find(['.', '[', ']', '"', '\'']).unwrap_or(text.len());
    let (key, rest) = text.split_at(end);
    if key.is_empty() { Err("a key is missing") } else { Ok((key.to_owned(), rest)) }
}

/// The inside of a quoted key up to its closing quote, escapes resolved.
fn read_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut key = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((key, chars.as_str())),
            '\\' => key.push(read_escape(&mut chars)?),
            c => key.push(c),
        }
    }
    Err("a quote is open")
}

fn read_escape(chars: &mut std::str::Chars<'_>) -> Result<char, &'static str> {
    match chars.next() {
        Some('u') => {
            let digits = chars.as_str().get(..4).ok_or("a \\u escape is short")?;
            let code = u32::from_str_radix(digits, 16).map_err(|_| "a \\u escape is no number")?;
            *chars = chars.as_str().get(4..).unwrap_or_default().chars();
            char::from_u32(code).ok_or("a \\u escape is no character")
        }
        Some(c) => Ok(c),
        None => Err("a quote is open"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, steps: usize) {
        let path: TreePath = text.parse().unwrap();
        assert_eq!(path.steps().len(), steps, "{path}");
        assert_eq!(path.to_string(), text);
    }

    #[test]
    fn read_and_printed() {
        check("", 0);
        check("pops.fra1.cost", 3);
        check("sites.\"static.acme.example\".cache.max_ttl", 4);
        check("sites.\"*\".rules[0].path", 5);
        check("a[0][1]", 3);
    }

    #[test]
    fn refused() {
        for text in [".", "a.", "a..b", "a[", "a[x]", "a[0]b", "\"a", "a]", "'", "\"\\"] {
            assert!(text.parse::<TreePath>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_paths_are_read_back(keys in prop::collection::vec(any::<String>(), 1..4)) {
            let path = TreePath::of(keys.iter().map(String::as_str));
            prop_assert_eq!(path.to_string().parse::<TreePath>().unwrap(), path);
        }
    }
}
