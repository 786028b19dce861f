//! What a request for the status page asks for, and the links that ask for it.
//!
//! Owns: both directions. A target is named by parameters and not by a path, because browsers and proxies rewrite paths:
//! `..`, `.` and `%2F` would not arrive as they were sent.

use form_urlencoded::{Serializer, parse};

use crate::target::{ClientEnv, Region, TargetKey};

/// Longest filter, in characters.
const LONGEST: usize = 200;
const REFRESH: std::ops::RangeInclusive<u32> = 5..=3600;

/// The parameters that are known; others are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// `q`: a part of the name of a target, in whatever case.
    pub(super) text: Option<String>,
    /// `project`
    pub(super) project: Option<String>,
    /// `region`; one that does not exist matches nothing.
    pub(super) region: Option<String>,
    /// `client_env`; one that does not exist matches nothing.
    pub(super) client_env: Option<String>,
    /// `refresh`: seconds, 5 to 3600.
    pub(super) refresh: Option<u32>,
}

impl Query {
    /// Reads what follows the question mark.
    pub(super) fn read(query: &str) -> Self {
        let mut found = Self::default();
        for (name, value) in parse(query.as_bytes()) {
            let text = || {
                let cut: String = value.chars().take(LONGEST * 2).collect();
                (!cut.is_empty()).then_some(cut)
            };
            match &*name {
                "q" => found.text = text().map(|text| text.trim().chars().take(LONGEST).collect()),
                "project" => found.project = Some(value.into_owned()),
                "region" => found.region = text(),
                "client_env" => found.client_env = text(),
                "refresh" => found.refresh = value.parse().ok().filter(|seconds| REFRESH.contains(seconds)),
                _ => {}
            }
        }
        found.text = found.text.filter(|text| !text.is_empty());
        found
    }

    /// Whether `target` is among those that are asked for.
    pub(super) fn matches(&self, target: &TargetKey) -> bool {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        same(&self.project, &target.project)
            && same(&self.region, target.region.as_str())
            && same(&self.client_env, target.client_env.as_str())
            && self
                .text
                .as_ref()
                .is_none_or(|text| target.to_string().to_lowercase().contains(&text.to_lowercase()))
    }

    /// The one target that is asked for, if all of its name is given.
    pub(super) fn target(&self) -> Option<TargetKey> {
        Some(TargetKey {
            project: self.project.clone()?,
            region: Region::parse(self.region.as_deref()?)?,
            client_env: ClientEnv::parse(self.client_env.as_deref()?)?,
        })
    }
}

/// The page of `target`, relative to any page of the status.
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
        fn link_round_trips_to_target(project in ".{0,60}") {
            let link = link("target", &key(&project));
            let (_, query) = link.split_once('?').unwrap();
            prop_assert!(query.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.*%+=&".contains(&byte)));
            prop_assert_eq!(Query::read(query).target(), Some(key(&project)));
        }

        #[test]
        fn any_query_is_parsed(query in ".{0,100}") {
            let _ = Query::read(&query).matches(&key("billing"));
        }
    }

    #[test]
    fn filter_matches_substring_in_any_case() {
        for (query, admits) in [
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
            assert_eq!(Query::read(query).matches(&key("billing")), admits, "{query}");
        }
    }

    #[test]
    fn refresh_out_of_range_is_ignored() {
        for (query, seconds) in
            [("refresh=30", Some(30)), ("refresh=0", None), ("refresh=4000", None), ("refresh=x", None)]
        {
            assert_eq!(Query::read(query).refresh, seconds, "{query}");
        }
    }
}
