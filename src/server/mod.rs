//! The exporter's own HTTP port.
//!
//! Owns: the listener, its limits, the routes and their answers. Never: what the numbers mean; it is handed finished bytes
//! and a yes or no.

mod body;
mod landing;
mod listen;
mod metrics;
mod patience;
mod reload;
mod routes;

pub use listen::{BindError, Limits, Server};
pub use metrics::Exposition;
pub use reload::{Reload, Reloading};
pub use routes::{Readiness, Routes};

#[cfg(test)]
mod tests;
