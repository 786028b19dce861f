//! Paths of the Conversations API.

use percent_encoding::percent_decode_str;

use polyai_domain::target::{ApiVersion, Region};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// From the first segment, which replaces the host of a region.
    pub(crate) region: Option<Region>,
    pub(crate) version: ApiVersion,
    pub(crate) account_id: String,
    pub(crate) project_id: String,
    pub(crate) resource: Resource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    /// `.../conversations`
    List,
    /// `.../conversations/{id}`, which in production mostly returns 404.
    ById,
    /// `.../conversations/{id}/audio`
    Audio,
}

impl Route {
    /// Parses `path`; `None` if the gateway has no route.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let decode = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        let mut segments: Vec<String> =
            path.strip_prefix('/')?.trim_end_matches('/').split('/').map(decode).collect();
        let region = Region::parse(segments.first()?);
        if region.is_some() {
            segments.remove(0);
        }
        let [version, account_id, project_id, collection, rest @ ..] = segments.as_slice() else {
            return None;
        };
        let resource = match rest {
            _ if collection != "conversations" => return None,
            [] => Resource::List,
            [_] => Resource::ById,
            [_, audio] if audio == "audio" => Resource::Audio,
            _ => return None,
        };
        let version = ApiVersion::parse(version)?;
        let (account_id, project_id) = (account_id.clone(), project_id.clone());
        Some(Self { region, version, account_id, project_id, resource })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_has_region_version_project_and_resource() {
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
        assert_eq!(Route::parse("/v1/a/p/conversations/CA1").unwrap().resource, Resource::ById);
        for path in ["/", "", "/v4/a/p/conversations", "/v3/a/conversations", "/mars/v3/a/p/conversations"] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }
}
