//! The fake API of the model: the pages that a fetch of a window returns.

use std::collections::BTreeSet;

use polyai_api::{Filter, Window};
use polyai_domain::conversation::Conversation;

use super::calls::{Call, CallState};
use super::rng::Rng;
use super::scenario::{Kind, Offsets, Running, Scenario, moment};

/// Returns what a fetch from `from` to `to` sees, in the order of the pages, with the numbers of the calls. While anything may
/// fail, calls are omitted once and repeated.
pub(super) fn fetch(
    scenario: &Scenario,
    calls: &[Call],
    window: Window,
    filter: Filter,
    (from, to): (i64, i64),
    rng: &mut Rng,
) -> Vec<(usize, Conversation)> {
    let calls = calls.iter().enumerate().filter(|(_, call)| is_within(scenario, window, call.start));
    let list = List { scenario, filter, calls: calls.collect() };
    match scenario.offsets {
        _ if scenario.kind == Kind::Calm || to >= scenario.end() => list.as_it_is(to),
        Some(offsets) => list.page_by_page(offsets, (from, to), rng),
        None => list.at_random((from, to), rng),
    }
}

/// The calls that a request is about.
struct List<'a> {
    scenario: &'a Scenario,
    filter: Filter,
    calls: Vec<(usize, &'a Call)>,
}

type Seen = (usize, Conversation);

impl List<'_> {
    fn as_it_is(&self, at: i64) -> Vec<Seen> {
        self.calls.iter().filter_map(|&call| self.shown(call, at)).collect()
    }

    /// Each call at a random time of the fetch, some twice, some not at all, in any order.
    fn at_random(&self, (from, to): (i64, i64), rng: &mut Rng) -> Vec<Seen> {
        let mut seen = Vec::new();
        for &(number, call) in &self.calls {
            let times = if rng.percent(5) { 2 } else { 1 };
            for _ in 0..times {
                let at = rng.between(from, to);
                let is_left_out = self.is_seen_later(call, at) && rng.percent(4);
                seen.extend(self.shown((number, call), at).filter(|_| !is_left_out));
            }
        }
        rng.shuffle(&mut seen);
        seen
    }

    /// Each page at a random time, by its offset in the list of that time.
    fn page_by_page(&self, offsets: Offsets, (from, to): (i64, i64), rng: &mut Rng) -> Vec<Seen> {
        let mut seen: Vec<Seen> = Vec::new();
        let mut at = from;
        loop {
            let mut list = self.as_it_is(at);
            list.sort_by_key(|(number, conversation)| (conversation.data.started_at, *number));
            if offsets.newest_first {
                list.reverse();
            }
            let before = seen.len();
            seen.extend(list.into_iter().skip(before).take(offsets.page));
            if seen.len() < before + offsets.page {
                break;
            }
            at = rng.between(at, to);
        }
        let numbers: BTreeSet<usize> = seen.iter().map(|(number, _)| *number).collect();
        let slipped_past = self.calls.iter().filter(|(number, _)| !numbers.contains(number));
        let for_good = slipped_past.filter(|(_, call)| !self.is_seen_later(call, to));
        seen.extend(for_good.filter_map(|&call| self.shown(call, to)));
        seen
    }

    /// Whether a record omitted once is seen later, by the last recheck or by a fetch that satisfies it.
    fn is_seen_later(&self, call: &Call, at: i64) -> bool {
        at < call.start + self.scenario.last_age() * 8 / 10
    }

    /// The call as it is listed at a time, if the filter includes it.
    fn shown(&self, (number, call): (usize, &Call), at: i64) -> Option<Seen> {
        let Self { scenario, filter, .. } = self;
        let state = call.state_at(at);
        let is_asked_for = match (state, filter) {
            (CallState::Absent, _) => false,
            (CallState::Running, Filter::InProgress) => {
                scenario.running == Running::Listed || scenario.ignores_filter
            }
            (CallState::Running, Filter::Any) => true,
            (CallState::Running, Filter::Finished) => scenario.ignores_filter,
            (CallState::Finished(_), Filter::Finished | Filter::Any) => true,
            (CallState::Finished(_), Filter::InProgress) => scenario.ignores_filter,
        };
        let record = call.record(state).filter(|_| is_asked_for);
        record.map(|record| (number, record.clone()))
    }
}

fn is_within(scenario: &Scenario, window: Window, start: i64) -> bool {
    let start = moment(start);
    let (first, last) = scenario.bounds_included;
    window.from.is_none_or(|from| if first { from <= start } else { from < start })
        && window.to.is_none_or(|to| if last { start <= to } else { start < to })
}
