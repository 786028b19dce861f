//! A hardened HTTP port for Prometheus exporters, with Prometheus' web configuration file.
//!
//! [`Server`] binds addresses and serves a [`Handler`]; [`WebConfig`] holds TLS, users, headers and the rate limit, and reloads
//! them while the port is open; an [`Observer`] is notified of everything that an operator may want to log or count.

mod access;
mod activity;
mod admission;
mod config;
mod connection;
mod connection_limit;
mod drain;
mod limits;
mod listen_address;
mod listener;
mod observer;
mod response;
mod server;
mod stream;
mod write_timeout;

pub use admission::{AdmissionControl, Permit};
pub use config::{InstallOutcome, LoadedWebConfig, WebConfig};
pub use drain::{DrainOutcome, drain};
pub use limits::Limits;
pub use listen_address::ListenAddress;
pub use listener::BindError;
pub use observer::Observer;
pub use response::{BodyChunks, Handler, ResponseBody, ResponseFuture, text_response, unavailable_response};
pub use server::Server;
pub use stream::Peer;
