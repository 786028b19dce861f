//! The simulator on a socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use polyai_domain::clock::Clock;
use polyai_domain::target::Region;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::admin_api;
use super::project::Project;
use super::response::{Body, CORRELATION_ID, Response};
use super::state::{self, Shared};
use super::world::World;

/// The simulated API of all regions on one address; `http://ADDRESS/{region}` replaces the host of a region.
#[derive(Debug, Clone, Copy)]
pub struct Simulator;

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct SimulatorHandle {
    /// The address of its listener.
    pub addr: SocketAddr,
    /// Changes its behaviour.
    pub control: Control,
    tasks: TaskTracker,
    stop: DropGuard,
}

/// Changes the behaviour of a simulator and reports its requests. Clones control the same simulator.
#[derive(Debug, Clone)]
pub struct Control(pub(crate) Shared);

impl Control {
    /// The projects in their current state.
    pub fn projects(&self) -> Vec<Project> {
        self.0.lock().world.projects.clone()
    }
}

impl Simulator {
    /// Serves `world` on `listener`, in the current runtime, in the time of `clock`.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn start(world: World, listener: TcpListener, clock: Clock) -> io::Result<SimulatorHandle> {
        let addr = listener.local_addr()?;
        let shared = Shared::new(world, clock);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(listener, shared.clone(), stop.clone(), tasks.clone()));
        tasks.close();
        Ok(SimulatorHandle { addr, control: Control(shared), tasks, stop: stop.drop_guard() })
    }
}

impl SimulatorHandle {
    /// `base_url` of a target of `region`.
    pub fn base_url(&self, region: Region) -> String {
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
        // An error concerns one connection only.
        let Ok((stream, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (shared, stop) = (shared.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = serve(stream, shared) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn serve(stream: TcpStream, shared: Shared) {
    let reset = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| respond(request, shared.clone(), Arc::clone(&reset)));
    let mut connection =
        http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
    // An error ends the connection: the client has left, or a fault requires it.
    let _ = (&mut connection).await;
    if reset.load(Ordering::Relaxed) {
        // The connection ends with a reset instead of a FIN.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

async fn respond(
    request: Request<Incoming>,
    shared: Shared,
    reset: Arc<AtomicBool>,
) -> io::Result<hyper::Response<Body>> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or(""));
    let (key, correlation_id) = (header("x-api-key"), header(CORRELATION_ID));
    let without_id =
        |response: Response| Ok(response.into_http(correlation_id.unwrap_or("sim"), shared.lock().date()));
    if let Some(path) = path.strip_prefix("/_sim/") {
        let response = admin_api::handle(&mut shared.lock(), request.method(), path, query);
        return without_id(response);
    }
    if request.method() != Method::GET {
        return without_id(Response::json(405, r#"{"message":"Method not allowed"}"#));
    }
    let outcome = shared.lock().handle(&state::Request { path, query, key, correlation_id });
    if !outcome.delay.is_zero() {
        tokio::time::sleep(outcome.delay).await;
    }
    match outcome.response {
        Some(response) => Ok(response.into_http(&outcome.correlation_id, outcome.date)),
        None => {
            reset.store(true, Ordering::Relaxed);
            Err(io::Error::other("reset by a fault"))
        }
    }
}
