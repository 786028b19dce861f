//! Places in a TOML file, from the parser's spans.
//!
//! Owns: lines of keys, and the refusal of keys with hundreds of dots, which the parser would follow into the depth of
//! the stack. Never: values.

use ::toml::de::{DeTable, DeValue};

use super::MAX_DEPTH;
use super::marks::{Locations, SyntaxError, line_and_column};

pub(super) fn marks(text: &str) -> Result<Locations, Vec<SyntaxError>> {
    if let Some(offset) = overlong_key(text) {
        let (line, column) = line_and_column(text, offset);
        return Err(vec![SyntaxError::new(line, column, "nested too deeply")]);
    }
    let table = DeTable::parse(text).map_err(|error| {
        let (line, column) = line_and_column(text, error.span().map_or(0, |span| span.start));
        vec![SyntaxError::new(
            line,
            column,
            format!("not valid TOML: {}", error.message().replace('\n', ", ")),
        )]
    })?;
    let mut found = Found { lines: Lines::of(text), marks: Locations::default(), slips: Vec::new() };
    found.table("", table.get_ref());
    if found.slips.is_empty() { Ok(found.marks) } else { Err(found.slips) }
}

struct Found<'a> {
    lines: Lines<'a>,
    marks: Locations,
    slips: Vec<SyntaxError>,
}

impl Found<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = super::super::keys::join(path, key.get_ref());
            let (line, column) = self.lines.at(key.span().start);
            self.marks.put(path.clone(), line, column);
            self.value(&path, value.get_ref());
        }
    }

    fn value(&mut self, path: &str, value: &DeValue<'_>) {
        if let DeValue::Table(table) = value {
            self.table(path, table);
        } else if let DeValue::Array(items) = value {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                let (line, column) = self.lines.at(item.span().start);
                self.marks.put(path.clone(), line, column);
                self.value(&path, item.get_ref());
            }
        } else if is_beyond_numbers(value)
            && let Some((line, column)) = self.marks.at(path)
        {
            self.slips.push(SyntaxError::new(line, column, "not valid TOML: this number is too large"));
        }
    }
}

/// Numbers that TOML can write and no type here can hold.
fn is_beyond_numbers(value: &DeValue<'_>) -> bool {
    if let DeValue::Integer(number) = value {
        return i64::from_str_radix(number.as_str(), number.radix()).is_err();
    }
    let DeValue::Float(number) = value else { return false };
    !number.as_str().contains("inf") && number.as_str().parse::<f64>().is_ok_and(f64::is_infinite)
}

/// Where lines begin, so that each of many places is found quickly.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn at(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts[line - 1];
        (line, 1 + self.text.get(start..offset).map_or(0, |before| before.chars().count()))
    }
}

/// The place of a dotted key with more parts than could mean anything.
fn overlong_key(text: &str) -> Option<usize> {
    let mut dots = 0;
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        match letter {
            '#' => at += text[at..].find('\n').unwrap_or(text.len() - at),
            '"' | '\'' => at += string_length(&text[at..], letter),
            '.' => {
                dots += 1;
                at += 1;
            }
            _ => {
                if !(letter.is_alphanumeric() || matches!(letter, '_' | '-' | ' ' | '\t')) {
                    dots = 0;
                }
                at += letter.len_utf8();
            }
        }
        if dots > MAX_DEPTH {
            return Some(at);
        }
    }
    None
}

/// The length of the string that `text` begins with, quotes included; to the end of the line or text if unterminated.
fn string_length(text: &str, quote: char) -> usize {
    let triple = quote.to_string().repeat(3);
    let (end, long) = if text.starts_with(&triple) { (triple, true) } else { (quote.to_string(), false) };
    let mut at = end.len();
    while let Some(letter) = text[at..].chars().next() {
        if text[at..].starts_with(&end) {
            return at + end.len();
        }
        if letter == '\n' && !long {
            return at;
        }
        at += letter.len_utf8();
        if letter == '\\' && quote == '"' {
            at += text[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    at
}
