//! `healthcheck`: asks the daemon on this machine how it is, for an image without a shell and for scripts.
//!
//! Owns: where the daemon listens, seen from here, and what its answer means. Never: the rest of the configuration; a
//! missing API key is not what is asked about.

mod ask;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ask::{Answer, ask};

use super::Failure;
use crate::config;

/// The flags of `healthcheck`.
#[derive(Debug, Clone, clap::Args)]
pub struct Healthcheck {
    /// The configuration file of the daemon; only the address is taken from it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the daemon listens, as `serve` was told: ADDRESS:PORT, or unix:/path; wins over the configuration.
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    pub listen: Option<Door>,
    /// Ask whether the numbers can be trusted yet, not only whether the process answers.
    #[arg(long)]
    pub ready: bool,
    /// How long to wait for the answer.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// Where the daemon is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A port. An address for all interfaces is asked on the loopback interface.
    Port(SocketAddr),
    /// A unix socket.
    Socket(PathBuf),
}

impl FromStr for Door {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Self::Socket(path.into()))
            } else {
                Err("the path of a unix socket begins with a slash: unix:/run/polyai-exporter.sock"
                    .to_owned())
            };
        }
        // As Prometheus' own flags have it: no address means every address.
        let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
        whole
            .parse()
            .map(Self::Port)
            .map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:9890, or unix:/path".to_owned())
    }
}

impl Door {
    /// As it is reached from this machine.
    ///
    /// # Errors
    /// A sentence, if nobody can tell: port 0 stands for whichever port was free.
    fn seen_here(self) -> Result<Self, String> {
        match self {
            Self::Port(address) if address.port() == 0 => Err(
                "the daemon took a free port (0), which only its log tells: give it in --web.listen-address"
                    .to_owned(),
            ),
            Self::Port(mut address) => {
                if address.ip().is_unspecified() {
                    address.set_ip(match address.ip() {
                        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                    });
                }
                Ok(Self::Port(address))
            }
            Self::Socket(path) => Ok(Self::Socket(path)),
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(address) => address.fmt(f),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Does the process answer?
    Healthy,
    /// Can its numbers be trusted?
    Ready,
}

impl Question {
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
) -> Result<(), Failure> {
    let door = door(flags, env).map_err(|sentence| Failure::run_time(&sentence))?;
    let question = if flags.ready { Question::Ready } else { Question::Healthy };
    let answer = ask(&door, question.path(), flags.timeout).await;
    let sentence =
        judge(question, &answer).map_err(|sentence| Failure::run_time(&format!("{door} {sentence}")))?;
    writeln!(out, "{door} {sentence}").map_err(|error| Failure::run_time(&error))
}

fn door(flags: &Healthcheck, env: &BTreeMap<String, String>) -> Result<Door, String> {
    let told = match &flags.listen {
        Some(door) => door.clone(),
        None => {
            let server = config::server(flags.config.as_deref(), env);
            Door::Port(server.map_err(|problems| problems.to_string())?.listen)
        }
    };
    told.seen_here()
}

/// What `answer` to `question` means, as the rest of a sentence that begins with the address.
fn judge(question: Question, answer: &Answer) -> Result<String, String> {
    match (question, answer) {
        (Question::Healthy, Answer::Status(200, _)) => Ok("is healthy".to_owned()),
        (Question::Ready, Answer::Status(200, _)) => Ok("is ready".to_owned()),
        (Question::Healthy, Answer::Status(401, _)) => {
            Ok("is healthy: it asks for a password, so it runs".to_owned())
        }
        (Question::Healthy, Answer::WantsCertificate) => {
            Ok("is healthy: it asks for a client certificate, so it runs".to_owned())
        }
        (Question::Ready, Answer::Status(401, _) | Answer::WantsCertificate) => {
            Err("runs, but tells nobody without a password or client certificate whether it is ready; ask without --ready"
                .to_owned())
        }
        (Question::Ready, Answer::Status(503, words)) => {
            Err(format!("is {}", if words.is_empty() { "not ready" } else { words }))
        }
        (_, Answer::Status(status, words)) => {
            Err(format!("answered {status} to {}, as no polyai-exporter does that is well: {words}", question.path()))
        }
        (_, Answer::Silence(reason)) => Err(format!("does not answer: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_everybody_is_asked_on_the_loopback_interface() {
        for (told, asked) in [
            ("0.0.0.0:9890", "127.0.0.1:9890"),
            (":9890", "127.0.0.1:9890"),
            ("[::]:9890", "[::1]:9890"),
            ("10.0.0.7:80", "10.0.0.7:80"),
            ("unix:/run/polyai.sock", "unix:/run/polyai.sock"),
        ] {
            assert_eq!(told.parse::<Door>().unwrap().seen_here().unwrap().to_string(), asked, "{told}");
        }
        assert!("127.0.0.1:0".parse::<Door>().unwrap().seen_here().unwrap_err().contains("log"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_would_be_right() {
        for (told, said) in
            [("9890", "127.0.0.1:9890"), ("unix:run.sock", "begins with a slash"), ("", "unix:/path")]
        {
            assert!(told.parse::<Door>().unwrap_err().contains(said), "{told}");
        }
    }

    #[test]
    fn who_asks_for_a_password_lives_but_may_not_be_ready() {
        for locked in [Answer::Status(401, "Unauthorized".into()), Answer::WantsCertificate] {
            assert!(judge(Question::Healthy, &locked).unwrap().starts_with("is healthy: "));
            assert!(judge(Question::Ready, &locked).unwrap_err().contains("without --ready"));
        }
    }

    #[test]
    fn what_is_missing_is_passed_on_and_strangers_are_told_apart() {
        let waiting = Answer::Status(503, "not ready: 1 of 2 targets has not been tried yet".into());
        assert_eq!(
            judge(Question::Ready, &waiting).unwrap_err(),
            "is not ready: 1 of 2 targets has not been tried yet"
        );
        assert!(
            judge(Question::Healthy, &Answer::Status(404, "nothing here".into()))
                .unwrap_err()
                .contains("404")
        );
        assert!(judge(Question::Healthy, &Answer::Silence("refused".into())).is_err());
        assert_eq!(judge(Question::Ready, &Answer::Status(200, "ready".into())), Ok("is ready".to_owned()));
    }
}
