//! The API without a socket, for those in the same process who bring their own time.
//!
//! Owns: handing a request to the state and its answer back. Never: delays and breaks, which only a connection can have.

use bytes::Bytes;

use super::state::{Request, Shared};
use super::world::World;
use polyai_domain::clock::Clock;

/// A simulated API that is asked by function call.
#[derive(Debug, Clone)]
pub struct Direct(Shared);

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status; none if the connection would have been reset.
    pub status: Option<u16>,
    /// The whole body.
    pub body: Bytes,
}

impl Direct {
    /// The API of `world`, in the time of `clock`.
    pub fn new(world: World, clock: Clock) -> Self {
        Self(Shared::new(world, clock))
    }

    /// What `GET target` with this key brings; `target` is path and query, as in `/us-1/v3/...?limit=200`.
    pub fn get(&self, target: &str, key: &str) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let reaction = self.0.lock().react(&Request { path, query, key: Some(key), correlation_id: None });
        match reaction.answer {
            Some(answer) => Reply { status: Some(answer.status), body: answer.into_body() },
            None => Reply { status: None, body: Bytes::new() },
        }
    }
}
