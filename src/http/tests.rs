//! The routes, called as the port calls them.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use exporter_web::{Handler, ResponseBody};
use http_body_util::BodyExt;
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};

use super::*;
use exporter_exposition::{ContentEncoding, EncodedBody, Format};

const EXPOSITION: &str = "# HELP polyai_conversations_total Conversations.\n";

struct Fixed;

impl MetricsSource for Fixed {
    fn generation(&self) -> u64 {
        0
    }

    fn ready(&self, _: Format, _: ContentEncoding, _: u64) -> Option<EncodedBody> {
        Some(EncodedBody { chunks: Arc::from([]), tail: Bytes::from_static(EXPOSITION.as_bytes()) })
    }

    fn render(&self, _: Format, _: ContentEncoding) -> io::Result<EncodedBody> {
        Err(io::Error::other("not called"))
    }
}

struct Missing(Option<&'static str>);

impl Readiness for Missing {
    fn ready(&self) -> Result<Option<String>, String> {
        self.0.map_or(Ok(None), |missing| Err(missing.to_owned()))
    }
}

fn routes() -> Routes {
    Routes::new(Arc::new(Fixed), Arc::new(Missing(None)))
}

/// Status, headers and text of the response to a request.
async fn request(routes: &Routes, method: &str, path: &str) -> (u16, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).body(()).unwrap();
    let response: Response<ResponseBody> = routes.handle(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn scrape_has_its_exact_content_type() {
    let (status, headers, text) = request(&routes(), "GET", "/metrics?debug=1").await;
    assert_eq!((status, text.as_str()), (200, EXPOSITION));
    assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(headers.get("content-encoding"), None);
    assert_eq!(headers["vary"], "Accept, Accept-Encoding");
}

#[tokio::test]
async fn other_methods_and_paths_get_advice() {
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let (status, headers, _) = request(&routes(), method, "/metrics").await;
        assert_eq!((status, headers["allow"].to_str().unwrap()), (405, "GET, HEAD"), "{method}");
    }
    for path in ["/metric", "/metrics/", "/-/reloads", "//", "/%2e%2e/etc/passwd"] {
        let (status, _, text) = request(&routes(), "GET", path).await;
        assert_eq!((status, text.as_str()), (404, "not found; / lists what there is\n"), "{path}");
    }
}

struct Echo;

impl StatusSource for Echo {
    fn write(&self, document: StatusRoute, query: &str) -> RenderedDocument {
        let status = if query == "missing" { StatusCode::NOT_FOUND } else { StatusCode::OK };
        let body = format!("{document:?} {query}").into();
        RenderedDocument { status, content_type: "text/html; charset=utf-8", body }
    }
}

#[tokio::test]
async fn status_pages_have_strict_headers() {
    let routes = routes().with_status(Arc::new(Echo));
    for (path, expected) in [
        ("/", "Overview "),
        ("/?q=a%26b", "Overview q=a%26b"),
        ("/target?project=a", "Target project=a"),
        ("/api/v1/status", "StatusJson "),
        ("/api/v1/targets", "TargetsJson "),
        ("/api/v1/target", "TargetJson "),
    ] {
        let (status, headers, text) = request(&routes, "GET", path).await;
        assert_eq!((status, text.as_str()), (200, expected), "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
    }
    assert_eq!(request(&routes, "GET", "/target?missing").await.0, 404);
    assert_eq!(request(&routes, "POST", "/").await.0, 405);
    assert_eq!(request(&self::routes(), "GET", "/").await.0, 404, "the status page is disabled");
}

#[tokio::test]
async fn readiness_reports_what_is_missing_unlike_health() {
    let missing = Missing(Some("reservations/us-1/live has not been polled yet"));
    let unready = Routes::new(Arc::new(Fixed), Arc::new(missing));
    let (status, _, text) = request(&unready, "GET", "/-/ready").await;
    assert_eq!(status, 503);
    assert_eq!(text, "not ready: reservations/us-1/live has not been polled yet\n");
    assert_eq!(request(&unready, "GET", "/-/healthy").await.0, 200);
    assert_eq!(request(&routes(), "GET", "/-/ready").await.0, 200);
}

struct Configuration(Result<&'static str, &'static str>);

impl ConfigReloader for Configuration {
    fn reload(&self) -> ReloadFuture<'_> {
        let outcome = self.0.map(str::to_owned).map_err(str::to_owned);
        Box::pin(std::future::ready(outcome))
    }
}

#[tokio::test]
async fn reload_responds_with_changes_or_reason() {
    for (outcome, status, text) in [
        (Ok("polling changed"), 200, "reloaded: polling changed\n"),
        (
            Err("polyai.yaml: line 3: unknown key"),
            500,
            "not reloaded, the previous configuration stays active:\npolyai.yaml: line 3: unknown key\n",
        ),
    ] {
        let routes = routes().with_reload(Arc::new(Configuration(outcome)));
        for method in ["POST", "PUT"] {
            let response = request(&routes, method, "/-/reload").await;
            assert_eq!((response.0, response.2.as_str()), (status, text));
        }
        let (status, headers, _) = request(&routes, "GET", "/-/reload").await;
        assert_eq!((status, headers["allow"].to_str().unwrap()), (405, "POST, PUT"), "a link cannot reload");
    }
    assert_eq!(request(&routes(), "POST", "/-/reload").await.0, 404, "without a configuration file");
}
