//! Basic authentication, cross-origin refusal and the rate limit.

use std::sync::{Arc, Mutex};

use polyai_exporter::logging::{Format, LevelFilterSpec, subscriber};
use reqwest::Method;
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::fixture::{Fixture, TEST_TIMEOUT, TLS};

/// Section `basic_auth_users`, with the cheapest bcrypt cost.
fn users(users: &[(&str, &str)]) -> String {
    let lines =
        users.iter().map(|(user, password)| format!("  {user}: {}\n", bcrypt::hash(password, 4).unwrap()));
    format!("basic_auth_users:\n{}", lines.collect::<String>())
}

#[tokio::test]
async fn every_path_requires_authentication() {
    let fixture = Fixture::new(&format!("{TLS}{}", users(&[("alice", "secret"), ("bob", "other")])));
    let server = fixture.open().await;
    let client = fixture.client(None);
    for path in ["/", "/metrics", "/-/healthy", "/-/ready", "/-/reload", "/api/v1/targets", "/no/such/path"] {
        let refused = client.get(server.url(path)).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{path}");
        assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"), "{path}");
        let text = refused.text().await.unwrap();
        assert_eq!(text, "user name and password required\n", "{path}");
        let known = client.get(server.url(path)).basic_auth("alice", Some("secret")).send().await.unwrap();
        assert_ne!(known.status(), 401, "{path}");
    }
    for (user, password) in [("alice", "other"), ("bob", "secret"), ("carol", "secret"), ("", "")] {
        let refused =
            client.get(server.url("/metrics")).basic_auth(user, Some(password)).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{user}");
    }
    assert_eq!(server.counted("authentication_failed"), 11);
}

#[tokio::test]
async fn no_request_form_bypasses_authentication() {
    let fixture = Fixture::new(&format!("{TLS}{}", users(&[("alice", "secret")])));
    let server = fixture.open().await;
    for client in [fixture.client(None), fixture.client_with(None, |builder| builder.http1_only())] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            for path in ["/", "/metrics", "/-/reload"] {
                let request = client.request(method.parse().unwrap(), server.url(path));
                assert_eq!(request.send().await.unwrap().status(), 401, "{method} {path}");
            }
        }
    }
    for line in [
        "GET /metrics HTTP/1.0",
        "GET http://localhost/metrics HTTP/1.1",
        "GET //metrics HTTP/1.1",
        "GET /metrics?/-/healthy HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT localhost:80 HTTP/1.1",
    ] {
        let mut stream = server.tls_connect(&fixture.tls(&[&TLS13], |_| {})).await.unwrap();
        let request = format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // After CONNECT the connection is closed without a TLS close_notify.
        let _ = timeout(TEST_TIMEOUT, stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some("401"), "{line}: {answer}");
    }
    assert_eq!(server.reloads.count(), 0);
}

#[tokio::test]
async fn reload_requires_user_and_same_origin() {
    let fixture = Fixture::new(&format!("{TLS}{}", users(&[("alice", "secret")])));
    let server = fixture.open().await;
    let client = fixture.client(None);
    for method in [Method::POST, Method::PUT] {
        let request = || client.request(method.clone(), server.url("/-/reload"));
        assert_eq!(request().send().await.unwrap().status(), 401);
        assert_eq!(request().basic_auth("alice", Some("wrong")).send().await.unwrap().status(), 401);
        let cross_origin =
            request().basic_auth("alice", Some("secret")).header("sec-fetch-site", "cross-site");
        assert_eq!(cross_origin.send().await.unwrap().status(), 403);
        let cross_origin =
            request().basic_auth("alice", Some("secret")).header("origin", "https://evil.example");
        assert_eq!(cross_origin.send().await.unwrap().status(), 403);
        assert_eq!(server.reloads.count(), 0, "no request reached the handler");
        let own = request()
            .basic_auth("alice", Some("secret"))
            .header("origin", format!("https://{}", server.address));
        assert_eq!(own.send().await.unwrap().status(), 200);
        assert_eq!(server.reloads.count(), 1);
        server.reloads.forget();
    }
    let read = client
        .get(server.url("/metrics"))
        .basic_auth("alice", Some("secret"))
        .header("origin", "https://evil.example");
    assert_eq!(read.send().await.unwrap().status(), 200, "reading changes nothing");
}

#[tokio::test]
async fn unread_body_closes_only_its_connection() {
    let fixture = Fixture::new(&format!("{TLS}{}", users(&[("alice", "secret")])));
    let server = fixture.open().await;
    for version in [1, 2] {
        let client =
            fixture.client_with(None, |builder| if version == 1 { builder.http1_only() } else { builder });
        for _ in 0..3 {
            // The server may respond and close before the body is sent.
            let _ = client.post(server.url("/-/reload")).body(vec![b'a'; 8 << 20]).send().await;
            let answer =
                client.get(server.url("/metrics")).basic_auth("alice", Some("secret")).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    }
    assert_eq!(server.reloads.count(), 0);
}

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn credentials_are_never_logged() {
    let log = Log::default();
    let writer = log.clone();
    let filter = LevelFilterSpec::parse("trace").unwrap();
    let subscriber = subscriber(Format::Json, &filter, false, move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let fixture = Fixture::new(&format!("{TLS}{}", users(&[("alice", "swordfish")])));
    let server = fixture.open().await;
    let client = fixture.client(None);
    for (user, password) in [("alice", "swordfish"), ("alice", "marker"), ("marker", "swordfish")] {
        client.get(server.url("/metrics")).basic_auth(user, Some(password)).send().await.unwrap();
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("authentication failed"), "{logged}");
    for secret in ["swordfish", "marker", "$2b$"] {
        assert!(!logged.contains(secret), "{secret} in {logged}");
    }
}

#[tokio::test]
async fn cached_user_is_served_during_password_guessing() {
    // Expensive enough that the guesses queue.
    let hash = bcrypt::hash("secret", 10).unwrap();
    let fixture = Arc::new(Fixture::new(&format!("{TLS}basic_auth_users: {{alice: {hash:?}}}\n")));
    let server = fixture.open().await;
    let client = fixture.client(None);
    let known = || client.get(server.url("/metrics")).basic_auth("alice", Some("secret")).send();
    assert_eq!(known().await.unwrap().status(), 200);
    let guesses: Vec<_> = (0..40)
        .map(|guess| {
            let request =
                client.get(server.url("/metrics")).basic_auth("alice", Some(format!("guess {guess}")));
            tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
        })
        .collect();
    let other = fixture.client(None);
    for _ in 0..10 {
        let answer =
            other.get(server.url("/metrics")).basic_auth("alice", Some("secret")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert!(guesses.iter().any(|guess| !guess.is_finished()), "guesses are still waiting");
    for guess in guesses {
        assert_eq!(guess.await.unwrap(), 401);
    }
}

#[tokio::test]
async fn requests_over_the_rate_limit_get_429() {
    let fixture = Fixture::new(&format!(
        "{TLS}rate_limit: {{interval: 1h, burst: 3}}\n{}",
        users(&[("alice", "secret")])
    ));
    let server = fixture.open().await;
    let client = fixture.client(None);
    let ask = || client.get(server.url("/metrics")).send();
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(ask().await.unwrap().status().as_u16());
    }
    assert_eq!(answers, [401, 401, 401, 429, 429], "unauthenticated requests count, too");
    assert_eq!(server.counted("request_rate_limited"), 2);
}
