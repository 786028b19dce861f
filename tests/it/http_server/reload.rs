//! Reloads of the web configuration while the server runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use exporter_exposition::Value;
use exporter_web::{LoadedWebConfig, WebConfig};
use polyai_domain::clock::Clock;
use reqwest::Version;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::TLS13;
use tokio::time::{Instant, sleep};

use super::fixture::{Fixture, TLS, TestServer};
use super::test_ca::{Authority, Issued, dns};

/// The certificate that a new connection gets.
async fn served_certificate(fixture: &Fixture, server: &TestServer) -> CertificateDer<'static> {
    let stream = server.tls_connect(&fixture.tls(&[&TLS13], |_| {})).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

/// Waits until new connections get `wanted`.
async fn wait_until_served_with(fixture: &Fixture, server: &TestServer, wanted: &Issued) {
    let began = Instant::now();
    while served_certificate(fixture, server).await != der(wanted) {
        assert!(began.elapsed() < Duration::from_secs(20), "the new certificate is never served");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Whether the last reload succeeded.
fn is_reload_successful(server: &TestServer) -> bool {
    let families = server.stats.gather();
    let name = "polyai_exporter_web_config_last_reload_successful";
    let family = families.iter().find(|family| family.meta.name == name).unwrap();
    family.series[0].value == Value::Gauge(1.0)
}

/// Whether the expiry of the active certificate is exposed.
fn knows_expiry(server: &TestServer) -> bool {
    let name = "polyai_exporter_web_certificate_expiry_timestamp_seconds";
    server.stats.gather().iter().any(|family| family.meta.name == name && family.series.len() == 1)
}

async fn wait_until(what: &str, good: impl Fn() -> bool) {
    let began = Instant::now();
    while !good() {
        assert!(began.elapsed() < Duration::from_secs(20), "not in time: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_reload_under_load_fails_no_request() {
    let fixture = Arc::new(Fixture::new(TLS));
    let server = fixture.open().await;
    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let (fixture, done, asked, url) =
                (fixture.clone(), done.clone(), asked.clone(), server.url("/metrics"));
            tokio::spawn(async move {
                let client = || {
                    fixture.client_with(None, |builder| {
                        // Otherwise the client itself would retry on a failed connection.
                        let builder = builder.retry(reqwest::retry::never());
                        if number % 2 == 0 { builder.http1_only() } else { builder }
                    })
                };
                let kept = client();
                while !done.load(Ordering::SeqCst) {
                    // Some keep their connection alive, others open one per request.
                    let client = if number < 4 { kept.clone() } else { client() };
                    let answer = client.get(&url).send().await.unwrap();
                    assert_eq!(
                        (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
                        (200, "up 1\n")
                    );
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let before = asked.load(Ordering::SeqCst);
        let new = fixture.authority.issue(&[]);
        fixture.set_certificate(&new);
        wait_until_served_with(&fixture, &server, &new).await;
        wait_until("requests continue", || asked.load(Ordering::SeqCst) > before + 20).await;
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.expect("no request failed");
    }
    assert!(is_reload_successful(&server));
    assert_eq!(server.counted("web_config_reload_failed"), 0);
}

#[tokio::test]
async fn invalid_reload_keeps_certificate_and_counts_once() {
    let fixture = Fixture::new(TLS);
    let first = fixture.authority.issue(&[]);
    fixture.set_certificate(&first);
    let server = fixture.open().await;
    // The certificate of one pair and the key of another.
    let (one, other) = (fixture.authority.issue(&[]), fixture.authority.issue(&[]));
    fixture.set_certificate(&Issued { certificate: one.certificate.clone(), key: other.key });
    wait_until("the rejection is counted", || server.counted("web_config_reload_failed") == 1).await;
    assert!(!is_reload_successful(&server));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(server.counted("web_config_reload_failed"), 1, "only once");
    assert_eq!(served_certificate(&fixture, &server).await, der(&first));
    let refused = fixture.reload(&server).unwrap_err().to_string();
    assert!(refused.contains("the key does not belong to the certificate"), "{refused}");

    fixture.set_certificate(&one);
    wait_until_served_with(&fixture, &server, &one).await;
    wait_until("the reload succeeds", || is_reload_successful(&server)).await;
}

#[tokio::test]
async fn removed_protection_of_any_kind_is_named() {
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n";
    let clients = |kind: &str| format!("{tls}  client_ca_file: authority.pem\n  client_auth_type: {kind}\n");
    let (verified, any) = (clients("RequireAndVerifyClientCert"), clients("RequireAnyClientCert"));
    let if_given = clients("VerifyClientCertIfGiven");
    let named = format!("{verified}  client_allowed_sans: [a.test]\n");
    let hash = bcrypt::hash("secret", 4).unwrap();
    let users = format!("basic_auth_users:\n  alice: {hash}\n");
    let (two, limit) = (format!("{users}  bob: {hash}\n"), "rate_limit: {interval: 1s, burst: 5}\n");
    for (before, after, removed) in [
        (
            &*format!("{named}{users}{limit}"),
            "",
            "TLS, client certificates, client_allowed_sans, users and the rate limit",
        ),
        (tls, "", "TLS"),
        (tls, "tls_server_config:\n", "TLS"),
        (&verified, tls, "client certificates"),
        (&verified, &if_given, "client certificates"),
        (&verified, &any, "client certificates"),
        (&named, &verified, "client_allowed_sans"),
        (&users, "basic_auth_users:\n", "users"),
        (&two, &users, ""),
        (limit, "# empty\n", "the rate limit"),
        (tls, &verified, ""),
        (&verified, &named, ""),
        ("", &users, ""),
    ] {
        let fixture = Fixture::new(before);
        let read = || LoadedWebConfig::read(Some(&fixture.path("web.yml")), Clock::system().now()).unwrap();
        let active = WebConfig::new(read());
        fixture.write("web.yml", after);
        let warning = active.removed_protections(&read()).map(|warning| warning.to_string());
        assert_eq!(warning.is_some(), !removed.is_empty(), "{before} {after}: {warning:?}");
        let expected = format!("removes {removed} of the active configuration");
        assert!(warning.is_none_or(|warning| warning.contains(&expected)), "{before} {after}: {expected}");
    }
}

#[tokio::test]
async fn partially_written_file_is_not_rejected() {
    let fixture = Fixture::new(TLS);
    let server = fixture.open().await;
    let new = fixture.authority.issue(&[]);
    fixture.write("server.pem", &new.certificate[..100]);
    sleep(Duration::from_millis(1200)).await;
    fixture.set_certificate(&new);
    wait_until_served_with(&fixture, &server, &new).await;
    assert_eq!(server.counted("web_config_reload_failed"), 0);
}

#[tokio::test]
async fn mounted_secret_is_reloaded_by_symlink() {
    let fixture = Fixture::new("tls_server_config: {cert_file: now/tls.crt, key_file: now/tls.key}\n");
    let link = |dir: &str, issued: &Issued| {
        std::fs::create_dir(fixture.path(dir)).unwrap();
        fixture.write(&format!("{dir}/tls.crt"), &issued.certificate);
        fixture.write(&format!("{dir}/tls.key"), &issued.key);
        std::os::unix::fs::symlink(dir, fixture.path("next")).unwrap();
        std::fs::rename(fixture.path("next"), fixture.path("now")).unwrap();
    };
    let (old, new) = (fixture.authority.issue(&[]), fixture.authority.issue(&[]));
    link("first", &old);
    let server = fixture.open().await;
    assert_eq!(served_certificate(&fixture, &server).await, der(&old));
    link("second", &new);
    wait_until_served_with(&fixture, &server, &new).await;
    wait_until("the expiry is known", || knows_expiry(&server)).await;
    fixture.write("web.yml", "");
    fixture.reload(&server).unwrap();
    assert!(!knows_expiry(&server), "without TLS there is no expiry");
}

#[tokio::test]
async fn removed_user_is_refused_on_kept_connection() {
    let users = |names: &[&str]| {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let lines: String = names.iter().map(|name| format!("  {name}: {hash}\n")).collect();
        format!("{TLS}basic_auth_users:\n{lines}")
    };
    let fixture = Fixture::new(&users(&["alice", "bob"]));
    let server = fixture.open().await;
    let client = fixture.client(None);
    let ask = async |user: &str| {
        let request = client.get(server.url("/metrics")).basic_auth(user, Some("secret"));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((ask("alice").await, ask("bob").await), (200, 200));
    fixture.write("web.yml", &users(&["alice"]));
    fixture.reload(&server).unwrap();
    assert_eq!((ask("alice").await, ask("bob").await), (200, 401));
    fixture.write("web.yml", "basic_auth_users: {alice: plain}");
    fixture.reload(&server).unwrap_err();
    assert_eq!((ask("alice").await, ask("bob").await), (200, 401), "an invalid file changes nothing");
}

#[tokio::test]
async fn replaced_client_ca_applies_to_kept_connections() {
    let fixture = Fixture::new(
        "tls_server_config: {cert_file: server.pem, key_file: server-key.pem, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert}\n",
    );
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    fixture.write("ca.pem", &old.pem);
    let server = fixture.open().await;
    let old_client = fixture.client(Some(&old.issue(&[dns("a")])));
    let new_client = fixture.client(Some(&new.issue(&[dns("b")])));
    let older_client = fixture.client_with(Some(&old.issue(&[dns("a")])), |builder| builder.http1_only());
    let gets_through = async |client: &reqwest::Client| {
        let answer = client.get(server.url("/metrics")).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    };
    assert!(gets_through(&old_client).await && gets_through(&older_client).await);
    assert!(!gets_through(&new_client).await);
    fixture.write("ca.pem", &new.pem);
    fixture.reload(&server).unwrap();
    assert!(gets_through(&new_client).await);
    for (client, version) in [(&old_client, Version::HTTP_2), (&older_client, Version::HTTP_11)] {
        // On the kept connection; a new one fails in the handshake.
        let refused = client.get(server.url("/metrics")).send().await.unwrap();
        assert_eq!(
            (refused.status().as_u16(), refused.version()),
            (421, version),
            "no further response is served"
        );
        assert!(client.get(server.url("/metrics")).send().await.is_err());
    }
}

#[tokio::test]
async fn tls_is_switched_on_and_off_by_reload() {
    let fixture = Fixture::new("");
    let server = fixture.open().await;
    let plain = format!("http://{}/metrics", server.address);
    let client = fixture.client(None);
    assert_eq!(client.get(&plain).send().await.unwrap().status(), 200);
    fixture.write("web.yml", TLS);
    fixture.reload(&server).unwrap();
    let last = client.get(&plain).send().await.unwrap();
    assert_eq!(last.headers()["connection"], "close", "the old connection is closed");
    assert_eq!(client.get(server.url("/metrics")).send().await.unwrap().status(), 200);
    assert_eq!(client.get(&plain).send().await.unwrap().status(), 400);
    fixture.write("web.yml", "");
    fixture.reload(&server).unwrap();
    assert_eq!(client.get(&plain).send().await.unwrap().status(), 200);
}
