//! The request of a health check, over HTTP or HTTPS.
//!
//! TLS is detected, so that enabling it needs no change of the health check. The certificate is not verified: the request
//! goes to this machine and has no secret.

use std::time::Duration;

use super::Endpoint;
use crate::config::ListenAddress;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The status and the first line of the body.
    Status(u16, String),
    /// A TLS port that requires a client certificate.
    ClientCertRequired,
    /// The reason there is none.
    NoResponse(String),
}

/// The status of a TLS port for plain HTTP.
const WRONG_PROTOCOL: u16 = 400;

/// Requests `path` within `timeout`.
pub(super) async fn send(endpoint: &Endpoint, path: &str, timeout: Duration) -> Answer {
    tokio::time::timeout(timeout, detect_tls(endpoint, path)).await.unwrap_or_else(|_| {
        Answer::NoResponse(format!("no response within {}", humantime::format_duration(timeout)))
    })
}

async fn detect_tls(endpoint: &Endpoint, path: &str) -> Answer {
    let https = async || match get(&endpoint.address, "https", path).await {
        Answer::NoResponse(_) => None,
        answer @ (Answer::Status(..) | Answer::ClientCertRequired) => Some(answer),
    };
    if endpoint.has_web_config
        && let Some(answer) = https().await
    {
        return answer;
    }
    match get(&endpoint.address, "http", path).await {
        // With a web configuration, HTTPS has failed already.
        Answer::Status(WRONG_PROTOCOL, _) if endpoint.has_web_config => Answer::ClientCertRequired,
        Answer::Status(WRONG_PROTOCOL, _) => https().await.unwrap_or(Answer::ClientCertRequired),
        answer @ (Answer::Status(..) | Answer::ClientCertRequired | Answer::NoResponse(_)) => answer,
    }
}

async fn get(address: &ListenAddress, scheme: &str, path: &str) -> Answer {
    // Fails only if a provider is installed already.
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
        // The first chunk is enough, and bounded.
        let chunk = response.chunk().await?.unwrap_or_default();
        let text = String::from_utf8_lossy(&chunk);
        let line =
            text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(300).collect();
        Ok(Answer::Status(response.status().as_u16(), line))
    };
    sent.await.unwrap_or_else(|error: reqwest::Error| Answer::NoResponse(reason(&error)))
}

/// The innermost error.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
