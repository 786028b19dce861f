//! Serves a text with a web configuration file: `text [ADDRESS] [FILE]`.
//!
//! With `basic_auth_users` and `tls_server_config` in the file, clients need a password and speak TLS; the file is reloaded while
//! the example runs.

#![expect(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "an example logs to standard error and has no clock"
)]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use exporter_schema::{ConfigErrors, Diagnostic};
use exporter_web::{
    Handler, Limits, ListenAddress, LoadedWebConfig, Observer, ResponseFuture, Server, WebConfig,
    text_response,
};
use hyper::{Request, StatusCode};
use tokio_util::sync::CancellationToken;

struct Text;

impl Handler for Text {
    fn handle(&self, request: Request<()>) -> ResponseFuture<'_> {
        Box::pin(async move {
            match request.uri().path() {
                "/metrics" => text_response(StatusCode::OK, "# TYPE up gauge\nup 1\n"),
                _ => text_response(StatusCode::NOT_FOUND, "try /metrics\n"),
            }
        })
    }
}

struct Log;

impl Observer for Log {
    fn on_config_reloaded(&self, expiry: Option<DateTime<Utc>>, warnings: &[Diagnostic]) {
        eprintln!("web configuration reloaded; certificate expires: {expiry:?}");
        warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    }

    fn on_config_rejected(&self, errors: &ConfigErrors) {
        eprintln!("web configuration rejected:\n{errors}");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if let Err(error) = run().await {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address: ListenAddress = arguments.next().unwrap_or(":9900".to_owned()).parse()?;
    let file = arguments.next().map(PathBuf::from);

    let loaded = LoadedWebConfig::read(file.as_deref(), Utc::now())?;
    eprintln!("serving {} on {address}", loaded.summary());
    loaded.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    let config = WebConfig::new(loaded);
    let server = Server::bind(&[address], Limits::default()).await?;
    let (observer, stop) = (Arc::new(Log), CancellationToken::new());
    tokio::spawn(config.clone().watch(observer.clone(), Utc::now, stop.clone()));
    tokio::spawn({
        let stop = stop.clone();
        async move {
            // Without the signal the example runs until it is killed.
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.cancel();
            }
        }
    });
    let outcome = server.run(Arc::new(Text), config, observer, stop).await;
    eprintln!("stopped; {} connections closed", outcome.remaining);
    Ok(())
}
