//! A strict parser of OpenMetrics 2.0 by the published grammar (2.0.0-rc0, March 2026).
//!
//! It omits UTF-8 names, summaries and timestamps of samples. It is our own because no package has a parser of this version yet, so
//! it proves less than the parsers of the other formats.

use super::parsed::{self, Exemplar, Labels, Native, ParsedExposition, is_committed, key, millis};

/// Parses an exposition; panics at anything outside of the grammar.
pub(crate) fn read(text: &str) -> ParsedExposition {
    let mut parsed = ParsedExposition::default();
    let lines = text.strip_suffix("# EOF\n").expect("an end");
    let mut family = String::new();
    let mut kind = String::new();
    for line in lines.split_inclusive('\n') {
        let mut rest = Rest(line);
        if rest.takes("# TYPE ") {
            family = rest.name();
            rest.needs(" ");
            kind = rest.until('\n').to_owned();
            assert!(["counter", "gauge", "histogram"].contains(&kind.as_str()), "{line}");
            let before = parsed.families.insert(family.clone(), (kind.clone(), String::new()));
            assert_eq!(before, None, "{family}: twice");
        } else if rest.takes("# UNIT ") {
            assert_eq!(rest.name(), family, "{line}");
            rest.needs(" ");
            let unit = rest.until('\n').to_owned();
            let stem = family.strip_suffix("_total").unwrap_or(&family);
            assert!(stem.ends_with(&format!("_{unit}")), "{line}");
        } else if rest.takes("# HELP ") {
            assert_eq!(rest.name(), family, "{line}");
            rest.needs(" ");
            parsed.families.get_mut(&family).unwrap().1 = rest.escaped('\n');
        } else {
            assert_eq!(rest.name(), family, "a sample outside of its family: {line}");
            sample(&family, &kind, &mut rest, &mut parsed);
        }
        rest.needs("\n");
        assert_eq!(rest.0, "", "{line}");
    }
    parsed
}

fn sample(family: &str, kind: &str, rest: &mut Rest<'_>, parsed: &mut ParsedExposition) {
    let labels = if rest.0.starts_with('{') { rest.labels() } else { Labels::new() };
    let series = key(family, &labels);
    rest.needs(" ");
    if rest.takes("{") {
        assert_eq!(kind, "histogram", "{series}");
        histogram(family, &labels, rest, parsed);
        rest.needs("}");
    } else {
        assert_ne!(kind, "histogram", "{series}");
        add(parsed, series.clone(), rest.number());
    }
    if rest.takes(" st@") {
        let start = millis(rest.number());
        if is_committed(family) {
            parsed.starts.insert(series.clone(), start);
        }
    }
    let mut exemplars = Vec::new();
    while rest.takes(" # ") {
        let labels = rest.labels();
        rest.needs(" ");
        let value = rest.number();
        rest.needs(" ");
        exemplars.push(Exemplar { labels, value, at: Some(millis(rest.number())) });
    }
    if kind == "histogram" && !exemplars.is_empty() {
        parsed.newest.insert(series, exemplars);
    } else if let Some(one) = exemplars.pop() {
        assert!(exemplars.is_empty() && kind == "counter", "{series}");
        parsed.exemplars.insert(series, one);
    }
}

fn histogram(family: &str, labels: &Labels, rest: &mut Rest<'_>, parsed: &mut ParsedExposition) {
    rest.needs("count:");
    add(parsed, key(&format!("{family}_count"), labels), rest.number());
    rest.needs(",sum:");
    add(parsed, key(&format!("{family}_sum"), labels), rest.number());
    if rest.takes(",schema:") {
        let schema = rest.integer();
        rest.needs(",zero_threshold:");
        let zero_threshold = rest.number();
        rest.needs(",zero_count:");
        let zero_count = rest.count();
        let (mut spans, mut counts) = (Vec::new(), Vec::new());
        if rest.takes(",positive_spans:[") {
            rest.list(|rest| {
                let offset = rest.integer();
                rest.needs(":");
                spans.push((offset, u32::try_from(rest.count()).unwrap()));
            });
            assert!(spans.iter().skip(1).all(|&(offset, _)| offset >= 0), "{spans:?}");
            rest.needs(",positive_buckets:[");
            rest.list(|rest| counts.push(rest.count()));
        }
        let native = Native { schema, zero_threshold, zero_count, buckets: Native::lay_out(spans, &counts) };
        parsed.natives.insert(key(family, labels), native);
    }
    rest.needs(",bucket:[");
    let mut last = f64::NEG_INFINITY;
    rest.list(|rest| {
        last = rest.number();
        rest.needs(":");
        add(parsed, parsed::bucket(family, labels, last), rest.number());
    });
    assert_eq!(last, f64::INFINITY, "{family}: the last bucket");
}

fn add(parsed: &mut ParsedExposition, series: String, value: f64) {
    assert_eq!(parsed.samples.insert(series.clone(), value), None, "{series}: twice");
}

/// The rest of the input.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn takes(&mut self, token: &str) -> bool {
        match self.0.strip_prefix(token) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    #[track_caller]
    fn needs(&mut self, token: &str) {
        assert!(self.takes(token), "{token:?} is missing before {:?}", self.0);
    }

    fn until(&mut self, end: char) -> &'a str {
        let at = self.0.find(end).unwrap_or_else(|| panic!("no {end:?} in {:?}", self.0));
        let (taken, rest) = self.0.split_at(at);
        self.0 = rest;
        taken
    }

    fn while_in(&mut self, is_in: impl Fn(char) -> bool) -> &'a str {
        let at = self.0.find(|character| !is_in(character)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(at);
        self.0 = rest;
        taken
    }

    /// The name of a metric or a label.
    fn name(&mut self) -> String {
        let name = self.while_in(|one| one.is_ascii_alphanumeric() || one == '_');
        assert!(name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_'), "{:?}", self.0);
        name.to_owned()
    }

    /// `{name="value",...}`
    fn labels(&mut self) -> Labels {
        let mut labels = Labels::new();
        self.needs("{");
        if self.takes("}") {
            return labels;
        }
        loop {
            let name = self.name();
            self.needs("=\"");
            let value = self.escaped('"');
            self.needs("\"");
            assert_eq!(labels.insert(name.clone(), value), None, "{name}: twice");
            if self.takes("}") {
                return labels;
            }
            self.needs(",");
        }
    }

    /// Text up to an unescaped `end`; accepts only the escapes that an exposition may contain.
    fn escaped(&mut self, end: char) -> String {
        let mut text = String::new();
        let mut characters = self.0.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                _ if character == end => {
                    self.0 = &self.0[at..];
                    return text;
                }
                '\\' => text.push(match characters.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, plain @ ('"' | '\\'))) => plain,
                    other => panic!("an escape that nobody should write: {other:?}"),
                }),
                '"' | '\n' => panic!("{character:?} is not escaped in {:?}", self.0),
                plain => text.push(plain),
            }
        }
        panic!("no end of {:?}", self.0);
    }

    /// `number`, but not NaN, which would mean "missing".
    fn number(&mut self) -> f64 {
        for (spelled, value) in [("+Inf", f64::INFINITY), ("-Inf", f64::NEG_INFINITY)] {
            if self.takes(spelled) {
                return value;
            }
        }
        let text = self.while_in(|one| one.is_ascii_digit() || ".eE+-".contains(one));
        text.parse().unwrap_or_else(|_| panic!("{text:?} is no number, before {:?}", self.0))
    }

    fn count(&mut self) -> u64 {
        self.while_in(|one| one.is_ascii_digit()).parse().unwrap()
    }

    fn integer(&mut self) -> i32 {
        self.while_in(|one| one.is_ascii_digit() || "+-".contains(one)).parse().unwrap()
    }

    /// Items separated by commas, and the closing bracket.
    fn list(&mut self, mut item: impl FnMut(&mut Self)) {
        loop {
            item(self);
            if self.takes("]") {
                return;
            }
            self.needs(",");
        }
    }
}
