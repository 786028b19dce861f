//! Where each key and list entry of a file stands.
//!
//! Owns: the map from key path to line, built from a stream of events, and keys that occur twice. Never: values.

use std::collections::BTreeMap;

use super::super::complaint::display_key;
use super::super::keys::join;

/// Line and column of each path such as `targets[0].region`, both from 1.
#[derive(Debug, Default)]
pub(super) struct Locations(BTreeMap<String, (usize, usize)>);

impl Locations {
    pub(super) fn at(&self, path: &str) -> Option<(usize, usize)> {
        self.0.get(path).copied()
    }

    pub(super) fn put(&mut self, path: String, line: usize, column: usize) {
        self.0.insert(path, (line, column));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An error of syntax.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) column: usize,
    /// The path of the key, if it is about one.
    pub(super) key: String,
    pub(super) text: String,
}

impl SyntaxError {
    pub(super) fn new(line: usize, column: usize, text: impl Into<String>) -> Self {
        Self { line, column, key: String::new(), text: text.into() }
    }
}

/// Line and column, in characters from 1, of the byte at `offset`.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before: String = text.char_indices().take_while(|(at, _)| *at < offset).map(|(_, c)| c).collect();
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.rsplit('\n').next().map_or(0, |rest| rest.chars().count());
    (line, column)
}

/// Follows the events of a parser: keys, values, beginnings and ends.
#[derive(Debug, Default)]
pub(super) struct EventVisitor {
    marks: Locations,
    slips: Vec<SyntaxError>,
    open: Vec<Open>,
}

#[derive(Debug)]
enum Open {
    Table { path: String, lines: BTreeMap<String, usize>, key: Option<String> },
    List { path: String, next: usize },
}

impl EventVisitor {
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Whether the next scalar is a key.
    pub(super) fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Table { key: None, .. }))
    }

    pub(super) fn key(&mut self, name: &str, line: usize, column: usize) {
        let Some(Open::Table { path, lines, key }) = self.open.last_mut() else { return };
        let shown = join(path, &display_key(name));
        let path = join(path, name);
        if let Some(first) = lines.insert(name.to_owned(), line) {
            let text = format!("given twice, first on line {first}; keep one");
            self.slips.push(SyntaxError { line, column, key: shown, text });
        }
        self.marks.put(path.clone(), line, column);
        *key = Some(path);
    }

    /// A value that holds no others.
    pub(super) fn scalar(&mut self, line: usize, column: usize) {
        self.place(line, column);
    }

    pub(super) fn table(&mut self, line: usize, column: usize) {
        let path = self.place(line, column);
        self.open.push(Open::Table { path, lines: BTreeMap::new(), key: None });
    }

    pub(super) fn list(&mut self, line: usize, column: usize) {
        let path = self.place(line, column);
        self.open.push(Open::List { path, next: 0 });
    }

    pub(super) fn close(&mut self) {
        self.open.pop();
    }

    pub(super) fn complain(&mut self, slip: SyntaxError) {
        self.slips.push(slip);
    }

    pub(super) fn finish(self) -> Result<Locations, Vec<SyntaxError>> {
        if self.slips.is_empty() { Ok(self.marks) } else { Err(self.slips) }
    }

    /// The path of the value that begins here.
    fn place(&mut self, line: usize, column: usize) -> String {
        match self.open.last_mut() {
            None => String::new(),
            Some(Open::Table { key, .. }) => key.take().unwrap_or_default(),
            Some(Open::List { path, next }) => {
                let path = format!("{path}[{next}]");
                *next += 1;
                self.marks.put(path.clone(), line, column);
                path
            }
        }
    }
}
