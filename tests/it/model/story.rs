//! What happened, for the report of a failure. A history is first run without one, and told when it is run again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;

use super::plan::{Plan, moment};
use super::world::Call;

/// Clones tell the same story, so that it outlives an instance that failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Story(Option<Rc<RefCell<Vec<Event>>>>);

#[derive(Debug)]
struct Event {
    at: i64,
    text: String,
    /// The calls it is about; none if it concerns all.
    calls: Option<(usize, BTreeSet<usize>)>,
}

impl Story {
    pub(super) fn told() -> Self {
        Self(Some(Rc::default()))
    }

    pub(super) fn is_told(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn happens(&self, at: i64, text: impl FnOnce() -> String) {
        if let Some(events) = &self.0 {
            events.borrow_mut().push(Event { at, text: text(), calls: None });
        }
    }

    pub(super) fn concerns(
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

    /// The truth about one call, and everything that happened to it.
    pub(super) fn of(&self, plan: &Plan, target: usize, number: usize, call: &Call) -> String {
        let mut told = format!(
            "{} of target {target}, started {} ({}), channel {:?}\n",
            call.id,
            moment(call.start),
            after(plan, call.start),
            call.channel
        );
        for (from, face) in &call.faces {
            writeln!(told, "  {:>12}  truth: {face:?}", after(plan, *from)).unwrap();
        }
        for content in &call.contents {
            writeln!(told, "  {:>12}  {content:?}", "").unwrap();
        }
        let events = self.0.as_ref().map(|events| events.borrow());
        for event in events.iter().flat_map(|events| events.iter()) {
            let concerned = event.calls.as_ref();
            if concerned.is_none_or(|(of, calls)| *of == target && calls.contains(&number)) {
                writeln!(told, "  {:>12}  {}", after(plan, event.at), event.text).unwrap();
            }
        }
        told
    }
}

/// Seconds since the first start.
pub(super) fn after(plan: &Plan, time: i64) -> String {
    let millis = time - plan.start;
    let sign = if millis < 0 { "-" } else { "+" };
    format!("{sign}{}.{:03}", millis.abs() / 1000, millis.abs() % 1000)
}
