//! One question to the daemon, over whatever it speaks.
//!
//! Owns: the request. Whether the port has TLS is found out by asking, so that a health check needs no flags of its own
//! when TLS is switched on. The certificate is not verified: the question goes to this machine and carries no secret.
//! Never: what an answer means.

use std::time::Duration;

use super::Endpoint;
use crate::config::ListenAddress;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A status, and the first line of the body.
    Status(u16, String),
    /// It speaks TLS, for it says so to plain HTTP, but not with us, who have no certificate.
    ClientCertRequired,
    /// Nothing, and why.
    NoResponse(String),
}

/// What a TLS port says to plain HTTP; to the paths that are asked for nobody else does.
const WRONG_PROTOCOL: u16 = 400;

/// Asks for `path`; answers within `timeout`.
pub(super) async fn ask(door: &Endpoint, path: &str, timeout: Duration) -> Answer {
    tokio::time::timeout(timeout, in_its_protocol(door, path)).await.unwrap_or_else(|_| {
        Answer::NoResponse(format!("nothing came within {}", humantime::format_duration(timeout)))
    })
}

async fn in_its_protocol(door: &Endpoint, path: &str) -> Answer {
    let refuses_plain = |answer: &Answer| matches!(answer, Answer::Status(WRONG_PROTOCOL, _));
    if door.has_web_config {
        let answer = get(&door.address, "https", path).await;
        if !matches!(answer, Answer::NoResponse(_)) {
            return answer;
        }
        // A web configuration without TLS, or with client certificates; plain HTTP tells which.
        let answer = get(&door.address, "http", path).await;
        if refuses_plain(&answer) { Answer::ClientCertRequired } else { answer }
    } else {
        let answer = get(&door.address, "http", path).await;
        if !refuses_plain(&answer) {
            return answer;
        }
        let answer = get(&door.address, "https", path).await;
        if matches!(answer, Answer::NoResponse(_)) { Answer::ClientCertRequired } else { answer }
    }
}

async fn get(address: &ListenAddress, scheme: &str, path: &str) -> Answer {
    // Fails only if a provider is installed already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_danger_accept_invalid_certs(true)
        .user_agent(concat!("polyai-exporter-healthcheck/", env!("CARGO_PKG_VERSION")));
    let (builder, authority) = match address {
        ListenAddress::Unix(path) => (builder.unix_socket(path.clone()), "localhost".to_owned()),
        ListenAddress::Socket(_) | ListenAddress::AnyAddress(_) | ListenAddress::Inherited => {
            (builder, address.to_string())
        }
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
    sent.await.unwrap_or_else(|error: reqwest::Error| Answer::NoResponse(reason(&error)))
}

/// The innermost reason, which is the plainest.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
