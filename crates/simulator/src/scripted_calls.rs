//! Calls that a test wrote one by one.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::call::{Call, CallQuery};
use super::cursor::Position;

/// A mutable list of calls, ordered by start.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScriptedCalls {
    calls: BTreeMap<Position, Call>,
    positions: HashMap<String, Position>,
}

impl ScriptedCalls {
    pub(crate) fn put(&mut self, call: Call) {
        self.remove(&call.id);
        let position = Position::new(call.start, &call.id);
        self.positions.insert(call.id.clone(), position.clone());
        self.calls.insert(position, call);
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Call> {
        self.calls.remove(&self.positions.remove(id)?)
    }

    /// Visits the calls of `query` in its order until `visitor` breaks.
    pub(crate) fn visit(&self, query: &CallQuery, visitor: &mut dyn FnMut(&Call) -> ControlFlow<()>) {
        let from = query.from.map_or(i128::MIN, |from| i128::from(from.timestamp_micros()));
        let to = query.to.map_or(i128::MAX, |to| i128::from(to.timestamp_micros()));
        if from > to {
            return;
        }
        let bound = |rank| Position { rank, id: String::new() };
        let mut calls = self.calls.range(bound(from)..bound(to.saturating_add(1)));
        let mut next = || if query.newest_first { calls.next_back() } else { calls.next() };
        while let Some((_, call)) = next() {
            if call.env == query.env && visitor(call).is_break() {
                return;
            }
        }
    }
}
