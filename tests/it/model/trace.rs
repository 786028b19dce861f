//! The events of a history, for the report of a failure. A history that fails is run again with a trace that records.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;

use super::calls::Call;
use super::scenario::{Scenario, moment};

/// Clones share their events, so that they outlive an instance that failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace(Option<Rc<RefCell<Vec<Event>>>>);

#[derive(Debug)]
struct Event {
    at: i64,
    text: String,
    /// The calls that it concerns; `None` if all.
    calls: Option<(usize, BTreeSet<usize>)>,
}

impl Trace {
    pub(super) fn recording() -> Self {
        Self(Some(Rc::default()))
    }

    pub(super) fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn event(&self, at: i64, text: impl FnOnce() -> String) {
        if let Some(events) = &self.0 {
            events.borrow_mut().push(Event { at, text: text(), calls: None });
        }
    }

    pub(super) fn event_of(
        &self,
        at: i64,
        target: usize,
        calls: impl Iterator<Item = usize>,
        text: impl FnOnce() -> String,
    ) {
        if let Some(events) = &self.0 {
            let calls: BTreeSet<usize> = calls.collect();
            if !calls.is_empty() {
                events.borrow_mut().push(Event { at, text: text(), calls: Some((target, calls)) });
            }
        }
    }

    /// Describes one call, and everything that happened to it.
    pub(super) fn describe(&self, scenario: &Scenario, target: usize, number: usize, call: &Call) -> String {
        let mut trace = format!(
            "{} of target {target}, started {} ({}), channel {:?}\n",
            call.id,
            moment(call.start),
            after(scenario, call.start),
            call.channel
        );
        for (from, state) in &call.states {
            writeln!(trace, "  {:>12}  truth: {state:?}", after(scenario, *from)).unwrap();
        }
        for content in &call.contents {
            writeln!(trace, "  {:>12}  {content:?}", "").unwrap();
        }
        let events = self.0.as_ref().map(|events| events.borrow());
        for event in events.iter().flat_map(|events| events.iter()) {
            let concerned = event.calls.as_ref();
            if concerned.is_none_or(|(of, calls)| *of == target && calls.contains(&number)) {
                writeln!(trace, "  {:>12}  {}", after(scenario, event.at), event.text).unwrap();
            }
        }
        trace
    }
}

/// Seconds since the first start.
pub(super) fn after(scenario: &Scenario, time: i64) -> String {
    let millis = time - scenario.start;
    let sign = if millis < 0 { "-" } else { "+" };
    format!("{sign}{}.{:03}", millis.abs() / 1000, millis.abs() % 1000)
}
