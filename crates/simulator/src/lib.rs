//! A stand-in for the PolyAI Conversations API: faithful where the facts are known, switchable where they are not,
//! seeded, deterministic and able to fail on request.
//!
//! Owns: the simulated contact centre ([`World`], [`Call`]), its HTTP surface ([`Simulator`]) and the recount that tells
//! what an exporter should have counted ([`ExpectedTotals`]). Never: code of the exporter that reads the API; the two share only
//! the clock and the names of a target, so that an error in one cannot hide an error in the other.

mod answer;
mod body;
mod bulk;
mod call;
mod control;
mod cursor;
mod demo;
mod dice;
mod direct;
mod faults;
mod gate;
mod generated;
mod incidents;
mod invent;
mod kept;
mod levers;
mod list;
mod phrases;
mod profile;
mod project;
mod query;
mod quirks;
mod render;
mod requests;
mod routes;
mod script;
mod serve;
mod shown;
mod stamp;
mod state;
mod truth;
mod world;

pub use call::{Call, Handoff, MetricValue, Turn};
pub use control::Control;
pub use demo::Demo;
pub use direct::{Direct, Reply};
pub use faults::{Fault, FaultKind, RetryAfter, Scope, Truncation};
pub use incidents::{Incident, IncidentKind};
pub use levers::up_to_a_year;
pub use profile::{AnomalyRates, Profile};
pub use project::Project;
pub use quirks::{
    EmptyText, EndBound, HandoffShape, LastCursor, LatencyShape, MetricShape, NumberShape, Order, Paging,
    Quirks, Stamp,
};
pub use requests::{RequestLine, Traffic};
pub use serve::{Simulator, SimulatorHandle};
pub use truth::ExpectedTotals;
pub use world::World;

#[cfg(test)]
mod tests;
