//! `healthcheck`: asks the daemon on this machine how it is, for an image without a shell and for scripts.
//!
//! Owns: where the daemon listens, seen from here, and what its answer means. Never: the rest of the configuration; a
//! missing API key is not what is asked about.

mod request;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use request::{Answer, ask};

use super::CliError;
use crate::config::{self, ListenAddress, Server};

/// The flags of `healthcheck`.
#[derive(Debug, Clone, clap::Args)]
pub struct Healthcheck {
    /// The configuration file of the daemon; only the address is taken from it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the daemon listens, as `serve` was told; wins over the configuration. Of several addresses one is enough.
    #[arg(long = "web.listen-address", value_name = "ADDRESS:PORT")]
    pub listen: Option<ListenAddress>,
    /// The web configuration, if `serve` was given one; TLS is then tried first. Without it too TLS is found out, but the
    /// daemon counts a request that was not meant for it.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,
    /// Ask whether the numbers can be trusted yet, not only whether the process answers.
    #[arg(long)]
    pub ready: bool,
    /// How long to wait for the answer.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// Where the daemon is asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    address: ListenAddress,
    /// Whether it has a web configuration, which is where TLS is switched on.
    has_web_config: bool,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// Does the process answer?
    Healthy,
    /// Can its numbers be trusted?
    Ready,
}

impl Probe {
    const fn path(self) -> &'static str {
        match self {
            Self::Healthy => "/-/healthy",
            Self::Ready => "/-/ready",
        }
    }
}

/// Asks, and says on `out` what the answer means.
///
/// # Errors
/// With code 1, which is the only one that an engine's health check knows: when the daemon does not answer, is not
/// well, or cannot be found.
pub async fn run(
    flags: &Healthcheck,
    env: &BTreeMap<String, String>,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let door = endpoint(flags, env).map_err(|sentence| CliError::run_time(&sentence))?;
    let question = if flags.ready { Probe::Ready } else { Probe::Healthy };
    let answer = ask(&door, question.path(), flags.timeout).await;
    let address = &door.address;
    let sentence = interpret(question, &answer)
        .map_err(|sentence| CliError::run_time(&format!("{address} {sentence}")))?;
    writeln!(out, "{address} {sentence}").map_err(|error| CliError::run_time(&error))
}

fn endpoint(flags: &Healthcheck, env: &BTreeMap<String, String>) -> Result<Endpoint, String> {
    // What the flags tell needs no configuration, nor one that can be read.
    let server = match (&flags.listen, &flags.config) {
        (Some(_), None) => Server::default(),
        (_, config) => config::server(config.as_deref(), env).map_err(|problems| problems.to_string())?,
    };
    let told = flags.listen.clone().or_else(|| server.listen.into_iter().next());
    let address = told.ok_or_else(|| "the configuration names no address".to_owned())?;
    Ok(Endpoint {
        address: to_local_address(address)?,
        has_web_config: flags.web_config_file.is_some() || server.web_config_file.is_some(),
    })
}

/// An address as it is reached from this machine: one that stands for all is asked on the loopback interface.
///
/// # Errors
/// A sentence, if nobody can tell where the daemon is.
fn to_local_address(told: ListenAddress) -> Result<ListenAddress, String> {
    match told {
        ListenAddress::AnyAddress(port) if port != 0 => {
            Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
        }
        ListenAddress::Socket(mut address) if address.port() != 0 => {
            if address.ip().is_unspecified() {
                address.set_ip(match address.ip() {
                    IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                });
            }
            Ok(address.into())
        }
        ListenAddress::Socket(_) | ListenAddress::AnyAddress(_) => {
            Err("the daemon took a free port (0), which only its log tells: give it in --web.listen-address"
                .to_owned())
        }
        ListenAddress::Unix(path) => Ok(ListenAddress::Unix(path)),
        ListenAddress::Inherited => {
            Err("the sockets are systemd's: give the address of one in --web.listen-address".to_owned())
        }
    }
}

/// What `answer` to `question` means, as the rest of a sentence that begins with the address.
fn interpret(question: Probe, answer: &Answer) -> Result<String, String> {
    match (question, answer) {
        (Probe::Healthy, Answer::Status(200, _)) => Ok("is healthy".to_owned()),
        (Probe::Ready, Answer::Status(200, _)) => Ok("is ready".to_owned()),
        (Probe::Healthy, Answer::Status(401, _)) => {
            Ok("is healthy: it asks for a password, so it runs".to_owned())
        }
        (Probe::Healthy, Answer::ClientCertRequired) => {
            Ok("is healthy: it asks for a client certificate, so it runs".to_owned())
        }
        (Probe::Healthy, Answer::Status(429, _)) => {
            Ok("is healthy: it is asked more often than its rate_limit allows, so it runs".to_owned())
        }
        (Probe::Ready, Answer::Status(429, _)) => {
            Err("runs, but is asked more often than its rate_limit allows, so it does not tell whether it is ready"
                .to_owned())
        }
        (Probe::Ready, Answer::Status(401, _) | Answer::ClientCertRequired) => {
            Err("runs, but tells nobody without a password or client certificate whether it is ready; ask without --ready"
                .to_owned())
        }
        (Probe::Ready, Answer::Status(503, words)) => {
            Err(format!("is {}", if words.is_empty() { "not ready" } else { words }))
        }
        (_, Answer::Status(status, words)) => {
            Err(format!("answered {status} to {}, as no polyai-exporter does that is well: {words}", question.path()))
        }
        (_, Answer::NoResponse(reason)) => Err(format!("does not answer: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_address_is_probed_on_loopback() {
        for (told, asked) in [
            ("0.0.0.0:9890", "127.0.0.1:9890"),
            (":9890", "127.0.0.1:9890"),
            ("[::]:9890", "[::1]:9890"),
            ("10.0.0.7:80", "10.0.0.7:80"),
            ("unix:/run/polyai.sock", "unix:/run/polyai.sock"),
        ] {
            assert_eq!(to_local_address(told.parse().unwrap()).unwrap().to_string(), asked, "{told}");
        }
        for nowhere in ["127.0.0.1:0", ":0"] {
            assert!(to_local_address(nowhere.parse().unwrap()).unwrap_err().contains("log"), "{nowhere}");
        }
        assert!(to_local_address(ListenAddress::Inherited).unwrap_err().contains("systemd"));
    }

    #[test]
    fn required_authentication_is_healthy_but_not_ready() {
        for locked in [Answer::Status(401, "Unauthorized".into()), Answer::ClientCertRequired] {
            assert!(interpret(Probe::Healthy, &locked).unwrap().starts_with("is healthy: "));
            assert!(interpret(Probe::Ready, &locked).unwrap_err().contains("without --ready"));
        }
    }

    #[test]
    fn rate_limited_probe_is_healthy() {
        let limited = Answer::Status(429, "too many requests".into());
        assert!(interpret(Probe::Healthy, &limited).unwrap().contains("rate_limit"));
        assert!(interpret(Probe::Ready, &limited).unwrap_err().contains("rate_limit"));
    }

    #[test]
    fn readiness_reasons_and_foreign_servers_are_reported() {
        let waiting = Answer::Status(503, "not ready: 1 of 2 targets has not been tried yet".into());
        assert_eq!(
            interpret(Probe::Ready, &waiting).unwrap_err(),
            "is not ready: 1 of 2 targets has not been tried yet"
        );
        assert!(
            interpret(Probe::Healthy, &Answer::Status(404, "nothing here".into()))
                .unwrap_err()
                .contains("404")
        );
        assert!(interpret(Probe::Healthy, &Answer::NoResponse("refused".into())).is_err());
        assert_eq!(interpret(Probe::Ready, &Answer::Status(200, "ready".into())), Ok("is ready".to_owned()));
    }
}
