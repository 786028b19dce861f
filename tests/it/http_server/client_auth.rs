//! Client authentication by certificate.

use rcgen::SanType;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use super::fixture::{Fixture, TestServer};
use super::test_ca::{Authority, Issued, dns, email, ip, self_signed, uri};

fn with_clients(more: &str) -> Fixture {
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n";
    Fixture::new(&format!("{tls}{more}"))
}

/// Whether a scrape gets through, the same over both versions of TLS.
async fn is_accepted(fixture: &Fixture, server: &TestServer, identity: Option<&Issued>) -> bool {
    let mut outcomes = Vec::new();
    for version in [TLS_1_2, TLS_1_3] {
        let client = fixture
            .client_with(identity, |builder| builder.tls_version_min(version).tls_version_max(version));
        outcomes
            .push(client.get(server.url("/metrics")).send().await.is_ok_and(|answer| answer.status() == 200));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    outcomes[0]
}

const TLS_1_2: reqwest::tls::Version = reqwest::tls::Version::TLS_1_2;
const TLS_1_3: reqwest::tls::Version = reqwest::tls::Version::TLS_1_3;

#[tokio::test]
async fn client_auth_type_decides_who_is_accepted() {
    for (kind, none, stranger, known) in [
        ("NoClientCert", true, true, true),
        ("RequestClientCert", true, true, true),
        ("RequireAnyClientCert", false, true, true),
        ("RequireClientCert", false, true, true),
        ("VerifyClientCertIfGiven", true, false, true),
        ("RequireAndVerifyClientCert", false, false, true),
    ] {
        let ca = if kind == "NoClientCert" { "" } else { "  client_ca_file: authority.pem\n" };
        let fixture = with_clients(&format!("  client_auth_type: {kind}\n{ca}"));
        let server = fixture.open().await;
        assert_eq!(is_accepted(&fixture, &server, None).await, none, "{kind}: without a certificate");
        // The same subject, since clients select a certificate by the subjects of the requested authorities.
        let other = Authority::new("authority").issue(&[]);
        assert_eq!(
            is_accepted(&fixture, &server, Some(&other)).await,
            stranger,
            "{kind}: of another authority"
        );
        let known_one = fixture.authority.issue(&[]);
        assert_eq!(is_accepted(&fixture, &server, Some(&known_one)).await, known, "{kind}: of the authority");
    }
}

#[tokio::test]
async fn expired_client_certificate_is_rejected() {
    let fixture =
        with_clients("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: authority.pem\n");
    let server = fixture.open().await;
    let expired =
        fixture.authority.issue_with(&[], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(!is_accepted(&fixture, &server, Some(&expired)).await);
    assert!(server.counted("tls_handshake_failed") >= 2);
}

#[tokio::test]
async fn client_needs_an_allowed_name_of_any_kind() {
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
        let fixture =
            with_clients(&format!("  client_auth_type: {kind}\n  client_ca_file: authority.pem\n{allowed}"));
        let server = fixture.open().await;
        for (names, is_in) in &named {
            let identity = fixture.authority.issue(names);
            assert_eq!(is_accepted(&fixture, &server, Some(&identity)).await, *is_in, "{kind}: {names:?}");
        }
        let self_signed = self_signed(&[dns("prometheus.example.com")]);
        let verifies = kind == "RequireAndVerifyClientCert";
        assert_eq!(is_accepted(&fixture, &server, Some(&self_signed)).await, !verifies, "{kind}: self-made");
        assert!(!is_accepted(&fixture, &server, None).await, "{kind}: without a certificate");
    }
}

#[tokio::test]
async fn client_auth_disables_session_resumption() {
    let clients = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: authority.pem\n";
    for (more, again) in [("", HandshakeKind::Resumed), (clients, HandshakeKind::Full)] {
        let fixture = with_clients(more);
        let server = fixture.open().await;
        for version in [&TLS12, &TLS13] {
            let connector = fixture.tls_with_any_key(&fixture.authority.issue(&[]), version);
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let mut stream = server.tls_connect(&connector).await.unwrap();
                // The data for resumption comes after the handshake.
                assert!(super::fixture::answers(&mut stream).await);
                kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            }
            assert_eq!(kinds, [HandshakeKind::Full, again], "{more:?} {version:?}");
        }
    }
}

#[tokio::test]
async fn certificate_without_its_key_is_rejected() {
    let fixture = with_clients("  client_auth_type: RequireAnyClientCert\n");
    let server = fixture.open().await;
    let (mine, other) = (fixture.authority.issue(&[]), fixture.authority.issue(&[]));
    let stolen = Issued { certificate: other.certificate, key: mine.key };
    for version in [&TLS12, &TLS13] {
        let connector = fixture.tls_with_any_key(&stolen, version);
        let outcome = server.tls_connect(&connector).await;
        let is_in = match outcome {
            Err(_) => false,
            // With TLS 1.3 the client finishes before the server has verified its certificate.
            Ok(mut stream) => super::fixture::answers(&mut stream).await,
        };
        assert!(!is_in, "{version:?}");
    }
}
