//! Places in a YAML file, from the parser's marked events.
//!
//! Owns: what of YAML is refused here: anchors and aliases (a few lines of them expand without end), several documents,
//! keys that are not text. Never: values; those come from the `config` crate, which uses the same parser.

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::{Marker, TScalarStyle};

use super::MAX_DEPTH;
use super::marks::{EventVisitor, Locations, SyntaxError};

pub(super) fn marks(text: &str) -> Result<Locations, Vec<SyntaxError>> {
    let mut parser = Parser::new_from_str(text);
    let mut walk = EventVisitor::default();
    let mut documents = 0;
    loop {
        // Event by event, because the parser's own loop recurses with the depth of the text.
        let (event, mark) = parser.next_token().map_err(|error| {
            let (line, column) = position(error.marker());
            vec![SyntaxError::new(line, column, format!("not valid YAML: {}", error.info()))]
        })?;
        let (line, column) = position(&mark);
        if matches!(event, Event::StreamEnd) {
            return walk.finish();
        }
        if matches!(event, Event::DocumentStart) {
            documents += 1;
        }
        check(&event, documents, &walk).map_err(|text| vec![SyntaxError::new(line, column, text)])?;
        follow(event, (line, column), &mut walk);
    }
}

/// Refuses what nothing after this could make sense of.
fn check(event: &Event, documents: usize, walk: &EventVisitor) -> Result<(), String> {
    let top = walk.depth() == 0;
    match event {
        Event::Alias(_) => Err("aliases (*name) are not read here; write the value out".to_owned()),
        Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _)
            if *anchor > 0 =>
        {
            Err("anchors (&name) are not read here; write the value out where it is needed".to_owned())
        }
        Event::DocumentStart if documents > 1 => {
            Err("a second YAML document begins here; the configuration is one document".to_owned())
        }
        Event::SequenceStart(..) if top => {
            Err("found a list; the file begins with the names of its sections".to_owned())
        }
        Event::Scalar(text, style, _, _) if top && !is_null(text, *style) => {
            Err("found a single value; the file begins with the names of its sections".to_owned())
        }
        Event::SequenceStart(..) | Event::MappingStart(..) if walk.depth() >= MAX_DEPTH => {
            Err("nested too deeply".to_owned())
        }
        Event::SequenceStart(..) | Event::MappingStart(..) if walk.wants_key() => {
            Err("a key must be text; put { } or [ ] in quotes if they belong to a value".to_owned())
        }
        Event::Scalar(text, style, _, _) if walk.wants_key() && is_null(text, *style) => {
            Err("a key is missing before the colon".to_owned())
        }
        Event::Nothing
        | Event::StreamStart
        | Event::StreamEnd
        | Event::DocumentStart
        | Event::DocumentEnd
        | Event::Scalar(..)
        | Event::SequenceStart(..)
        | Event::SequenceEnd
        | Event::MappingStart(..)
        | Event::MappingEnd => Ok(()),
    }
}

fn follow(event: Event, (line, column): (usize, usize), walk: &mut EventVisitor) {
    match event {
        Event::Scalar(text, ..) if walk.wants_key() => walk.key(&text, line, column),
        Event::Scalar(text, style, ..) => {
            if style == TScalarStyle::Plain && is_not_finite(&text) {
                walk.complain(SyntaxError::new(
                    line,
                    column,
                    "infinity and NaN are no values here; write a plain number",
                ));
            }
            walk.scalar(line, column);
        }
        Event::SequenceStart(..) => walk.list(line, column),
        Event::MappingStart(..) => walk.table(line, column),
        Event::SequenceEnd | Event::MappingEnd => walk.close(),
        Event::Nothing
        | Event::StreamStart
        | Event::StreamEnd
        | Event::DocumentStart
        | Event::DocumentEnd
        | Event::Alias(_) => {}
    }
}

/// The parser counts lines from 1 and columns from 0.
fn position(mark: &Marker) -> (usize, usize) {
    (mark.line(), mark.col() + 1)
}

fn is_null(text: &str, style: TScalarStyle) -> bool {
    style == TScalarStyle::Plain && matches!(text, "" | "~" | "null")
}

/// Numbers that YAML can write and the parser of values stumbles over.
fn is_not_finite(text: &str) -> bool {
    let text = text.trim_start_matches(['+', '-']);
    matches!(text, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
}
