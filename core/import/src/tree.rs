//! Statements and blocks of a `named.conf`, with what it includes in its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use popnet_dns::Mistake;

use crate::places::Place;
use crate::report::{Kind, Note};
use crate::scan::{Scanner, Token};

/// BIND's own grammar needs six; a deeper file is no configuration.
const DEPTH_MAX: usize = 16;
/// Files that include each other in a ring are stopped here.
const INCLUDE_DEPTH: usize = 8;
/// A hundred thousand zones of ten statements each.
const STATEMENTS_MAX: usize = 1_000_000;
/// Files of files of files: no configuration has so many.
const FILES_MAX: usize = 10_000;

/// A statement: everything up to its semicolon.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) items: Vec<Item>,
    pub(crate) place: Place,
}

/// A part of a statement.
#[derive(Debug)]
pub(crate) enum Item {
    Word(Word),
    Block(Vec<Statement>),
    Not,
}

/// A word or a text in quotes.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) place: Place,
}

impl Statement {
    /// Its first word, in lower case; BIND's keywords have no case.
    pub(crate) fn name(&self) -> String {
        self.word(0).map(|word| word.text.to_ascii_lowercase()).unwrap_or_default()
    }

    /// The item at `at`, when it is a word.
    pub(crate) fn word(&self, at: usize) -> Option<&Word> {
        match self.items.get(at)? {
            Item::Word(word) => Some(word),
            Item::Block(_) | Item::Not => None,
        }
    }

    /// The words of the statement, one after another, without those in blocks.
    pub(crate) fn words(&self) -> impl Iterator<Item = &Word> {
        self.items.iter().filter_map(|item| match item {
            Item::Word(word) => Some(word),
            Item::Block(_) | Item::Not => None,
        })
    }

    /// Its first block.
    pub(crate) fn block(&self) -> Option<&[Self]> {
        self.items.iter().find_map(|item| match item {
            Item::Block(block) => Some(block.as_slice()),
            Item::Word(_) | Item::Not => None,
        })
    }

    /// The word after `key`, in any case.
    pub(crate) fn after(&self, key: &str) -> Option<&Word> {
        let mut words = self.words().skip_while(|word| !word.text.eq_ignore_ascii_case(key));
        words.nth(1)
    }
}

/// Gives a file's text, or why there is none.
pub(crate) type Open<'a> = &'a mut dyn FnMut(&Path) -> Result<String, String>;

/// Reads a file and what it includes.
pub(crate) struct Reader<'a> {
    open: Open<'a>,
    /// Files that cannot be had are told, the rest is read.
    pub(crate) notes: Vec<Note>,
    /// BIND looks for files in its folder as soon as it has read which one that is.
    directory: Option<PathBuf>,
    statements: usize,
    files: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(open: Open<'a>) -> Self {
        Self { open, notes: Vec::new(), directory: None, statements: 0, files: 0 }
    }

    /// The statements of `file`.
    pub(crate) fn file(&mut self, file: &Path) -> Result<Vec<Statement>, Mistake> {
        let shared: Arc<Path> = file.into();
        let place = Place { file: Arc::clone(&shared), line: 1, column: 1 };
        let text =
            (self.open)(file).map_err(|why| place.wrong(format!("cannot be read: {why}")))?;
        self.text(&shared, &text, 0, 0)
    }

    fn text(
        &mut self,
        file: &Arc<Path>,
        text: &str,
        files: usize,
        depth: usize,
    ) -> Result<Vec<Statement>, Mistake> {
        let mut scanner = Scanner::new(Arc::clone(file), text);
        let (block, closed) = self.block(&mut scanner, files, depth)?;
        match closed {
            None => Ok(block),
            Some(place) => Err(place.wrong("this } closes nothing")),
        }
    }

    /// Statements up to a `}`, whose place is given, or the end.
    fn block(
        &mut self,
        scanner: &mut Scanner<'_>,
        files: usize,
        depth: usize,
    ) -> Result<(Vec<Statement>, Option<Place>), Mistake> {
        let mut block = Vec::new();
        loop {
            let Some((token, place)) = scanner.token()? else { return Ok((block, None)) };
            if depth > DEPTH_MAX {
                return Err(place.wrong("blocks lie more than sixteen deep in each other"));
            }
            match token {
                Token::Close => return Ok((block, Some(place))),
                // An empty statement: people write `};` twice.
                Token::End => {}
                token @ (Token::Word(_) | Token::Text(_) | Token::Open | Token::Not) => {
                    let statement = self.statement(scanner, token, place, files, depth)?;
                    self.add(&mut block, statement, files, depth)?;
                }
            }
        }
    }

    fn statement(
        &mut self,
        scanner: &mut Scanner<'_>,
        first: Token,
        begin: Place,
        files: usize,
        depth: usize,
    ) -> Result<Statement, Mistake> {
        self.statements += 1;
        if self.statements > STATEMENTS_MAX {
            return Err(begin.wrong("more than a million statements"));
        }
        let mut items = Vec::new();
        let mut next = Some((first, begin.clone()));
        while let Some((token, place)) = next {
            match token {
                Token::End => return Ok(Statement { items, place: begin }),
                Token::Word(text) | Token::Text(text) => {
                    items.push(Item::Word(Word { text, place }));
                }
                Token::Not => items.push(Item::Not),
                Token::Open => {
                    let (block, closed) = self.block(scanner, files, depth + 1)?;
                    if closed.is_none() {
                        return Err(place.wrong("this { has no } before the end of the file"));
                    }
                    items.push(Item::Block(block));
                }
                Token::Close => {
                    let what = format!("; is missing before this }}, after {}", last(&items));
                    return Err(place.wrong(what));
                }
            }
            next = scanner.token()?;
        }
        Err(scanner.place().wrong(format!("; is missing at the end, after {}", last(&items))))
    }

    /// Takes a statement into its block; an `include` brings its file's statements.
    fn add(
        &mut self,
        block: &mut Vec<Statement>,
        statement: Statement,
        files: usize,
        depth: usize,
    ) -> Result<(), Mistake> {
        match statement.name().as_str() {
            "include" => {}
            "directory" => {
                let own = statement.place.file.parent().unwrap_or(Path::new(""));
                self.directory = statement.word(1).map(|word| own.join(&word.text));
                block.push(statement);
                return Ok(());
            }
            _ => {
                block.push(statement);
                return Ok(());
            }
        }
        let Some(path) = statement.word(1) else {
            return Err(statement.place.wrong("include needs a file's name in quotes"));
        };
        if files >= INCLUDE_DEPTH {
            return Err(path.place.wrong("files include each other more than eight deep"));
        }
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(path.place.wrong("more than ten thousand files are included"));
        }
        let beside = statement.place.file.parent().unwrap_or(Path::new("")).join(&path.text);
        let inside = self.directory.as_ref().map(|directory| directory.join(&path.text));
        let mut why = None;
        for file in [Some(beside), inside].into_iter().flatten() {
            match (self.open)(&file) {
                Ok(text) => {
                    block.extend(self.text(&file.into(), &text, files + 1, depth)?);
                    return Ok(());
                }
                Err(error) => drop(why.get_or_insert(error)),
            }
        }
        self.notes.push(Note {
            kind: Kind::Left,
            place: statement.place.clone(),
            what: format!("include {:?}", path.text),
            why: format!("cannot be read: {}", why.unwrap_or_default()),
        });
        Ok(())
    }
}

/// Whether what follows `word` is for nobody's eyes.
pub(crate) fn is_secret(word: &str) -> bool {
    word.to_ascii_lowercase().contains("secret")
}

/// The last of `items`, for a person; what a key's statement holds stays unsaid.
fn last(items: &[Item]) -> String {
    let first = items.first();
    let secret = matches!(first, Some(Item::Word(word)) if is_secret(&word.text));
    match items.last() {
        Some(Item::Word(_)) if secret && items.len() > 1 => "the secret".to_owned(),
        Some(Item::Word(word)) => format!("{:?}", word.text),
        Some(Item::Block(_)) => "}".to_owned(),
        Some(Item::Not) => "!".to_owned(),
        None => "the beginning".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<(usize, Vec<String>), String> {
        let mut open = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "no such file".to_owned())
        };
        let mut reader = Reader::new(&mut open);
        let tree = reader.file(Path::new("d/n")).map_err(|wrong| wrong.to_string())?;
        Ok((tree.len(), reader.notes.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn includes() {
        let options = "options { directory \"sub\"; include \"more\"; };";
        let two = "a; include \"b\";";
        assert_eq!(read(&[("d/n", two), ("d/b", "c; d;")]), Ok((3, vec![])));
        assert_eq!(read(&[("d/n", options), ("d/sub/more", "a b;")]), Ok((1, vec![])));
        let lost = vec!["d/n:1  left      include \"b\": cannot be read: no such file".to_owned()];
        assert_eq!(read(&[("d/n", two)]), Ok((1, lost)));
        let ring = read(&[("d/n", "include \"n\";")]).unwrap_err();
        assert_eq!(ring, "d/n:1:9: files include each other more than eight deep");
    }

    #[test]
    fn mistakes_have_places() {
        let cases = [
            ("a { b; }", "d/n:1:9: ; is missing at the end, after }"),
            ("a { b }; c;", "d/n:1:7: ; is missing before this }, after \"b\""),
            ("a { b;", "d/n:1:3: this { has no } before the end of the file"),
            ("a;\n} b;", "d/n:2:1: this } closes nothing"),
            ("key k { secret \"xyz\" };", "d/n:1:22: ; is missing before this }, after the secret"),
            ("include;", "d/n:1:1: include needs a file's name in quotes"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(&[("d/n", text)]).unwrap_err(), expected, "{text:?}");
        }
        let deep = "a { ".repeat(100_000);
        assert!(read(&[("d/n", &deep)]).unwrap_err().contains("sixteen deep"));
        assert!(read(&[]).unwrap_err().contains("cannot be read: no such file"));
    }
}
