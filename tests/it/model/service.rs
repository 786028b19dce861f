//! The API as the adversary plays it: what a walk over a window gets to see.

use polyai_exporter::api::{Filter, Window};
use polyai_exporter::conversation::Conversation;

use super::chance::Chance;
use super::plan::{Plan, Running, moment};
use super::world::{Call, Face};

/// What a walk that lasts from `from` to `to` sees, each call at its own moment of the walk, and the calls' numbers. While
/// the adversary is at work, calls go missing for once, repeat, and stand in any order.
pub(super) fn walk(
    plan: &Plan,
    calls: &[Call],
    window: Window,
    filter: Filter,
    (from, to): (i64, i64),
    chance: &mut Chance,
) -> Vec<(usize, Conversation)> {
    let is_adverse = plan.kind != super::plan::Kind::Calm && to < plan.end();
    let mut seen = Vec::new();
    for (number, call) in calls.iter().enumerate().filter(|(_, call)| is_within(plan, window, call.start)) {
        let times = if is_adverse && chance.percent(5) { 2 } else { 1 };
        for _ in 0..times {
            let at = chance.between(from, to);
            let face = call.face_at(at);
            let is_asked_for = match (face, filter) {
                (Face::Absent, _) => false,
                (Face::Running, Filter::Running) => plan.running == Running::Listed || plan.ignores_filter,
                (Face::Running, Filter::Any) => true,
                (Face::Running, Filter::Finished) => plan.ignores_filter,
                (Face::Finished(_), Filter::Finished | Filter::Any) => true,
                (Face::Finished(_), Filter::Running) => plan.ignores_filter,
            };
            // What is left out for once must have another chance to be seen.
            let is_left_out = is_adverse && at < call.start + plan.last_age() * 8 / 10 && chance.percent(4);
            if is_asked_for && !is_left_out {
                seen.extend(call.record(face).map(|record| (number, record.clone())));
            }
        }
    }
    if is_adverse {
        chance.shuffle(&mut seen);
    }
    seen
}

fn is_within(plan: &Plan, window: Window, start: i64) -> bool {
    let start = moment(start);
    let (first, last) = plan.bounds_included;
    window.from.is_none_or(|from| if first { from <= start } else { from < start })
        && window.to.is_none_or(|to| if last { start <= to } else { start < to })
}
