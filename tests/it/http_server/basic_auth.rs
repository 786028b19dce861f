//! Who is let in by a password, and what nobody is let do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use polyai_exporter::logging::{Format, LevelFilterSpec, subscriber};
use reqwest::Method;
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::fixture::{PATIENCE, Scene, TLS};

/// With the cheapest hash that there is.
fn users(users: &[(&str, &str)]) -> String {
    let lines =
        users.iter().map(|(user, password)| format!("  {user}: {}\n", bcrypt::hash(password, 4).unwrap()));
    format!("basic_auth_users:\n{}", lines.collect::<String>())
}

#[tokio::test]
async fn every_path_asks_for_a_user() {
    let scene = Scene::new(&format!("{TLS}{}", users(&[("alice", "secret"), ("bob", "other")])));
    let port = scene.open().await;
    let client = scene.client(None);
    for path in ["/", "/metrics", "/-/healthy", "/-/ready", "/-/reload", "/api/v1/targets", "/no/such/path"] {
        let refused = client.get(port.url(path)).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{path}");
        assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"), "{path}");
        let text = refused.text().await.unwrap();
        assert_eq!(text, "user name and password required\n", "{path}");
        let known = client.get(port.url(path)).basic_auth("alice", Some("secret")).send().await.unwrap();
        assert_ne!(known.status(), 401, "{path}");
    }
    for (user, password) in [("alice", "other"), ("bob", "secret"), ("carol", "secret"), ("", "")] {
        let refused = client.get(port.url("/metrics")).basic_auth(user, Some(password)).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{user}");
    }
    assert_eq!(port.counted("authentication_failed"), 11);
}

#[tokio::test]
async fn no_method_no_version_and_no_form_of_a_request_goes_around_that() {
    let scene = Scene::new(&format!("{TLS}{}", users(&[("alice", "secret")])));
    let port = scene.open().await;
    for client in [scene.client(None), scene.client_with(None, |builder| builder.http1_only())] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            for path in ["/", "/metrics", "/-/reload"] {
                let request = client.request(method.parse().unwrap(), port.url(path));
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
        let mut stream = port.shake_hands(&scene.tls(&[&TLS13], |_| {})).await.unwrap();
        let request = format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // After CONNECT it is closed without a word of TLS.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some("401"), "{line}: {answer}");
    }
    assert_eq!(port.reloads.count(), 0);
}

#[tokio::test]
async fn nothing_is_changed_without_a_user_and_nothing_for_a_page_of_another_site() {
    let scene = Scene::new(&format!("{TLS}{}", users(&[("alice", "secret")])));
    let port = scene.open().await;
    let client = scene.client(None);
    for method in [Method::POST, Method::PUT] {
        let request = || client.request(method.clone(), port.url("/-/reload"));
        assert_eq!(request().send().await.unwrap().status(), 401);
        assert_eq!(request().basic_auth("alice", Some("wrong")).send().await.unwrap().status(), 401);
        let foreign = request().basic_auth("alice", Some("secret")).header("sec-fetch-site", "cross-site");
        assert_eq!(foreign.send().await.unwrap().status(), 403);
        let foreign = request().basic_auth("alice", Some("secret")).header("origin", "https://evil.example");
        assert_eq!(foreign.send().await.unwrap().status(), 403);
        assert_eq!(port.reloads.count(), 0, "nobody got through");
        let own = request()
            .basic_auth("alice", Some("secret"))
            .header("origin", format!("https://{}", port.address));
        assert_eq!(own.send().await.unwrap().status(), 200);
        assert_eq!(port.reloads.count(), 1);
        port.reloads.forget();
    }
    let read = client
        .get(port.url("/metrics"))
        .basic_auth("alice", Some("secret"))
        .header("origin", "https://evil.example");
    assert_eq!(read.send().await.unwrap().status(), 200, "reading changes nothing");
}

#[tokio::test]
async fn a_body_that_nobody_reads_ends_the_connection_and_not_the_server() {
    let scene = Scene::new(&format!("{TLS}{}", users(&[("alice", "secret")])));
    let port = scene.open().await;
    for version in [1, 2] {
        let client =
            scene.client_with(None, |builder| if version == 1 { builder.http1_only() } else { builder });
        for _ in 0..3 {
            // The server may have answered and closed before it is sent.
            let _ = client.post(port.url("/-/reload")).body(vec![b'a'; 8 << 20]).send().await;
            let answer =
                client.get(port.url("/metrics")).basic_auth("alice", Some("secret")).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    }
    assert_eq!(port.reloads.count(), 0);
}

/// All that is logged.
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
async fn neither_user_nor_password_is_ever_logged() {
    let log = Log::default();
    let writer = log.clone();
    let filter = LevelFilterSpec::parse("trace").unwrap();
    let subscriber = subscriber(Format::Json, &filter, false, move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let scene = Scene::new(&format!("{TLS}{}", users(&[("alice", "swordfish")])));
    let port = scene.open().await;
    let client = scene.client(None);
    for (user, password) in [("alice", "swordfish"), ("alice", "marker"), ("marker", "swordfish")] {
        client.get(port.url("/metrics")).basic_auth(user, Some(password)).send().await.unwrap();
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("authentication failed"), "{logged}");
    for secret in ["swordfish", "marker", "$2b$"] {
        assert!(!logged.contains(secret), "{secret} in {logged}");
    }
}

#[tokio::test]
async fn guesses_of_many_do_not_hold_up_those_who_are_known() {
    // Dear enough that the guesses queue.
    let hash = bcrypt::hash("secret", 8).unwrap();
    let scene = Arc::new(Scene::new(&format!("{TLS}basic_auth_users: {{alice: {hash:?}}}\n")));
    let port = scene.open().await;
    let client = scene.client(None);
    let known = || client.get(port.url("/metrics")).basic_auth("alice", Some("secret")).send();
    assert_eq!(known().await.unwrap().status(), 200);
    let guesses: Vec<_> = (0..40)
        .map(|guess| {
            let request =
                client.get(port.url("/metrics")).basic_auth("alice", Some(format!("guess {guess}")));
            tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
        })
        .collect();
    let other = scene.client(None);
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let began = tokio::time::Instant::now();
        let answer =
            other.get(port.url("/metrics")).basic_auth("alice", Some("secret")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    for guess in guesses {
        assert_eq!(guess.await.unwrap(), 401);
    }
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_for_a_while() {
    let scene = Scene::new(&format!(
        "{TLS}rate_limit: {{interval: 1h, burst: 3}}\n{}",
        users(&[("alice", "secret")])
    ));
    let port = scene.open().await;
    let client = scene.client(None);
    let ask = || client.get(port.url("/metrics")).send();
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(ask().await.unwrap().status().as_u16());
    }
    assert_eq!(answers, [401, 401, 401, 429, 429], "who may not ask is counted too");
    assert_eq!(port.counted("request_rate_limited"), 2);
}
