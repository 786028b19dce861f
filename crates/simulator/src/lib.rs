//! A simulator of the PolyAI Conversations API: seeded, deterministic, and able to fail on request.
//!
//! A test starts it on a free port of the loopback interface and points a client at [`SimulatorHandle::base_url`], with the
//! API key `demo-key`. It shares no code with the exporter but the clock and the names of targets, so that an error in one
//! cannot hide an error in the other.
//!
//! ```
//! use polyai_domain::clock::Clock;
//! use polyai_domain::target::{ClientEnv, Region};
//! use polyai_simulator::{Call, Fault, FaultKind, Project, Simulator, World};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let start = Clock::system().now() - chrono::TimeDelta::minutes(5);
//! let call = Call::new("CA01").starting(start).lasting(73).turns(5).handoff("billing", "Billing queue");
//! let project = Project::new("billing", Region::Uk1)
//!     .with_calls([call])
//!     .with_quirks(|quirks| quirks.transcripts = false);
//! let target = project.target(ClientEnv::Live);
//! let api = Simulator::on_loopback(World::new([project]), Clock::system()).await?;
//!
//! // The first list request fails with 503; the client under test polls this address.
//! api.control.fault(Fault::new(FaultKind::Status(503)).with_times(1));
//! let list = format!("{}/v3/ws-00000001/PROJECT-BILLING/conversations", api.base_url(Region::Uk1));
//! # let _ = list;
//!
//! // The totals to compare with, and the requests that arrived.
//! assert_eq!(api.control.expected_totals(&target, start).handoffs, 1);
//! assert_eq!(api.control.traffic(&target).requests, 0);
//! api.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Call`] describes one conversation; [`Project::with_generated`] draws them at random instead, [`World::demo`] is a
//!   whole contact centre, and [`Project::with_bulk`] serves millions of records for benchmarks.
//! - [`Quirks`] are properties of a project: points on which the documentation is silent or contradictory.
//! - [`Fault`] is a temporary failure of the API, [`Incident`] a temporary change of the calls themselves.
//! - [`Control`] changes a running simulator; `/_sim/` offers the same over HTTP.
//! - [`InProcessApi`] needs no socket, for replays faster than real time.

mod admin_api;
mod auth;
mod body;
mod bulk_records;
mod call;
mod control;
mod cursor;
mod encode;
mod expected;
mod faults;
mod generate_call;
mod in_process;
mod incidents;
mod list_endpoint;
mod phrases;
mod profile;
mod project;
mod query;
mod quirks;
mod random_calls;
mod request_log;
mod response;
mod rng;
mod routes;
mod scripted_calls;
mod server;
mod state;
mod visibility;
mod world;

pub use admin_api::parse_duration;
pub use call::{Call, Handoff, MetricValue, ReportedCounts, Turn};
pub use control::Control;
pub use expected::ExpectedTotals;
pub use faults::{Fault, FaultKind, RetryAfter, Scope, Truncation};
pub use in_process::{InProcessApi, Reply};
pub use incidents::{Incident, IncidentKind};
pub use profile::{AnomalyRates, Profile};
pub use project::Project;
pub use quirks::{
    EmptyText, EndBound, HandoffShape, LastCursor, LatencyShape, MetricShape, NumberShape, Order, Paging,
    Quirks, TimestampFormat,
};
pub use request_log::{RequestLine, Traffic};
pub use server::{Simulator, SimulatorHandle};
pub use world::{Demo, World};

#[cfg(test)]
mod tests;
