//! What every request passes before a route sees it, and every answer on its way out.
//!
//! Owns: the order (limit, certificate, user, origin, route) and the operator's headers. Never: a socket, or what a route does. Whatever a
//! route may change is reached by nobody who is not let in here.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Body;
use hyper::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use tracing::debug;

use super::body::ResponseBody;
use super::routes::{Routes, text_response};
use super::socket::Peer;
use crate::events::Events;
use crate::web::{AuthResult, WebConfig, WebState};

/// Who asks, as far as the connection tells.
#[derive(Debug)]
pub(super) struct ConnectionInfo {
    pub(super) peer: Peer,
    /// What the connection was made with; none: plain HTTP.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// What the client has shown, its own first.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

impl ConnectionInfo {
    /// Whether its connection was made with what is in force.
    pub(super) fn is_current(&self, served: &WebState) -> bool {
        self.tls.as_ref().map(Arc::as_ptr) == served.tls().map(Arc::as_ptr)
    }
}

/// All that stands before the routes.
pub(super) struct AccessControl {
    pub(super) routes: Routes,
    pub(super) web: WebConfig,
    pub(super) events: Events,
}

impl AccessControl {
    pub(super) async fn answer<B: Body>(
        &self,
        request: Request<B>,
        client: &ConnectionInfo,
    ) -> Response<ResponseBody> {
        let served = self.web.served();
        let mut answer = match self.check(&served, &request, client).await {
            Some(mut refusal) => {
                // Nobody reads its body.
                if !request.body().is_end_stream() {
                    refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                refusal
            }
            None => self.routes.answer(request).await,
        };
        served.headers.add_to(answer.headers_mut());
        answer
    }

    async fn check<B>(
        &self,
        served: &WebState,
        request: &Request<B>,
        client: &ConnectionInfo,
    ) -> Option<Response<ResponseBody>> {
        if let Some(limiter) = &served.limiter
            && !limiter.try_acquire(Instant::now())
        {
            self.events.request_rate_limited(&client.peer);
            return Some(text_response(StatusCode::TOO_MANY_REQUESTS, "too many requests\n"));
        }
        // Who was let in before is let in again where that has changed, or sees nothing more.
        if !client.is_current(served) && !served.accepts_client(&client.certificates) {
            debug!(peer = %client.peer, "request refused: its connection has no certificate that is accepted now");
            let sentence = "this connection has no client certificate that is accepted now; connect again\n";
            return Some(text_response(StatusCode::MISDIRECTED_REQUEST, sentence));
        }
        if let Some(users) = &served.users {
            let verdict = match credentials(request.headers()) {
                Some((user, password)) => users.check(&user, &password).await,
                None => AuthResult::Unknown,
            };
            match verdict {
                AuthResult::Known => {}
                AuthResult::Unknown => {
                    self.events.authentication_failed(&client.peer);
                    let mut refusal =
                        text_response(StatusCode::UNAUTHORIZED, "a user name and a password are needed\n");
                    let asks = HeaderValue::from_static("Basic realm=\"polyai-exporter\"");
                    refusal.headers_mut().insert(WWW_AUTHENTICATE, asks);
                    return Some(refusal);
                }
                AuthResult::Overloaded => {
                    let mut refusal = text_response(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "too many passwords are being checked\n",
                    );
                    refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
                    return Some(refusal);
                }
            }
        }
        (is_mutating(request.method()) && is_cross_origin(request)).then(|| {
            let sentence =
                "refused: a page of another site asks for it; only this site's own pages and programs may\n";
            text_response(StatusCode::FORBIDDEN, sentence)
        })
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

/// Whether a browser asks on behalf of another site, with the user's credentials and without the user's will. Programs send
/// neither header.
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

    fn sent(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
    }

    #[test]
    fn credentials_are_read_as_the_standard_writes_them() {
        let read = |value| {
            credentials(&sent(value)).map(|(user, password)| (user, String::from_utf8(password).unwrap()))
        };
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(read("basic YTpiOmM="), pair("a", "b:c"), "a password may have colons");
        assert_eq!(read("Basic Og=="), pair("", ""));
        for value in ["Basic", "Basic ", "Basic YQ==", "Basic !!!!", "Bearer YTpi", "BasicYTpi", "Basic /zph"]
        {
            assert_eq!(read(value), None, "{value}");
        }
    }

    #[test]
    fn writes_of_foreign_pages_are_told_from_those_of_programs_and_of_our_own_pages() {
        let foreign = |headers: &[(&str, &str)]| {
            let mut request = Request::post("/-/reload");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            is_cross_origin(&request.body(()).unwrap())
        };
        assert!(!foreign(&[("host", "a:9890")]), "a program");
        assert!(!foreign(&[
            ("host", "a:9890"),
            ("origin", "https://a:9890"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(!foreign(&[("host", "a:9890"), ("sec-fetch-site", "none")]), "typed by the user");
        assert!(!foreign(&[("host", "a:9890"), ("origin", "http://a:9890")]), "an older browser");
        assert!(foreign(&[("host", "a:9890"), ("sec-fetch-site", "cross-site")]));
        assert!(foreign(&[("host", "a:9890"), ("sec-fetch-site", "same-site")]), "a neighbour");
        assert!(foreign(&[("host", "a:9890"), ("origin", "https://evil.example")]));
        assert!(foreign(&[("host", "a:9890"), ("origin", "null")]));
        assert!(foreign(&[("host", "a:9890"), ("origin", "http://a")]), "another port is another origin");
    }
}
