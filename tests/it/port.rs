//! The port as clients meet it: TLS, client certificates, users and limits, with real sockets and the real clock.

pub(crate) mod authority;
mod clients;
mod frames;
mod rotation;
mod scene;
mod strain;
mod tls;
mod users;
pub(crate) mod vectors;
