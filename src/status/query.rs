//! The query strings of the status page.
//!
//! Targets are addressed by parameters, because browsers and proxies rewrite `..`, `.` and `%2F` in paths.

use form_urlencoded::{Serializer, parse};

use crate::target::{ClientEnv, Region, TargetKey};

const MAX_FILTER_CHARS: usize = 200;

/// The known parameters; others are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// `q`, a substring of the name of a target.
    pub(super) text: Option<String>,
    project: Option<String>,
    /// May be unknown; then it matches nothing.
    region: Option<String>,
    /// May be unknown; then it matches nothing.
    client_env: Option<String>,
    /// Seconds, 5 to 3600.
    pub(super) refresh: Option<u32>,
}

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let mut found = Self::default();
        for (name, value) in parse(query.as_bytes()) {
            let text = || {
                Some(value.trim().chars().take(MAX_FILTER_CHARS).collect())
                    .filter(|text: &String| !text.is_empty())
            };
            match &*name {
                "q" => found.text = text(),
                "project" => found.project = Some(value.into_owned()),
                "region" => found.region = text(),
                "client_env" => found.client_env = text(),
                "refresh" => {
                    found.refresh = value.parse().ok().filter(|seconds| (5..=3600).contains(seconds));
                }
                _ => {}
            }
        }
        found
    }

    pub(super) fn matches(&self, target: &TargetKey) -> bool {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let contains = |text: &String| target.to_string().to_lowercase().contains(&text.to_lowercase());
        same(&self.project, &target.project)
            && same(&self.region, target.region.as_str())
            && same(&self.client_env, target.client_env.as_str())
            && self.text.as_ref().is_none_or(contains)
    }

    /// The target, if all parts of its name are given.
    pub(super) fn target(&self) -> Option<TargetKey> {
        Some(TargetKey {
            project: self.project.clone()?,
            region: Region::parse(self.region.as_deref()?)?,
            client_env: ClientEnv::parse(self.client_env.as_deref()?)?,
        })
    }

    /// The overview with the same filter, without refresh.
    pub(super) fn overview_link(&self) -> String {
        let named = [
            ("q", &self.text),
            ("project", &self.project),
            ("region", &self.region),
            ("client_env", &self.client_env),
        ];
        let pairs = named.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let pairs = Serializer::new(String::new()).extend_pairs(pairs).finish();
        if pairs.is_empty() { "./".to_owned() } else { format!("./?{pairs}") }
    }
}

/// A link to `page` for `target`, relative to the pages.
pub(super) fn link(page: &str, target: &TargetKey) -> String {
    let query = Serializer::new(String::new())
        .append_pair("project", &target.project)
        .append_pair("region", target.region.as_str())
        .append_pair("client_env", target.client_env.as_str())
        .finish();
    format!("{page}?{query}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(project: &str) -> TargetKey {
        TargetKey { project: project.to_owned(), region: Region::Uk1, client_env: ClientEnv::PreRelease }
    }

    proptest! {
        #[test]
        fn link_is_parsed_back_to_its_target(project in ".{0,60}") {
            let link = link("target", &key(&project));
            let (_, query) = link.split_once('?').unwrap();
            prop_assert!(query.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.*%+=&".contains(&byte)));
            prop_assert_eq!(Query::parse(query).target(), Some(key(&project)));
        }

        #[test]
        fn any_query_is_parsed(query in ".{0,100}") {
            let _ = Query::parse(&query).matches(&key("billing"));
        }
    }

    #[test]
    fn filter_is_a_case_insensitive_substring() {
        for (query, expected) in [
            ("", true),
            ("q=", true),
            ("q=%20BILL%20", true),
            ("q=uk-1%2Fpre", true),
            ("q=us-1", false),
            ("region=uk-1&client_env=pre-release", true),
            ("region=nowhere", false),
            ("project=bill", false),
            ("project=billing", true),
        ] {
            assert_eq!(Query::parse(query).matches(&key("billing")), expected, "{query}");
        }
    }

    #[test]
    fn refresh_outside_its_range_is_ignored() {
        for (query, seconds) in
            [("refresh=30", Some(30)), ("refresh=0", None), ("refresh=4000", None), ("refresh=x", None)]
        {
            assert_eq!(Query::parse(query).refresh, seconds, "{query}");
        }
    }
}
