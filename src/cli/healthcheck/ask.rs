//! One question to the daemon, over whatever it speaks.
//!
//! Owns: the request. Whether the port has TLS is found out by asking, so that a health check needs no flags of its own
//! when TLS is switched on. The certificate is not verified: the question goes to this machine and carries no secret.
//! Never: what an answer means.

use std::error::Error as _;
use std::time::Duration;

use super::Door;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A status, and the first line of the body.
    Status(u16, String),
    /// The end of a TLS handshake because the client has no certificate.
    WantsCertificate,
    /// Nothing, and why.
    Silence(String),
}

/// Asks for `path`; answers within `timeout`.
pub(super) async fn ask(door: &Door, path: &str, timeout: Duration) -> Answer {
    let asked = async {
        match once(door, "http", path).await {
            // What a TLS port says to plain HTTP. To /-/healthy and /-/ready in plain HTTP nobody else does.
            Answer::Status(400, _) => once(door, "https", path).await,
            answer @ (Answer::Status(..) | Answer::WantsCertificate | Answer::Silence(_)) => answer,
        }
    };
    tokio::time::timeout(timeout, asked).await.unwrap_or_else(|_| {
        Answer::Silence(format!("nothing came within {}", humantime::format_duration(timeout)))
    })
}

async fn once(door: &Door, scheme: &str, path: &str) -> Answer {
    // Fails only if a provider is installed already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_danger_accept_invalid_certs(true)
        .user_agent(concat!("polyai-exporter-healthcheck/", env!("CARGO_PKG_VERSION")));
    let (builder, authority) = match door {
        Door::Port(address) => (builder, address.to_string()),
        Door::Socket(path) => (builder.unix_socket(path.clone()), "localhost".to_owned()),
    };
    let sent = async {
        let mut response = builder.build()?.get(format!("{scheme}://{authority}{path}")).send().await?;
        // The first piece is enough for a sentence, and bounded whoever is there.
        let piece = response.chunk().await?.unwrap_or_default();
        let text = String::from_utf8_lossy(&piece);
        let line =
            text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(300).collect();
        Ok(Answer::Status(response.status().as_u16(), line))
    };
    sent.await.unwrap_or_else(|error: reqwest::Error| failed(&error))
}

fn failed(error: &reqwest::Error) -> Answer {
    let (mut reason, mut cause) = (String::new(), error.source());
    while let Some(error) = cause {
        if let Some(rustls::Error::AlertReceived(alert)) = tls(error)
            && matches!(
                alert,
                rustls::AlertDescription::CertificateRequired
                    | rustls::AlertDescription::BadCertificate
                    | rustls::AlertDescription::HandshakeFailure
            )
        {
            return Answer::WantsCertificate;
        }
        // The innermost is the plainest.
        reason = error.to_string();
        cause = error.source();
    }
    Answer::Silence(if reason.is_empty() { error.to_string() } else { reason })
}

/// The TLS error within `error`: rustls' errors travel inside those of input and output, one or two deep, whose sources
/// they are not.
fn tls<'e>(mut error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    while let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = inner;
    }
    error.downcast_ref()
}
