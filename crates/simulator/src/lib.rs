#![doc = include_str!("../README.md")]

mod admin_api;
mod auth;
mod call;
mod cursor;
mod encode;
mod expected;
mod faults;
mod generate_call;
mod in_process;
mod incidents;
mod list_endpoint;
mod profile;
mod project;
mod query;
mod quirks;
mod random_calls;
mod request_log;
mod response;
mod rng;
mod routes;
#[cfg(feature = "test-support")]
mod scripted_calls;
mod server;
mod state;
#[cfg(feature = "test-support")]
mod test_support;
mod visibility;
mod world;

pub use admin_api::parse_duration;
pub use call::{Call, Handoff, MetricValue, ReportedCounts, Turn};
pub use expected::ExpectedTotals;
pub use faults::{Fault, FaultKind, RetryAfter, Scope, Truncation};
pub use in_process::{InProcessApi, Reply};
pub use incidents::{Incident, IncidentKind};
pub use profile::{AnomalyRates, Profile};
pub use project::Project;
pub use quirks::{LastCursor, LatencyShape, MetricShape, Order, Paging, Quirks, TimestampFormat};
pub use request_log::{RequestLine, Traffic};
pub use server::{Control, Simulator, SimulatorHandle};
pub use world::{Demo, World};

#[cfg(test)]
mod tests;
