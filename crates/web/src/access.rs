//! Access control in front of the handler: rate limit, client certificate, user, origin.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode, Version};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use tracing::debug;

use crate::config::{AuthResult, WebConfig, WebState};
use crate::observer::Observer;
use crate::response::{Handler, ResponseBody, text_response, unavailable_response};
use crate::stream::Peer;

/// What the connection says about the client.
#[derive(Debug)]
pub(crate) struct ConnectionInfo {
    pub(crate) peer: Peer,
    /// The configuration of the handshake; `None` for plain HTTP.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// The chain that the client presented, its own certificate first.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
}

impl ConnectionInfo {
    /// Whether the connection was made with the active TLS configuration.
    pub(crate) fn is_current(&self, active: &WebState) -> bool {
        self.tls.as_ref().map(Arc::as_ptr) == active.tls().map(Arc::as_ptr)
    }
}

pub(crate) struct AccessControl {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) config: WebConfig,
    pub(crate) observer: Arc<dyn Observer>,
}

impl AccessControl {
    pub(crate) async fn respond<B: Body>(
        &self,
        request: Request<B>,
        connection: &ConnectionInfo,
    ) -> Response<ResponseBody> {
        let active = self.config.active();
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, ());
        let mut response = match self.check(&active, &request, connection).await {
            Some(refusal) => refusal,
            None => self.handler.handle(request).await,
        };
        if !body.is_end_stream() {
            // The body is never read, so no further request can follow it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        active.headers.add_to(response.headers_mut());
        response
    }

    async fn check(
        &self,
        active: &WebState,
        request: &Request<()>,
        connection: &ConnectionInfo,
    ) -> Option<Response<ResponseBody>> {
        let peer = connection.peer;
        if !has_valid_host(request) {
            let text = "the request must have exactly one valid Host header\n";
            return Some(text_response(StatusCode::BAD_REQUEST, text));
        }
        if active.rate_limiter.as_ref().is_some_and(|limiter| !limiter.try_acquire(Instant::now())) {
            self.observer.on_request_limited(peer);
            return Some(text_response(StatusCode::TOO_MANY_REQUESTS, "too many requests\n"));
        }
        // A connection from before a reload has to satisfy the new client authentication.
        if !connection.is_current(active) && !active.accepts_client(&connection.certificates) {
            debug!(%peer, "request refused: the client certificate of its connection is no longer accepted");
            let text = "the client certificate of this connection is no longer accepted; connect again\n";
            return Some(text_response(StatusCode::MISDIRECTED_REQUEST, text));
        }
        if let Some(users) = &active.users {
            let result = match credentials(request.headers()) {
                Some((user, password)) => users.check(peer, &user, &password).await,
                None => AuthResult::Unknown,
            };
            match result {
                AuthResult::Known => {}
                AuthResult::Unknown => {
                    self.observer.on_authentication_failed(peer);
                    let text = "user name and password required\n";
                    let mut refusal = text_response(StatusCode::UNAUTHORIZED, text);
                    let challenge = HeaderValue::from_static("Basic realm=\"exporter\"");
                    refusal.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                    return Some(refusal);
                }
                AuthResult::Overloaded => {
                    return Some(unavailable_response("too many passwords are being checked\n"));
                }
            }
        }
        let is_open = connection.tls.is_none() && active.users.is_none();
        let refusal = match is_mutating(request.method()) {
            true if is_cross_origin(request) => "cross-origin request refused\n",
            true if is_open && is_browser(request) && !is_local_host(request) => {
                "refused: without TLS or users, a browser must use an IP address or localhost\n"
            }
            true | false => return None,
        };
        Some(text_response(StatusCode::FORBIDDEN, refusal))
    }
}

/// User and password of RFC 7617.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at(colon);
    Some((String::from_utf8(user.to_vec()).ok()?, password[1..].to_vec()))
}

fn is_mutating(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether there is one `Host`, as RFC 9112, section 3.2 requires. HTTP/1.0 may lack it, and HTTP/2 has `:authority` instead.
fn has_valid_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() != Version::HTTP_11,
        (Some(host), None) => host.is_empty() || Authority::try_from(host.as_bytes()).is_ok(),
        (Some(_), Some(_)) => false,
    }
}

/// Whether the request has a header that browsers add to every request that is not a plain `GET`.
fn is_browser<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(ORIGIN) || request.headers().contains_key("sec-fetch-site")
}

/// Whether `Host` is a name that no other site can make resolve to this address (DNS rebinding).
fn is_local_host<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    host.is_none_or(|host| {
        let host = host.host().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        host.parse::<IpAddr>().is_ok() || host == "localhost" || host.ends_with(".localhost")
    })
}

/// Whether a browser sends the request on behalf of another site, with the user's credentials but without the user's intent.
/// Programs other than browsers send neither header.
fn is_cross_origin<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let theirs = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
    own.is_none() || own != theirs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_hosts(version: Version, hosts: &[&str]) -> Request<()> {
        let request = Request::get("/metrics").version(version);
        hosts.iter().fold(request, |request, host| request.header(HOST, *host)).body(()).unwrap()
    }

    #[test]
    fn host_must_be_present_once_and_valid() {
        for (version, hosts, is_valid) in [
            (Version::HTTP_11, &["a:9890"][..], true),
            (Version::HTTP_11, &["[::1]:9890"], true),
            (Version::HTTP_11, &[""], true),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_11, &["a", "a"], false),
            (Version::HTTP_11, &["a", "b"], false),
            (Version::HTTP_11, &["a b"], false),
            (Version::HTTP_11, &["a/b"], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_10, &["a", "b"], false),
            (Version::HTTP_2, &[], true),
        ] {
            assert_eq!(has_valid_host(&with_hosts(version, hosts)), is_valid, "{version:?} {hosts:?}");
        }
    }

    #[test]
    fn local_hosts_cannot_be_rebound() {
        for (host, is_local) in [
            ("127.0.0.1:9890", true),
            ("10.0.0.7", true),
            ("[::1]:9890", true),
            ("localhost:9890", true),
            ("LOCALHOST.", true),
            ("exporter.localhost", true),
            ("exporter.example.com:9890", false),
            ("127.0.0.1.evil.example", false),
            ("notlocalhost", false),
        ] {
            assert_eq!(is_local_host(&with_hosts(Version::HTTP_11, &[host])), is_local, "{host}");
        }
    }

    fn authorization(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
    }

    #[test]
    fn basic_credentials_are_parsed_per_rfc_7617() {
        let parsed = |value| {
            credentials(&authorization(value))
                .map(|(user, password)| (user, String::from_utf8(password).unwrap()))
        };
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(parsed("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(parsed("basic YTpiOmM="), pair("a", "b:c"), "a password may have colons");
        assert_eq!(parsed("Basic Og=="), pair("", ""));
        for value in ["Basic", "Basic ", "Basic YQ==", "Basic !!!!", "Bearer YTpi", "BasicYTpi", "Basic /zph"]
        {
            assert_eq!(parsed(value), None, "{value}");
        }
    }

    #[test]
    fn cross_origin_writes_are_detected() {
        let cross_origin = |headers: &[(&str, &str)]| {
            let mut request = Request::post("/-/reload");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            is_cross_origin(&request.body(()).unwrap())
        };
        assert!(!cross_origin(&[("host", "a:9890")]), "a program");
        assert!(!cross_origin(&[
            ("host", "a:9890"),
            ("origin", "https://a:9890"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(!cross_origin(&[("host", "a:9890"), ("sec-fetch-site", "none")]), "typed by the user");
        assert!(!cross_origin(&[("host", "a:9890"), ("origin", "http://a:9890")]), "an older browser");
        assert!(cross_origin(&[("host", "a:9890"), ("sec-fetch-site", "cross-site")]));
        assert!(cross_origin(&[("host", "a:9890"), ("sec-fetch-site", "same-site")]), "another subdomain");
        assert!(cross_origin(&[("host", "a:9890"), ("origin", "https://evil.example")]));
        assert!(cross_origin(&[("host", "a:9890"), ("origin", "null")]));
        assert!(
            cross_origin(&[("host", "a:9890"), ("origin", "http://a")]),
            "another port is another origin"
        );
    }
}
