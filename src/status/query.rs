//! The query strings of the status page.
//!
//! Targets are addressed by parameters, because browsers and proxies rewrite `..`, `.` and `%2F` in paths.

use form_urlencoded::{Serializer, parse};

use super::target_state::State;
use polyai_domain::target::{ClientEnv, Region, TargetKey};

const MAX_FILTER_CHARS: usize = 200;

/// The known parameters. Pages ignore others; the JSON rejects them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// `q`, a substring of the name of a target.
    pub(super) text: Option<String>,
    project: Option<String>,
    /// May be unknown; then it matches nothing.
    region: Option<String>,
    /// May be unknown; then it matches nothing.
    client_env: Option<String>,
    /// A state, by its name in the JSON.
    state: Option<String>,
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
                "state" => found.state = text(),
                "refresh" => {
                    found.refresh = value.parse().ok().filter(|seconds| (5..=3600).contains(seconds));
                }
                _ => {}
            }
        }
        found
    }

    /// The same, if every parameter is one of a list of targets and has a value that a target can have.
    ///
    /// # Errors
    /// If there is another parameter or value; the text names the right ones.
    pub(super) fn parse_strictly(query: &str) -> Result<Self, String> {
        let known = ["q", "project", "region", "client_env", "state"];
        if let Some((name, _)) = parse(query.as_bytes()).find(|(name, _)| !known.contains(&&**name)) {
            return Err(format!("{name:?} is not a parameter here; use {}", known.join(", ")));
        }
        let found = Self::parse(query);
        let regions = Region::ALL.map(Region::as_str);
        let environments = ClientEnv::ALL.map(ClientEnv::as_str);
        for (name, value, values) in [
            ("region", &found.region, &regions[..]),
            ("client_env", &found.client_env, &environments),
            ("state", &found.state, &State::ALL.map(State::name)),
        ] {
            if let Some(value) = value.as_deref().filter(|value| !values.contains(value)) {
                return Err(format!("{name}: found {value:?}; use one of {}", values.join(", ")));
            }
        }
        Ok(found)
    }

    pub(super) fn has_state(&self, state: State) -> bool {
        self.state.as_deref().is_none_or(|wanted| wanted == state.name())
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
    fn strict_query_names_what_would_be_right() {
        for (query, expected) in [
            ("", ""),
            ("q=x&project=a&region=us-1&client_env=live&state=up_to_date", ""),
            ("state=stale", ""),
            ("regoin=us-1", "\"regoin\" is not a parameter here; use q, project, region, client_env, state"),
            ("refresh=30", "\"refresh\" is not a parameter"),
            ("region=us", "region: found \"us\"; use one of us-1, uk-1, euw-1, studio"),
            ("client_env=prod", "use one of live, sandbox, pre-release"),
            ("state=down", "state: found \"down\"; use one of storage_failing, stale, failing"),
        ] {
            let error = Query::parse_strictly(query).err().unwrap_or_default();
            assert!(error.contains(expected) && error.is_empty() == expected.is_empty(), "{query}: {error}");
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
