//! The exporter's own HTTP port.
//!
//! Owns: the listeners, their limits, who is let in, the routes and their answers. Never: what the numbers mean; it is handed
//! finished bytes and a yes or no.

mod bind;
mod body;
mod connection;
mod guard;
mod listen;
mod metrics;
mod patience;
mod pulse;
mod reload;
mod routes;
mod slots;
mod socket;
mod status;

pub use bind::BindError;
pub use listen::{Limits, Server};
pub use metrics::MetricsSource;
pub use reload::{ConfigReloader, ReloadFuture};
pub use routes::{Readiness, Routes};
pub use status::{RenderedDocument, StatusRoute, StatusSource};

#[cfg(test)]
mod tests;
