//! Who is let in by a certificate.

use rcgen::SanType;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use super::fixture::{Port, Scene};
use super::test_ca::{Authority, Issued, dns, email, ip, self_made, uri};

fn with_clients(more: &str) -> Scene {
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n";
    Scene::new(&format!("{tls}{more}"))
}

/// Whether a scrape gets through, the same over both versions of TLS.
async fn is_let_in(scene: &Scene, port: &Port, identity: Option<&Issued>) -> bool {
    let mut outcomes = Vec::new();
    for version in [TLS_1_2, TLS_1_3] {
        let client =
            scene.client_with(identity, |builder| builder.tls_version_min(version).tls_version_max(version));
        outcomes
            .push(client.get(port.url("/metrics")).send().await.is_ok_and(|answer| answer.status() == 200));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    outcomes[0]
}

const TLS_1_2: reqwest::tls::Version = reqwest::tls::Version::TLS_1_2;
const TLS_1_3: reqwest::tls::Version = reqwest::tls::Version::TLS_1_3;

#[tokio::test]
async fn each_kind_of_client_is_let_in_as_the_file_says() {
    for (kind, none, stranger, known) in [
        ("NoClientCert", true, true, true),
        ("RequestClientCert", true, true, true),
        ("RequireAnyClientCert", false, true, true),
        ("RequireClientCert", false, true, true),
        ("VerifyClientCertIfGiven", true, false, true),
        ("RequireAndVerifyClientCert", false, false, true),
    ] {
        let ca = if kind == "NoClientCert" { "" } else { "  client_ca_file: authority.pem\n" };
        let scene = with_clients(&format!("  client_auth_type: {kind}\n{ca}"));
        let port = scene.open().await;
        assert_eq!(is_let_in(&scene, &port, None).await, none, "{kind}: without a certificate");
        // Whoever chooses certificates by the authorities that are asked for sends none of these: so it is sent anyway.
        let other = Authority::new("authority").issue(&[]);
        assert_eq!(is_let_in(&scene, &port, Some(&other)).await, stranger, "{kind}: of another authority");
        let known_one = scene.authority.issue(&[]);
        assert_eq!(is_let_in(&scene, &port, Some(&known_one)).await, known, "{kind}: of the authority");
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_no_certificate() {
    let scene =
        with_clients("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: authority.pem\n");
    let port = scene.open().await;
    let expired =
        scene.authority.issue_with(&[], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(!is_let_in(&scene, &port, Some(&expired)).await);
    assert!(port.counted("tls_handshake_failed") >= 2);
}

#[tokio::test]
async fn a_client_needs_one_of_the_allowed_names_of_any_kind() {
    let allowed = "  client_allowed_sans: [prometheus.example.com, ops@example.com, 10.0.0.7, \"2001:db8:0:0::1\", \"spiffe://example.com/p\"]\n";
    let named: [(&[SanType], bool); 10] = [
        (&[dns("prometheus.example.com")], true),
        (&[email("ops@example.com")], true),
        (&[ip("10.0.0.7")], true),
        (&[ip("2001:db8::1")], true),
        (&[uri("spiffe://example.com/p")], true),
        (&[dns("other.example.com"), uri("spiffe://example.com/p")], true),
        (&[], false),
        (&[dns("a.prometheus.example.com"), email("op@example.com")], false),
        (&[dns("PROMETHEUS.example.com")], false),
        (&[uri("spiffe://example.com/p/q"), ip("10.0.0.8")], false),
    ];
    for kind in ["RequireAndVerifyClientCert", "RequireAnyClientCert"] {
        let scene =
            with_clients(&format!("  client_auth_type: {kind}\n  client_ca_file: authority.pem\n{allowed}"));
        let port = scene.open().await;
        for (names, is_in) in &named {
            let identity = scene.authority.issue(names);
            assert_eq!(is_let_in(&scene, &port, Some(&identity)).await, *is_in, "{kind}: {names:?}");
        }
        let self_made = self_made(&[dns("prometheus.example.com")]);
        let verifies = kind == "RequireAndVerifyClientCert";
        assert_eq!(is_let_in(&scene, &port, Some(&self_made)).await, !verifies, "{kind}: self-made");
        assert!(!is_let_in(&scene, &port, None).await, "{kind}: without a certificate");
    }
}

#[tokio::test]
async fn who_comes_again_shows_its_certificate_again() {
    let clients = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: authority.pem\n";
    for (more, again) in [("", HandshakeKind::Resumed), (clients, HandshakeKind::Full)] {
        let scene = with_clients(more);
        let port = scene.open().await;
        for version in [&TLS12, &TLS13] {
            let connector = scene.tls_with_any_key(&scene.authority.issue(&[]), version);
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let mut stream = port.shake_hands(&connector).await.unwrap();
                // What a session is taken up with comes after the handshake.
                assert!(super::fixture::answers(&mut stream).await);
                kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            }
            assert_eq!(kinds, [HandshakeKind::Full, again], "{more:?} {version:?}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_not_of_the_certificate_lets_nobody_in() {
    let scene = with_clients("  client_auth_type: RequireAnyClientCert\n");
    let port = scene.open().await;
    let (mine, other) = (scene.authority.issue(&[]), scene.authority.issue(&[]));
    let stolen = Issued { certificate: other.certificate, key: mine.key };
    for version in [&TLS12, &TLS13] {
        let connector = scene.tls_with_any_key(&stolen, version);
        let outcome = port.shake_hands(&connector).await;
        let is_in = match outcome {
            Err(_) => false,
            // The client is done before the server has looked at its certificate.
            Ok(mut stream) => super::fixture::answers(&mut stream).await,
        };
        assert!(!is_in, "{version:?}");
    }
}
