//! The base URL of the API: its check, the region of known hosts, and how it is displayed.
//!
//! User names, passwords and queries never appear in messages.

use std::net::IpAddr;

use reqwest::Url;

use exporter_schema::quoted;
use polyai_domain::target::Region;

/// A checked base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BaseUrl {
    /// Without a trailing slash.
    pub(super) text: String,
    /// The region whose host it is.
    pub(super) region: Option<Region>,
    /// Whether an API key would cross a network unencrypted.
    pub(super) is_exposed: bool,
}

/// Checks `text`; the error has what was found, unless it may be secret, and what would be right.
pub(super) fn base_url(text: &str) -> Result<BaseUrl, String> {
    const EXPECTED: &str = "write a URL such as \"https://proxy.example.com/polyai\"";
    if text.contains(['@', '?', '#']) {
        return Err(format!(
            "found a URL with a user name, password, query or fragment (not shown); {EXPECTED}"
        ));
    }
    let found = quoted(text);
    let url = Url::parse(text.trim()).map_err(|error| format!("found {found} ({error}); {EXPECTED}"))?;
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
    if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
        return Err(format!("found {found}; {EXPECTED}"));
    }
    if let Some(right) = correct_host(&host) {
        return Err(format!(
            "found {found}: the Conversations API is not served by this family of hosts; write {}",
            quoted(right)
        ));
    }
    let region = Region::ALL.into_iter().find(|region| {
        region.conversations_base_url().and_then(|known| known.strip_prefix("https://"))
            == Some(host.as_str())
    });
    if let Some(known) = region.and_then(Region::conversations_base_url)
        && url.path() != "/"
    {
        return Err(format!("found {found}; write {} without a path, which is added", quoted(known)));
    }
    let is_exposed = url.scheme() == "http" && !is_loopback(&host);
    Ok(BaseUrl { text: url.as_str().trim_end_matches('/').to_owned(), region, is_exposed })
}

/// Displayed instead of text that is no URL, any part of which may be secret.
const NOT_SHOWN: &str = "(an address that is not shown)";

/// `address` without user name, password, query and fragment, none of which [`base_url`] accepts.
pub(super) fn display(address: &str) -> String {
    let Some(url) = strip_userinfo(address) else { return NOT_SHOWN.to_owned() };
    url.as_str().trim_end_matches('/').to_owned()
}

/// The host of `address`, with the port unless it is the default of the scheme.
pub(super) fn host(address: &str) -> String {
    let Some(url) = strip_userinfo(address) else { return NOT_SHOWN.to_owned() };
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn strip_userinfo(address: &str) -> Option<Url> {
    let mut url = Url::parse(address).ok()?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

/// The host of the Conversations API that corresponds to a host of the platform API or of the website.
fn correct_host(host: &str) -> Option<&'static str> {
    let region = match host {
        "api.us.poly.ai" | "studio.us.poly.ai" => Region::Us1,
        "api.uk.poly.ai" | "studio.uk.poly.ai" => Region::Uk1,
        "api.eu.poly.ai" | "studio.eu.poly.ai" => Region::Euw1,
        _ => return None,
    };
    region.conversations_base_url()
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_url_is_normalized_and_has_its_region() {
        for (given, text, region, exposed) in [
            (
                "https://api.us-1.platform.polyai.app/",
                "https://api.us-1.platform.polyai.app",
                Some(Region::Us1),
                false,
            ),
            (
                "https://API.euw-1.platform.polyai.app",
                "https://api.euw-1.platform.polyai.app",
                Some(Region::Euw1),
                false,
            ),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", None, false),
            ("http://[::1]:8080/", "http://[::1]:8080", None, false),
            ("http://localhost/p/", "http://localhost/p", None, false),
            ("http://proxy.internal", "http://proxy.internal", None, true),
            ("https://proxy.internal/polyai/v3", "https://proxy.internal/polyai/v3", None, false),
        ] {
            let checked = BaseUrl { text: text.to_owned(), region, is_exposed: exposed };
            assert_eq!(base_url(given), Ok(checked), "{given}");
        }
    }

    #[test]
    fn invalid_base_url_is_refused_with_advice() {
        for (given, expected) in [
            ("https://api.us.poly.ai", "https://api.us-1.platform.polyai.app"),
            ("https://api.uk.poly.ai/v3", "https://api.uk-1.platform.polyai.app"),
            ("https://studio.eu.poly.ai", "https://api.euw-1.platform.polyai.app"),
            ("https://api.uk-1.platform.polyai.app/v3", "without a path"),
            ("api.us-1.platform.polyai.app", "relative URL"),
            ("ftp://host", "https://proxy.example.com"),
            ("https://", "empty host"),
            ("file:///etc/passwd", "https://proxy.example.com"),
        ] {
            let error = base_url(given).unwrap_err();
            assert!(error.contains(expected), "{given}: {error}");
        }
    }

    #[test]
    fn displayed_base_url_has_no_secret() {
        for (address, whole, of_host) in [
            ("https://api.example.com", "https://api.example.com", "api.example.com"),
            ("http://127.0.0.1:8080/us-1", "http://127.0.0.1:8080/us-1", "127.0.0.1:8080"),
            ("http://[::1]:8080", "http://[::1]:8080", "[::1]:8080"),
            ("https://me:marker@host:444/p?key=marker#marker", "https://host:444/p", "host:444"),
            ("https://marker@host/a@b/", "https://host/a@b", "host"),
            ("https://me:mar@ker@host", "https://host", "host"),
            ("https://me:mar/ker@host", NOT_SHOWN, NOT_SHOWN),
            ("https://me:mar?ker@host", NOT_SHOWN, NOT_SHOWN),
            ("me:marker@host", NOT_SHOWN, NOT_SHOWN),
        ] {
            assert_eq!((&*display(address), &*host(address)), (whole, of_host), "{address}");
        }
    }

    #[test]
    fn error_about_base_url_has_no_secret() {
        for given in
            ["https://me:marker@host", "https://host/?key=marker", "https://host/#marker", "marker@:::"]
        {
            let error = base_url(given).unwrap_err();
            assert!(!error.contains("marker"), "{error}");
        }
    }
}
