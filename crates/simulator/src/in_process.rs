//! The simulated API without a socket, for callers in the same process with a clock of their own.

use bytes::Bytes;
use polyai_domain::clock::Clock;

use super::state::{Request, Shared};
use super::world::World;

/// A simulated API that is called as a function. Delays and truncated bodies need a socket and have no effect here.
#[derive(Debug, Clone)]
pub struct InProcessApi(Shared);

/// A response of [`InProcessApi`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status; `None` if the connection would be reset.
    pub status: Option<u16>,
    /// The whole body.
    pub body: Bytes,
}

impl InProcessApi {
    /// The API of `world`, in the time of `clock`.
    pub fn new(world: World, clock: Clock) -> Self {
        Self(Shared::new(world, clock))
    }

    /// Handles `GET target` with this key; `target` is path and query, as in `/us-1/v3/...?limit=200`.
    pub fn get(&self, target: &str, key: &str) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let outcome = self.0.lock().handle(&Request { path, query, key: Some(key), correlation_id: None });
        let status = outcome.response.as_ref().map(|response| response.status);
        Reply { status, body: outcome.response.map(|response| response.body).unwrap_or_default() }
    }
}
