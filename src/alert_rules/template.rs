//! Templates of rules, split into single rules.
//!
//! Templates are text and not trees, so that comments and line breaks reach the rules that people read.

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
    /// The name of an alert; `None` for a recording rule.
    pub(super) alert: Option<&'t str>,
}

impl Rule<'_> {
    /// Whether it is about targets, and not about exporters.
    pub(super) fn is_of_target(&self) -> bool {
        self.text.contains("${by}")
    }
}

const ALERT: &str = "      - alert: ";
const RECORD: &str = "      - record: ";

impl<'t> Template<'t> {
    pub(super) fn split(text: &'t str) -> Self {
        // A rule begins at its first line, or at the comment before it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_is_split_into_rules_with_comments() {
        let text = "  - name: g\n    rules:\n      # why\n      # more\n      - record: a:b:c\n        expr: 1\n      - alert: A\n        expr: 2\n";
        let template = Template::split(text);
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
}
