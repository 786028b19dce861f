//! Certificates and users that change while the port is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use polyai_exporter::exposition::Value;
use reqwest::Version;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::TLS13;
use tokio::time::{Instant, sleep};

use super::fixture::{Port, Scene, TLS};
use super::test_ca::{Authority, Issued, dns};

/// The certificate that a new connection is shown.
async fn shown(scene: &Scene, port: &Port) -> CertificateDer<'static> {
    let stream = port.shake_hands(&scene.tls(&[&TLS13], |_| {})).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

/// Waits until new connections are shown `wanted`.
async fn until_shown(scene: &Scene, port: &Port, wanted: &Issued) {
    let began = Instant::now();
    while shown(scene, port).await != der(wanted) {
        assert!(began.elapsed() < Duration::from_secs(20), "the new certificate is never shown");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Whether what stands on disk is in force.
fn is_usable(port: &Port) -> bool {
    let families = port.stats.gather();
    let name = "polyai_exporter_web_config_last_reload_successful";
    let family = families.iter().find(|family| family.meta.name == name).unwrap();
    family.series[0].value == Value::Gauge(1.0)
}

/// Whether it is known when the certificate in force ends to be valid.
fn knows_its_end(port: &Port) -> bool {
    let name = "polyai_exporter_web_certificate_expiry_timestamp_seconds";
    port.stats.gather().iter().any(|family| family.meta.name == name && family.series.len() == 1)
}

async fn until(what: &str, good: impl Fn() -> bool) {
    let began = Instant::now();
    while !good() {
        assert!(began.elapsed() < Duration::from_secs(20), "not in time: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_exchanged_under_load_and_no_request_fails() {
    let scene = Arc::new(Scene::new(TLS));
    let port = scene.open().await;
    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let askers: Vec<_> = (0..6)
        .map(|number| {
            let (scene, done, asked, url) =
                (scene.clone(), done.clone(), asked.clone(), port.url("/metrics"));
            tokio::spawn(async move {
                let client = || {
                    scene.client_with(None, |builder| {
                        // Without this, a client would try again by itself where a connection fails it.
                        let builder = builder.retry(reqwest::retry::never());
                        if number % 2 == 0 { builder.http1_only() } else { builder }
                    })
                };
                let kept = client();
                while !done.load(Ordering::SeqCst) {
                    // Some keep their connection, some make one each time.
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
        let new = scene.authority.issue(&[]);
        scene.serve_as(&new);
        until_shown(&scene, &port, &new).await;
        until("requests go on", || asked.load(Ordering::SeqCst) > before + 20).await;
    }
    done.store(true, Ordering::SeqCst);
    for asker in askers {
        asker.await.expect("no request failed");
    }
    assert!(is_usable(&port));
    assert_eq!(port.counted("web_config_reload_failed"), 0);
}

#[tokio::test]
async fn a_bad_exchange_keeps_the_old_certificate_and_is_told_once() {
    let scene = Scene::new(TLS);
    let first = scene.authority.issue(&[]);
    scene.serve_as(&first);
    let port = scene.open().await;
    // The certificate of one and the key of another.
    let (one, other) = (scene.authority.issue(&[]), scene.authority.issue(&[]));
    scene.serve_as(&Issued { certificate: one.certificate.clone(), key: other.key });
    until("it is told", || port.counted("web_config_reload_failed") == 1).await;
    assert!(!is_usable(&port));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(port.counted("web_config_reload_failed"), 1, "and only once");
    assert_eq!(shown(&scene, &port).await, der(&first));
    let refused = scene.reload(&port).unwrap_err().to_string();
    assert!(refused.contains("the key does not belong to the certificate"), "{refused}");

    scene.serve_as(&one);
    until_shown(&scene, &port, &one).await;
    until("all is well again", || is_usable(&port)).await;
}

#[tokio::test]
async fn what_is_written_piece_by_piece_is_no_failure() {
    let scene = Scene::new(TLS);
    let port = scene.open().await;
    let new = scene.authority.issue(&[]);
    scene.write("server.pem", &new.certificate[..100]);
    sleep(Duration::from_millis(1200)).await;
    scene.serve_as(&new);
    until_shown(&scene, &port, &new).await;
    assert_eq!(port.counted("web_config_reload_failed"), 0);
}

#[tokio::test]
async fn a_mounted_secret_is_exchanged_by_its_folder() {
    let scene = Scene::new("tls_server_config: {cert_file: now/tls.crt, key_file: now/tls.key}\n");
    let link = |folder: &str, issued: &Issued| {
        std::fs::create_dir(scene.path(folder)).unwrap();
        scene.write(&format!("{folder}/tls.crt"), &issued.certificate);
        scene.write(&format!("{folder}/tls.key"), &issued.key);
        std::os::unix::fs::symlink(folder, scene.path("next")).unwrap();
        std::fs::rename(scene.path("next"), scene.path("now")).unwrap();
    };
    let (old, new) = (scene.authority.issue(&[]), scene.authority.issue(&[]));
    link("first", &old);
    let port = scene.open().await;
    assert_eq!(shown(&scene, &port).await, der(&old));
    link("second", &new);
    until_shown(&scene, &port, &new).await;
    until("the end of its validity is known", || knows_its_end(&port)).await;
    scene.write("web.yml", "");
    until("without TLS there is none", || !knows_its_end(&port)).await;
}

#[tokio::test]
async fn a_user_who_is_struck_from_the_file_is_out_at_once_even_on_a_kept_connection() {
    let users = |names: &[&str]| {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let lines: String = names.iter().map(|name| format!("  {name}: {hash}\n")).collect();
        format!("{TLS}basic_auth_users:\n{lines}")
    };
    let scene = Scene::new(&users(&["alice", "bob"]));
    let port = scene.open().await;
    let client = scene.client(None);
    let ask = async |user: &str| {
        let request = client.get(port.url("/metrics")).basic_auth(user, Some("secret"));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((ask("alice").await, ask("bob").await), (200, 200));
    scene.write("web.yml", &users(&["alice"]));
    scene.reload(&port).unwrap();
    assert_eq!((ask("alice").await, ask("bob").await), (200, 401));
    scene.write("web.yml", "basic_auth_users: {alice: plain}");
    scene.reload(&port).unwrap_err();
    assert_eq!((ask("alice").await, ask("bob").await), (200, 401), "what cannot be used changes nothing");
}

#[tokio::test]
async fn an_authority_that_is_exchanged_lets_its_clients_in_and_those_of_the_old_one_out() {
    let scene = Scene::new(
        "tls_server_config: {cert_file: server.pem, key_file: server-key.pem, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert}\n",
    );
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    scene.write("ca.pem", &old.pem);
    let port = scene.open().await;
    let old_client = scene.client(Some(&old.issue(&[dns("a")])));
    let new_client = scene.client(Some(&new.issue(&[dns("b")])));
    let older_client = scene.client_with(Some(&old.issue(&[dns("a")])), |builder| builder.http1_only());
    let gets_through = async |client: &reqwest::Client| {
        let answer = client.get(port.url("/metrics")).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    };
    assert!(gets_through(&old_client).await && gets_through(&older_client).await);
    assert!(!gets_through(&new_client).await);
    scene.write("ca.pem", &new.pem);
    scene.reload(&port).unwrap();
    assert!(gets_through(&new_client).await);
    for (client, version) in [(&old_client, Version::HTTP_2), (&older_client, Version::HTTP_11)] {
        // Over the connection that it has; the next one it does not get.
        let refused = client.get(port.url("/metrics")).send().await.unwrap();
        assert_eq!((refused.status().as_u16(), refused.version()), (421, version), "not one more answer");
        assert!(client.get(port.url("/metrics")).send().await.is_err());
    }
}

#[tokio::test]
async fn tls_can_be_switched_on_and_off_while_the_port_is_open() {
    let scene = Scene::new("");
    let port = scene.open().await;
    let plain = format!("http://{}/metrics", port.address);
    let client = scene.client(None);
    assert_eq!(client.get(&plain).send().await.unwrap().status(), 200);
    scene.write("web.yml", TLS);
    scene.reload(&port).unwrap();
    let last = client.get(&plain).send().await.unwrap();
    assert_eq!(last.headers()["connection"], "close", "the connection of before ends");
    assert_eq!(client.get(port.url("/metrics")).send().await.unwrap().status(), 200);
    assert_eq!(client.get(&plain).send().await.unwrap().status(), 400);
    scene.write("web.yml", "");
    scene.reload(&port).unwrap();
    assert_eq!(client.get(&plain).send().await.unwrap().status(), 200);
}
