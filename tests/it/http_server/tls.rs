//! What is spoken on the port, and with what.

use std::time::Duration;

use bytes::Bytes;
use polyai_exporter::http::Limits;
use reqwest::Version;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, NamedGroup, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::fixture::{PATIENCE, Scene, TLS};

fn tls_with(more: &str) -> String {
    format!("tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n{more}")
}

#[tokio::test]
async fn http_1_and_2_are_spoken_over_tls_and_the_client_chooses() {
    let scene = Scene::new(TLS);
    let port = scene.open().await;
    let newest = scene.client(None).get(port.url("/metrics")).send().await.unwrap();
    assert_eq!((newest.version(), newest.status().as_u16()), (Version::HTTP_2, 200));
    assert_eq!(newest.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(newest.text().await.unwrap(), "up 1\n");
    let older = scene.client_with(None, |builder| builder.http1_only());
    let older = older.get(port.url("/metrics")).send().await.unwrap();
    assert_eq!((older.version(), older.text().await.unwrap().as_str()), (Version::HTTP_11, "up 1\n"));
    assert_eq!(port.stopped().await.remaining, 0);
}

#[tokio::test]
async fn http_2_can_be_switched_off() {
    let scene = Scene::new(&format!("{TLS}http_server_config: {{http2: false}}\n"));
    let port = scene.open().await;
    let answer = scene.client(None).get(port.url("/metrics")).send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_11, 200));
}

#[tokio::test]
async fn without_tls_there_is_no_http_2() {
    let scene = Scene::new("");
    let port = scene.open().await;
    let mut stream = port.connect().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 505"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_request_without_tls_gets_a_sentence() {
    let scene = Scene::new(TLS);
    let port = scene.open().await;
    let mut stream = port.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nclient sent an HTTP request to an HTTPS server\n"), "{answer}");
    assert_eq!(port.counted("tls_handshake_failed"), 1);
}

#[tokio::test]
async fn what_is_neither_tls_nor_http_is_closed_and_a_look_at_the_port_is_no_failure() {
    let scene = Scene::new(TLS);
    let port = scene.open().await;
    drop(port.connect().await);
    let mut stream = port.connect().await;
    stream.write_all(b"\0\x01\x02\x03").await.unwrap();
    let mut answer = Vec::new();
    // It may be reset, since what was sent is not read.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty());
    assert_eq!(port.counted("tls_handshake_failed"), 1);
}

#[tokio::test]
async fn versions_are_those_that_the_file_names() {
    for (more, old, new) in [
        ("", true, true),
        ("  min_version: TLS13\n", false, true),
        ("  max_version: TLS12\n", true, false),
        ("  min_version: TLS10\n", true, true),
    ] {
        let scene = Scene::new(&tls_with(more));
        let port = scene.open().await;
        for (version, is_spoken) in [(&TLS12, old), (&TLS13, new)] {
            let outcome = port.shake_hands(&scene.tls(&[version], |_| {})).await;
            assert_eq!(outcome.is_ok(), is_spoken, "{more:?} {version:?}");
        }
    }
}

#[tokio::test]
async fn suites_are_chosen_by_whoever_the_file_says() {
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
        let scene = Scene::new(&tls_with(&format!("{lists}  prefer_server_cipher_suites: {prefers_own}\n")));
        let port = scene.open().await;
        for (version, ours, theirs) in client {
            let stream = port.shake_hands(&scene.tls(&[version], |_| {})).await.unwrap();
            let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
            assert_eq!(suite, if prefers_own { *ours } else { *theirs });
        }
    }
}

#[tokio::test]
async fn a_suite_of_tls_1_3_that_is_not_listed_beside_others_is_not_offered() {
    let scene = Scene::new(&tls_with("  min_version: TLS13\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n"));
    let port = scene.open().await;
    let stream = port.shake_hands(&scene.tls(&[&TLS13], |_| {})).await.unwrap();
    let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
}

#[tokio::test]
async fn curves_are_those_that_the_file_names() {
    for (list, chosen) in [
        ("[CurveP384]", NamedGroup::secp384r1),
        ("[CurveP521, CurveP256]", NamedGroup::secp256r1),
        ("[]", NamedGroup::X25519),
    ] {
        let scene = Scene::new(&tls_with(&format!("  curve_preferences: {list}\n")));
        let port = scene.open().await;
        let stream = port.shake_hands(&scene.tls(&[&TLS13], |_| {})).await.unwrap();
        assert_eq!(stream.get_ref().1.negotiated_key_exchange_group().unwrap().name(), chosen, "{list}");
    }
}

#[tokio::test]
async fn head_gives_the_head_alone_over_http_2_too() {
    let scene = Scene::new(TLS);
    let port = scene.open().await;
    let answer = scene.client(None).head(port.url("/metrics")).send().await.unwrap();
    assert_eq!(
        (answer.version(), answer.headers()["content-length"].to_str().unwrap()),
        (Version::HTTP_2, "5")
    );
    assert_eq!(answer.bytes().await.unwrap(), Bytes::new());
}

#[tokio::test]
async fn a_connection_ends_with_its_answer_once_it_is_old() {
    let scene = Scene::new(TLS);
    let port = scene
        .open_with(
            Limits { max_connection_age: Duration::ZERO, ..Limits::default() },
            Bytes::from_static(b"up 1\n"),
        )
        .await;
    let client = scene.client_with(None, |builder| builder.http1_only());
    let answer = client.get(port.url("/metrics")).send().await.unwrap();
    assert_eq!(answer.headers()["connection"], "close");
    let client = scene.client(None);
    for _ in 0..5 {
        let answer = client.get(port.url("/metrics")).send().await.unwrap();
        assert_eq!(
            answer.text().await.unwrap(),
            "up 1\n",
            "over HTTP/2 the next one comes through another connection"
        );
    }
}

#[tokio::test]
async fn the_headers_of_the_operator_are_on_every_answer() {
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1\n    \
                   Content-Security-Policy: frame-ancestors 'none'\n    X-XSS-Protection: 0\n    X-Content-Type-Options: nosniff\n";
    let scene = Scene::new(&format!("{TLS}{headers}"));
    let port = scene.open().await;
    let client = scene.client(None);
    for path in ["/metrics", "/", "/no/such/path", "/-/ready", "/-/reload"] {
        let answer = client.get(port.url(path)).send().await.unwrap();
        let of = |name: &str| {
            answer.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of("x-frame-options"), ["deny"], "{path}");
        assert_eq!(of("strict-transport-security"), ["max-age=1"], "{path}");
        assert_eq!(of("x-xss-protection"), ["0"], "{path}");
        assert_eq!(of("x-content-type-options"), ["nosniff"], "{path}");
        assert_eq!(of("content-security-policy").last(), Some(&"frame-ancestors 'none'"), "{path}");
    }
    let page = client.get(port.url("/")).send().await.unwrap();
    assert_eq!(
        page.headers().get_all("content-security-policy").iter().count(),
        2,
        "that of the page holds as well"
    );
}
