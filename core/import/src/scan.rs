//! The words of a `named.conf`, with comments of three kinds taken out.

use std::path::Path;
use std::sync::Arc;

use popnet_dns::Mistake;

use crate::places::Place;

/// What a file is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A word without quotes.
    Word(String),
    /// A text in quotes.
    Text(String),
    /// `{`
    Open,
    /// `}`
    Close,
    /// `;`
    End,
    /// `!`
    Not,
}

/// A file's text, read one word at a time.
pub(crate) struct Scanner<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    place: Place,
}

impl<'t> Scanner<'t> {
    pub(crate) fn new(file: Arc<Path>, text: &'t str) -> Self {
        Self { rest: text.chars().peekable(), place: Place { file, line: 1, column: 1 } }
    }

    /// The next word and its place; `None` at the end.
    pub(crate) fn token(&mut self) -> Result<Option<(Token, Place)>, Mistake> {
        self.blanks()?;
        let place = self.place.clone();
        let Some(first) = self.step() else { return Ok(None) };
        let token = match first {
            '{' => Token::Open,
            '}' => Token::Close,
            ';' => Token::End,
            '!' => Token::Not,
            '"' => Token::Text(self.text(&place)?),
            other => Token::Word(self.word(other)),
        };
        Ok(Some((token, place)))
    }

    /// Where the next word begins, or the file ends.
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

    fn step(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        if next == '\n' {
            self.place.line = self.place.line.saturating_add(1);
            self.place.column = 1;
        } else {
            self.place.column = self.place.column.saturating_add(1);
        }
        Some(next)
    }

    /// Steps over blanks and comments.
    fn blanks(&mut self) -> Result<(), Mistake> {
        while let Some(next) = self.rest.peek() {
            if next.is_whitespace() || next.is_control() {
                self.step();
            } else if *next == '#' || self.begins("//") {
                while self.step().is_some_and(|passed| passed != '\n') {}
            } else if self.begins("/*") {
                self.comment()?;
            } else {
                break;
            }
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<(), Mistake> {
        let begin = self.place.clone();
        self.step();
        self.step();
        while !self.begins("*/") {
            if self.step().is_none() {
                return Err(begin.wrong("this comment has no end: */ is missing"));
            }
        }
        self.step();
        self.step();
        Ok(())
    }

    fn begins(&self, with: &str) -> bool {
        let mut ahead = self.rest.clone();
        with.chars().all(|wanted| ahead.next() == Some(wanted))
    }

    /// A text after its first quotes. It may hold line ends: keys are written so.
    fn text(&mut self, begin: &Place) -> Result<String, Mistake> {
        let mut text = String::new();
        loop {
            match self.step() {
                None => return Err(begin.wrong("this text has no end: \" is missing")),
                Some('"') => return Ok(text),
                Some('\\') if self.rest.peek() == Some(&'"') => {
                    text.push('"');
                    self.step();
                }
                Some(other) => text.push(other),
            }
        }
    }

    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        while let Some(next) = self.rest.peek() {
            let ends = next.is_whitespace() || "{};!\"#".contains(*next) || next.is_control();
            if ends || self.begins("//") || self.begins("/*") {
                break;
            }
            word.extend(self.step());
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<String, String> {
        let mut scanner = Scanner::new(Path::new("f").into(), text);
        let mut all = Vec::new();
        while let Some((token, place)) = scanner.token().map_err(|wrong| wrong.to_string())? {
            let shown = match token {
                Token::Word(word) => word,
                Token::Text(text) => format!("{text:?}"),
                Token::Open => "{".into(),
                Token::Close => "}".into(),
                Token::End => ";".into(),
                Token::Not => "!".into(),
            };
            all.push(format!("{shown}@{}:{}", place.line, place.column));
        }
        Ok(all.join(" "))
    }

    #[test]
    fn words_and_comments() {
        let cases = [
            ("a{b;}", "a@1:1 {@1:2 b@1:3 ;@1:4 }@1:5"),
            ("a // x\nb # y\n/* z\n*/ c", "a@1:1 b@2:1 c@4:4"),
            ("10.0.0.0/8;", "10.0.0.0/8@1:1 ;@1:11"),
            ("a//b\nc", "a@1:1 c@2:1"),
            ("!10/8", "!@1:1 10/8@1:2"),
            ("\"a ; \\\" b\" 1", "\"a ; \\\" b\"@1:1 1@1:12"),
            ("\"a\nb\" c", "\"a\\nb\"@1:1 c@2:4"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text).as_deref(), Ok(expected), "{text:?}");
        }
        assert_eq!(words("a\n /* b").unwrap_err(), "f:2:2: this comment has no end: */ is missing");
        assert_eq!(words("a \"b").unwrap_err(), "f:1:3: this text has no end: \" is missing");
    }
}
