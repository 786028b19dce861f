//! What an address names.
//!
//! Owns: the shapes of paths. Never: whether the named thing exists.

use percent_encoding::percent_decode_str;

use polyai_domain::target::{ApiVersion, Region};

/// A path of the Conversations API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// From the first segment, which stands in for the region's host.
    pub(crate) region: Option<Region>,
    pub(crate) version: ApiVersion,
    pub(crate) account_id: String,
    pub(crate) project_id: String,
    pub(crate) resource: Resource,
}

/// What is wanted of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    /// `.../conversations`
    List,
    /// `.../conversations/{id}`
    ById(String),
    /// `.../conversations/{id}/audio`
    Audio,
}

impl Route {
    /// Reads `path`; None where the gateway has no route.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<String> = path
            .strip_prefix('/')?
            .trim_end_matches('/')
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (region, rest) = match segments.split_first() {
            Some((first, rest)) if Region::parse(first).is_some() => (Region::parse(first), rest),
            _ => (None, segments.as_slice()),
        };
        let (version, account_id, project_id, resource) = match *rest {
            [version, account, project, "conversations"] => (version, account, project, Resource::List),
            [version, account, project, "conversations", id] => {
                (version, account, project, Resource::ById(id.to_owned()))
            }
            [version, account, project, "conversations", _, "audio"] => {
                (version, account, project, Resource::Audio)
            }
            _ => return None,
        };
        Some(Self {
            region,
            version: ApiVersion::parse(version)?,
            account_id: account_id.to_owned(),
            project_id: project_id.to_owned(),
            resource,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_region_version_project_and_resource() {
        let route = Route::parse("/uk-1/v3/ws-1/PROJECT%2D1/conversations").unwrap();
        assert_eq!(
            route,
            Route {
                region: Some(Region::Uk1),
                version: ApiVersion::V3,
                account_id: "ws-1".into(),
                project_id: "PROJECT-1".into(),
                resource: Resource::List
            }
        );
        assert_eq!(Route::parse("/v1/a/p/conversations/CA1").unwrap().resource, Resource::ById("CA1".into()));
        for path in ["/", "", "/v4/a/p/conversations", "/v3/a/conversations", "/mars/v3/a/p/conversations"] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }
}
