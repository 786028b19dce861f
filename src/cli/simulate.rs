//! `simulate`: the simulated API alone.

use std::io;
use std::net::SocketAddr;

use polyai_domain::clock::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use polyai_simulator::{Demo, Project, Simulator, SimulatorHandle, World};

/// The flags of `simulate`.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Simulate {
    /// Address of the simulated API; port 0 selects a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9891")]
    pub listen: SocketAddr,
    /// Seed of the simulated calls; the same seed gives the same calls.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Multiplies the number of calls; 1 is about ten calls a minute over all projects at peak time.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = parse_volume)]
    pub volume: f64,
    /// API key that reads all projects.
    #[arg(long, value_name = "KEY", default_value = "demo-key")]
    pub api_key: String,
}

pub(super) fn parse_volume(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor| (0.0..=1000.0).contains(factor));
    factor.ok_or_else(|| "must be between 0 and 1000".to_owned())
}

/// Serves until `stop`; prints the address and a matching configuration to `out`.
///
/// # Errors
/// If the address is taken.
pub async fn run(flags: Simulate, stop: CancellationToken, mut out: impl io::Write) -> io::Result<()> {
    let Simulate { listen, seed, volume, api_key } = flags;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("--listen {listen}: {error}")))?;
    let demo = Demo { seed, volume, api_key, ..Demo::default() };
    let running = Simulator::start(World::demo(&demo), listener, Clock::system())?;
    super::warn_unprinted(print_banner(&mut out, &running));
    stop.cancelled().await;
    running.stop().await;
    Ok(())
}

fn print_banner(out: &mut impl io::Write, running: &SimulatorHandle) -> io::Result<()> {
    let addr = running.addr;
    writeln!(
        out,
        "The simulated Conversations API listens on http://{addr}, with a path prefix per region:\n"
    )?;
    for Project { name, region, account_id, project_id, .. } in running.control.projects() {
        let base_url = running.base_url(region);
        writeln!(out, "  {name:13} {base_url}/v3/{account_id}/{project_id}/conversations")?;
    }
    writeln!(out, "\nConfiguration for polyai-exporter:\n\n{}", running.targets_yaml())?;
    writeln!(
        out,
        "Incidents and faults, for example:\n\
         \n  curl -X POST 'http://{addr}/_sim/incidents?kind=latency&project=reservations&for=10m'\
         \n  curl -X POST 'http://{addr}/_sim/faults?kind=status&status=503&for=2m'\
         \n  curl -X DELETE 'http://{addr}/_sim/incidents'\
         \n  curl 'http://{addr}/_sim/truth'"
    )?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use clap::Parser;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        simulate: Simulate,
    }

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn flags_have_defaults_and_limits() {
        let options = Line::parse_from(["simulate"]).simulate;
        assert_eq!((options.listen.port(), options.seed, options.api_key.as_str()), (9891, 1, "demo-key"));
        assert!(Line::try_parse_from(["simulate", "--volume", "-1"]).is_err());
        assert!(Line::try_parse_from(["simulate", "--volume", "NaN"]).is_err());
    }

    #[tokio::test]
    async fn simulate_prints_its_address_and_stops() {
        let options =
            Line::parse_from(["simulate", "--listen", "127.0.0.1:0", "--api-key", "a: \"b\""]).simulate;
        let (stop, paper) = (CancellationToken::new(), Paper::default());
        let task = tokio::spawn(run(options, stop.clone(), paper.clone()));
        let printed = loop {
            let printed = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
            if printed.contains("_sim/truth") {
                break printed;
            }
            tokio::task::yield_now().await;
        };
        assert!(
            printed.contains("    client_env: [live, sandbox]\n    api_key: \"a: \\\"b\\\"\"\n"),
            "{printed}"
        );
        let addr = printed.split("http://").nth(1).unwrap().split(',').next().unwrap();
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream
            .write_all(b"GET /_sim/state HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        stop.cancel();
        task.await.unwrap().unwrap();
        assert!(TcpStream::connect(addr).await.is_err());
    }
}
