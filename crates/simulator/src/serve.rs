//! The simulator on a socket.
//!
//! Owns: the listener, connections and their end. Never: what is answered.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::answer::{Answer, CORRELATION_ID};
use super::body::Body;
use super::control::Control;
use super::levers;
use super::state::{self, Shared};
use super::world::World;
use polyai_domain::clock::Clock;

/// A stand-in for the API, for all regions on one address: `http://ADDRESS/{region}` in place of a region's host.
#[derive(Debug, Clone, Copy)]
pub struct Simulator;

/// A simulator at work. Dropping it stops it.
#[derive(Debug)]
pub struct SimulatorHandle {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Changes what it does.
    pub control: Control,
    tasks: TaskTracker,
    stop: DropGuard,
}

impl Simulator {
    /// Serves `world` on `listener`, in the current runtime, in the time of `clock`.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn start(world: World, listener: TcpListener, clock: Clock) -> io::Result<SimulatorHandle> {
        let addr = listener.local_addr()?;
        let shared = Shared::new(world, clock);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, shared.clone(), stop.clone(), tasks.clone()));
        tasks.close();
        Ok(SimulatorHandle { addr, control: Control::new(shared), tasks, stop: stop.drop_guard() })
    }

    /// The same on a free port of the loopback interface, as tests want it.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn on_loopback(world: World, clock: Clock) -> io::Result<SimulatorHandle> {
        Self::start(world, TcpListener::bind(("127.0.0.1", 0)).await?, clock)
    }
}

impl SimulatorHandle {
    /// What a target of `region` puts into `base_url`.
    pub fn base_url(&self, region: polyai_domain::target::Region) -> String {
        format!("http://{}/{region}", self.addr)
    }

    /// The section `targets` of a configuration with which the exporter reads every project.
    pub fn targets_yaml(&self) -> String {
        // A JSON string is a YAML string too, whatever a key contains.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut yaml = String::from("targets:\n");
        for project in self.control.projects() {
            let envs: Vec<&str> = project.client_envs.iter().map(|env| env.as_str()).collect();
            let lines = [
                format!("  - name: {}", project.name),
                format!("    region: {}", project.region),
                format!("    account_id: {}", project.account_id),
                format!("    project_id: {}", project.project_id),
                format!("    client_env: [{}]", envs.join(", ")),
                format!("    api_key: {}", quoted(project.keys.first().map_or("", String::as_str))),
                format!("    base_url: {}", quoted(&self.base_url(project.region))),
                format!("    channels: [{}]\n", project.channels.join(", ")),
            ];
            yaml.push_str(&lines.join("\n"));
        }
        yaml
    }

    /// Closes the listener and all connections.
    pub async fn stop(self) {
        drop(self.stop);
        self.tasks.wait().await;
    }
}

async fn accept(listener: TcpListener, shared: Shared, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        // An accept may fail for one connection; the next one is another matter.
        let Ok((stream, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = converse(stream, shared) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn converse(stream: TcpStream, shared: Shared) {
    let reset = Arc::new(AtomicBool::new(false));
    let wire = Wire { stream, reset: Arc::clone(&reset) };
    let service = service_fn(move |request| respond(request, shared.clone(), Arc::clone(&reset)));
    // A connection that ends in an error ends: the client went away, or a fault wanted it so.
    let _ = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(wire), service)
        .await;
}

async fn respond(
    request: Request<Incoming>,
    shared: Shared,
    reset: Arc<AtomicBool>,
) -> io::Result<Response<Body>> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let asked = state::Request {
        path: request.uri().path(),
        query: request.uri().query().unwrap_or(""),
        key: header("x-api-key"),
        correlation_id: header(CORRELATION_ID),
    };
    if let Some(lever) = asked.path.strip_prefix("/_sim/") {
        let answer = levers::handle(&Control::new(shared.clone()), request.method(), lever, asked.query);
        let date = shared.lock().date();
        return Ok(answer.into_response(asked.correlation_id.unwrap_or("sim"), date));
    }
    if request.method() != Method::GET {
        let (date, id) = (shared.lock().date(), asked.correlation_id.unwrap_or("sim"));
        let body = br#"{"message":"Method not allowed"}"#.to_vec();
        return Ok(Answer::json(405, body).into_response(id, date));
    }
    let reaction = shared.lock().react(&asked);
    if !reaction.delay.is_zero() {
        tokio::time::sleep(reaction.delay).await;
    }
    match reaction.answer {
        Some(answer) => Ok(answer.into_response(&reaction.correlation_id, reaction.date)),
        None => {
            reset.store(true, Ordering::Relaxed);
            Err(io::Error::other("reset on request"))
        }
    }
}

/// A connection that can end with a reset instead of a farewell.
struct Wire {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
