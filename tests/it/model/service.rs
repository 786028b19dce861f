//! The API as the adversary plays it: what the fetch of a window gets to see.

use std::collections::BTreeSet;

use polyai_exporter::api::{Filter, Window};
use polyai_exporter::conversation::Conversation;

use super::chance::Chance;
use super::plan::{Kind, Offsets, Plan, Running, moment};
use super::world::{Call, Face};

/// What a fetch that lasts from `from` to `to` sees, in the order in which it comes, with the calls' numbers. While the
/// adversary is at work, calls go missing for once and repeat.
pub(super) fn fetch(
    plan: &Plan,
    calls: &[Call],
    window: Window,
    filter: Filter,
    (from, to): (i64, i64),
    chance: &mut Chance,
) -> Vec<(usize, Conversation)> {
    let calls = calls.iter().enumerate().filter(|(_, call)| is_within(plan, window, call.start));
    let list = List { plan, filter, calls: calls.collect() };
    match plan.offsets {
        _ if plan.kind == Kind::Calm || to >= plan.end() => list.as_it_is(to),
        Some(offsets) => list.page_by_page(offsets, (from, to), chance),
        None => list.at_random((from, to), chance),
    }
}

/// The calls that a request is about.
struct List<'a> {
    plan: &'a Plan,
    filter: Filter,
    calls: Vec<(usize, &'a Call)>,
}

type Seen = (usize, Conversation);

impl List<'_> {
    fn as_it_is(&self, at: i64) -> Vec<Seen> {
        self.calls.iter().filter_map(|&call| self.shown(call, at)).collect()
    }

    /// Each call at its own moment of the fetch, some twice, some not at all, in any order.
    fn at_random(&self, (from, to): (i64, i64), chance: &mut Chance) -> Vec<Seen> {
        let mut seen = Vec::new();
        for &(number, call) in &self.calls {
            let times = if chance.percent(5) { 2 } else { 1 };
            for _ in 0..times {
                let at = chance.between(from, to);
                let is_left_out = self.has_another_chance(call, at) && chance.percent(4);
                seen.extend(self.shown((number, call), at).filter(|_| !is_left_out));
            }
        }
        chance.shuffle(&mut seen);
        seen
    }

    /// Each page at its own moment, counted off from the list as it is then.
    fn page_by_page(&self, offsets: Offsets, (from, to): (i64, i64), chance: &mut Chance) -> Vec<Seen> {
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
            at = chance.between(at, to);
        }
        let numbers: BTreeSet<usize> = seen.iter().map(|(number, _)| *number).collect();
        let slipped_past = self.calls.iter().filter(|(number, _)| !numbers.contains(number));
        let for_good = slipped_past.filter(|(_, call)| !self.has_another_chance(call, to));
        seen.extend(for_good.filter_map(|&call| self.shown(call, to)));
        seen
    }

    /// What is left out for once must have another chance to be seen: the last recheck, or a later fetch that stands for it.
    fn has_another_chance(&self, call: &Call, at: i64) -> bool {
        at < call.start + self.plan.last_age() * 8 / 10
    }

    /// The call as it shows itself at a time, if it does and is asked for.
    fn shown(&self, (number, call): (usize, &Call), at: i64) -> Option<Seen> {
        let Self { plan, filter, .. } = self;
        let face = call.face_at(at);
        let is_asked_for = match (face, filter) {
            (Face::Absent, _) => false,
            (Face::Running, Filter::InProgress) => plan.running == Running::Listed || plan.ignores_filter,
            (Face::Running, Filter::Any) => true,
            (Face::Running, Filter::Finished) => plan.ignores_filter,
            (Face::Finished(_), Filter::Finished | Filter::Any) => true,
            (Face::Finished(_), Filter::InProgress) => plan.ignores_filter,
        };
        let record = call.record(face).filter(|_| is_asked_for);
        record.map(|record| (number, record.clone()))
    }
}

fn is_within(plan: &Plan, window: Window, start: i64) -> bool {
    let start = moment(start);
    let (first, last) = plan.bounds_included;
    window.from.is_none_or(|from| if first { from <= start } else { from < start })
        && window.to.is_none_or(|to| if last { start <= to } else { start < to })
}
