//! Templates of rules: YAML as people write it, with placeholders.
//!
//! Owns: cutting a template into its head and its rules, and filling `${name}` and `${name|filter}`. Never: what a name stands
//! for. Templates are text and not trees, so that comments and line breaks reach the rules that people read at night.

/// A group of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template<'t> {
    /// Everything before the first rule.
    pub(super) head: &'t str,
    pub(super) rules: Vec<Rule<'t>>,
}

/// One rule, with the comment before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule<'t> {
    pub(super) text: &'t str,
    /// The name of an alert; none for a recording rule.
    pub(super) alert: Option<&'t str>,
}

const ALERT: &str = "      - alert: ";
const RECORD: &str = "      - record: ";

impl<'t> Template<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        // Where a rule begins: at its first line, or at the comment that leads up to it.
        let mut starts = Vec::new();
        let mut comment = None;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if line.starts_with("      #") {
                comment.get_or_insert(at);
            } else {
                if line.starts_with(ALERT) || line.starts_with(RECORD) {
                    starts.push(comment.unwrap_or(at));
                }
                comment = None;
            }
            at += line.len();
        }
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let rules = starts
            .iter()
            .zip(ends)
            .filter_map(|(start, end)| text.get(*start..end))
            .map(|text| Rule { text, alert: text.lines().find_map(|line| line.strip_prefix(ALERT)) });
        let head = text.get(..starts.first().copied().unwrap_or(text.len())).unwrap_or_default();
        Self { head, rules: rules.collect() }
    }
}

/// `text` with its placeholders filled by `fill`, which is asked for a name and a filter.
///
/// # Errors
/// The placeholder that `fill` knows nothing for.
pub(super) fn substitute(
    text: &str,
    fill: impl Fn(&str, Option<&str>) -> Option<String>,
) -> Result<String, String> {
    let mut full = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("${") {
        full.push_str(before);
        let (placeholder, after) = tail.split_once('}').ok_or_else(|| tail.to_owned())?;
        let (name, filter) = match placeholder.split_once('|') {
            Some((name, filter)) => (name, Some(filter)),
            None => (placeholder, None),
        };
        full.push_str(&fill(name, filter).ok_or_else(|| placeholder.to_owned())?);
        rest = after;
    }
    full.push_str(rest);
    Ok(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_cut_into_rules_with_their_comments() {
        let text = "  - name: g\n    rules:\n      # why\n      # more\n      - record: a:b:c\n        expr: 1\n      - alert: A\n        expr: 2\n";
        let template = Template::of(text);
        assert_eq!(template.head, "  - name: g\n    rules:\n");
        assert_eq!(
            template.rules,
            [
                Rule {
                    text: "      # why\n      # more\n      - record: a:b:c\n        expr: 1\n",
                    alert: None
                },
                Rule { text: "      - alert: A\n        expr: 2\n", alert: Some("A") },
            ]
        );
        let whole: String = template.rules.iter().map(|rule| rule.text).collect();
        assert_eq!(format!("{}{whole}", template.head), text);
    }

    #[test]
    fn placeholders_are_filled_and_what_prometheus_fills_is_left() {
        let fill = |name: &str, filter: Option<&str>| {
            (name == "x").then(|| format!("<{name} {}>", filter.unwrap_or("-")))
        };
        assert_eq!(
            substitute("{{ $labels.a }} [${x}] ${x|y}", fill).as_deref(),
            Ok("{{ $labels.a }} [<x ->] <x y>")
        );
        assert_eq!(substitute("${z|y}", fill), Err("z|y".to_owned()));
        assert_eq!(substitute("${x", fill), Err("x".to_owned()));
    }
}
