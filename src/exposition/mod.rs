//! From series to bytes: one family model, and the formats that Prometheus reads.
//!
//! Owns: the model, its encoders and the naming rules. Never: state, locks or the network.

pub mod family;
pub mod lift;
pub mod lint;
mod number;
pub mod snapshot;
pub mod text;

pub use family::{Exemplar, Family, Histogram, Kind, Labels, Series, Unit, Value};
