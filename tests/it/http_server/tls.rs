//! HTTP and TLS versions, cipher suites, curves and response headers.

use std::time::Duration;

use bytes::Bytes;
use polyai_exporter::http::Limits;
use reqwest::Version;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, NamedGroup, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::fixture::{Fixture, TEST_TIMEOUT, TLS};

fn tls_with(more: &str) -> String {
    format!("tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n{more}")
}

#[tokio::test]
async fn client_chooses_http_version_by_alpn() {
    let fixture = Fixture::new(TLS);
    let server = fixture.open().await;
    let newest = fixture.client(None).get(server.url("/metrics")).send().await.unwrap();
    assert_eq!((newest.version(), newest.status().as_u16()), (Version::HTTP_2, 200));
    assert_eq!(newest.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(newest.text().await.unwrap(), "up 1\n");
    let older = fixture.client_with(None, |builder| builder.http1_only());
    let older = older.get(server.url("/metrics")).send().await.unwrap();
    assert_eq!((older.version(), older.text().await.unwrap().as_str()), (Version::HTTP_11, "up 1\n"));
    assert_eq!(server.stopped().await.remaining, 0);
}

#[tokio::test]
async fn http2_can_be_disabled() {
    let fixture = Fixture::new(&format!("{TLS}http_server_config: {{http2: false}}\n"));
    let server = fixture.open().await;
    let answer = fixture.client(None).get(server.url("/metrics")).send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_11, 200));
}

#[tokio::test]
async fn http2_requires_tls() {
    let fixture = Fixture::new("");
    let server = fixture.open().await;
    let mut stream = server.connect().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(TEST_TIMEOUT, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 505"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn plain_http_on_tls_port_gets_400() {
    let fixture = Fixture::new(TLS);
    let server = fixture.open().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(TEST_TIMEOUT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nclient sent an HTTP request to an HTTPS server\n"), "{answer}");
    assert_eq!(server.counted("tls_handshake_failed"), 1);
}

#[tokio::test]
async fn garbage_is_closed_and_port_probe_is_no_failure() {
    let fixture = Fixture::new(TLS);
    let server = fixture.open().await;
    drop(server.connect().await);
    let mut stream = server.connect().await;
    stream.write_all(b"\0\x01\x02\x03").await.unwrap();
    let mut answer = Vec::new();
    // The connection may be reset, since the data is not read.
    let _ = timeout(TEST_TIMEOUT, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty());
    assert_eq!(server.counted("tls_handshake_failed"), 1);
}

#[tokio::test]
async fn tls_versions_follow_the_file() {
    for (more, old, new) in [
        ("", true, true),
        ("  min_version: TLS13\n", false, true),
        ("  max_version: TLS12\n", true, false),
        ("  min_version: TLS10\n", true, true),
    ] {
        let fixture = Fixture::new(&tls_with(more));
        let server = fixture.open().await;
        for (version, is_spoken) in [(&TLS12, old), (&TLS13, new)] {
            let outcome = server.tls_connect(&fixture.tls(&[version], |_| {})).await;
            assert_eq!(outcome.is_ok(), is_spoken, "{more:?} {version:?}");
        }
    }
}

#[tokio::test]
async fn cipher_suite_preference_follows_the_file() {
    let lists = "  cipher_suites: [TLS_CHACHA20_POLY1305_SHA256, TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, \
                 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n";
    let client: &[(&SupportedProtocolVersion, _, _)] = &[
        (&TLS13, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, CipherSuite::TLS13_AES_256_GCM_SHA384),
        (
            &TLS12,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ),
    ];
    for prefers_own in [true, false] {
        let fixture =
            Fixture::new(&tls_with(&format!("{lists}  prefer_server_cipher_suites: {prefers_own}\n")));
        let server = fixture.open().await;
        for (version, ours, theirs) in client {
            let stream = server.tls_connect(&fixture.tls(&[version], |_| {})).await.unwrap();
            let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
            assert_eq!(suite, if prefers_own { *ours } else { *theirs });
        }
    }
}

#[tokio::test]
async fn unlisted_tls13_suite_is_not_offered() {
    let fixture =
        Fixture::new(&tls_with("  min_version: TLS13\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n"));
    let server = fixture.open().await;
    let stream = server.tls_connect(&fixture.tls(&[&TLS13], |_| {})).await.unwrap();
    let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
}

#[tokio::test]
async fn curves_follow_the_file() {
    for (list, chosen) in [
        ("[CurveP384]", NamedGroup::secp384r1),
        ("[CurveP521, CurveP256]", NamedGroup::secp256r1),
        ("[]", NamedGroup::X25519),
    ] {
        let fixture = Fixture::new(&tls_with(&format!("  curve_preferences: {list}\n")));
        let server = fixture.open().await;
        let stream = server.tls_connect(&fixture.tls(&[&TLS13], |_| {})).await.unwrap();
        assert_eq!(stream.get_ref().1.negotiated_key_exchange_group().unwrap().name(), chosen, "{list}");
    }
}

#[tokio::test]
async fn http2_head_response_has_no_body() {
    let fixture = Fixture::new(TLS);
    let server = fixture.open().await;
    let answer = fixture.client(None).head(server.url("/metrics")).send().await.unwrap();
    assert_eq!(
        (answer.version(), answer.headers()["content-length"].to_str().unwrap()),
        (Version::HTTP_2, "5")
    );
    assert_eq!(answer.bytes().await.unwrap(), Bytes::new());
}

#[tokio::test]
async fn old_connection_closes_with_its_response() {
    let fixture = Fixture::new(TLS);
    let server = fixture
        .open_with(
            Limits { max_connection_age: Duration::ZERO, ..Limits::default() },
            Bytes::from_static(b"up 1\n"),
        )
        .await;
    let client = fixture.client_with(None, |builder| builder.http1_only());
    let answer = client.get(server.url("/metrics")).send().await.unwrap();
    assert_eq!(answer.headers()["connection"], "close");
    let client = fixture.client(None);
    for _ in 0..5 {
        let answer = client.get(server.url("/metrics")).send().await.unwrap();
        assert_eq!(
            answer.text().await.unwrap(),
            "up 1\n",
            "on HTTP/2 the next request uses another connection"
        );
    }
}

#[tokio::test]
async fn configured_headers_are_on_every_response() {
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1\n    \
                   Content-Security-Policy: frame-ancestors 'none'\n    X-XSS-Protection: 0\n    X-Content-Type-Options: nosniff\n";
    let fixture = Fixture::new(&format!("{TLS}{headers}"));
    let server = fixture.open().await;
    let client = fixture.client(None);
    for path in ["/metrics", "/", "/no/such/path", "/-/ready", "/-/reload"] {
        let answer = client.get(server.url(path)).send().await.unwrap();
        let of = |name: &str| {
            answer.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of("x-frame-options"), ["deny"], "{path}");
        assert_eq!(of("strict-transport-security"), ["max-age=1"], "{path}");
        assert_eq!(of("x-xss-protection"), ["0"], "{path}");
        assert_eq!(of("x-content-type-options"), ["nosniff"], "{path}");
        assert_eq!(of("content-security-policy").last(), Some(&"frame-ancestors 'none'"), "{path}");
    }
    let page = client.get(server.url("/")).send().await.unwrap();
    assert_eq!(
        page.headers().get_all("content-security-policy").iter().count(),
        2,
        "the policy of the page applies, too"
    );
}
