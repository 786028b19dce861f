//! Places in a JSON file.
//!
//! Owns: a walk over text that is known to be valid JSON. Never: values, nor the judgement whether it is valid.

use super::MAX_DEPTH;
use super::marks::{EventVisitor, Locations, SyntaxError};

pub(super) fn marks(text: &str) -> Result<Locations, Vec<SyntaxError>> {
    if text.trim().is_empty() {
        return Ok(Locations::default());
    }
    let parsed: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        let sentence = error.to_string();
        let reason = sentence.split(" at line ").next().unwrap_or_default();
        vec![SyntaxError::new(
            error.line().max(1),
            error.column().max(1),
            format!("not valid JSON: {reason}"),
        )]
    })?;
    if !parsed.is_object() {
        return Err(vec![SyntaxError::new(
            1,
            1,
            "the file begins with sections such as {\"targets\": [...]}",
        )]);
    }
    walk(text)
}

fn walk(text: &str) -> Result<Locations, Vec<SyntaxError>> {
    let mut walk = EventVisitor::default();
    let (mut line, mut column) = (1, 0);
    let mut letters = text.char_indices().peekable();
    while let Some((start, letter)) = letters.next() {
        column += 1;
        match letter {
            '\n' => (line, column) = (line + 1, 0),
            '{' | '[' if walk.depth() >= MAX_DEPTH => {
                return Err(vec![SyntaxError::new(line, column, "nested too deeply")]);
            }
            '{' => walk.table(line, column),
            '[' => walk.list(line, column),
            '}' | ']' => walk.close(),
            '"' => {
                let first = column;
                let mut end = start + 1;
                let mut escaped = false;
                for (at, inner) in letters.by_ref() {
                    column += 1;
                    end = at + inner.len_utf8();
                    if inner == '"' && !escaped {
                        break;
                    }
                    escaped = inner == '\\' && !escaped;
                }
                if walk.wants_key() {
                    let name: String = serde_json::from_str(&text[start..end]).unwrap_or_default();
                    walk.key(&name, line, first);
                } else {
                    walk.scalar(line, first);
                }
            }
            ',' | ':' => {}
            blank if blank.is_whitespace() => {}
            _ => {
                walk.scalar(line, column);
                // The rest of a number, `true`, `false` or `null`.
                while letters.next_if(|(_, c)| c.is_ascii_alphanumeric() || "+-.".contains(*c)).is_some() {
                    column += 1;
                }
            }
        }
    }
    walk.finish()
}
