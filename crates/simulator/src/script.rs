//! Calls that a test wrote down one by one.
//!
//! Owns: their order and replacement. Never: time.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::call::Call;
use super::cursor::Position;
use super::world::CallQuery;

/// A changeable list of calls, in the order in which they start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    calls: BTreeMap<Position, Call>,
    positions: HashMap<String, Position>,
}

impl Script {
    /// Adds `call`, or replaces the one with its id.
    pub(crate) fn put(&mut self, call: Call) {
        self.remove(&call.id);
        let position = Position::of(call.start, &call.id);
        self.positions.insert(call.id.clone(), position.clone());
        self.calls.insert(position, call);
    }

    /// Takes the call named `id` out.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Call> {
        let position = self.positions.remove(id)?;
        self.calls.remove(&position)
    }

    /// The call named `id`.
    pub(crate) fn find(&self, id: &str) -> Option<&Call> {
        self.calls.get(self.positions.get(id)?)
    }

    /// Shows the calls that `ask` is about, in its order, until `see` breaks.
    pub(crate) fn visit(&self, ask: &CallQuery, see: &mut dyn FnMut(&Call) -> ControlFlow<()>) {
        let from = ask.from.map_or(i128::MIN, |from| i128::from(from.timestamp_micros()));
        let to = ask.to.map_or(i128::MAX, |to| i128::from(to.timestamp_micros()));
        if from > to {
            return;
        }
        let bound = |rank| Position { rank, id: String::new() };
        let mut calls = self.calls.range(bound(from)..bound(to.saturating_add(1)));
        let mut next = || if ask.newest_first { calls.next_back() } else { calls.next() };
        while let Some((_, call)) = next() {
            if call.env == ask.env && see(call).is_break() {
                return;
            }
        }
    }
}
