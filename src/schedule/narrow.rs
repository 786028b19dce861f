//! Reading single conversations again, without a by-id endpoint: narrow windows around their known starts.
//!
//! Owns: which neighbours share a request, and whose turn it is when there are too few requests. Pure.

use std::time::Duration;

use crate::api::Window;
use crate::conversation::ConversationId;
use crate::timestamp::Timestamp;

/// Room on either side of a start, for the rounding of timestamps.
const MARGIN: Duration = Duration::from_secs(1);
/// No window is longer: what lies between the starts is downloaded with them.
const MAX_WINDOW: Duration = Duration::from_secs(5 * 60);

/// A conversation to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefetchRequest {
    /// When it started.
    pub start: Timestamp,
    /// Which.
    pub id: ConversationId,
    /// Since when it waits for its turn.
    pub queued_since: Timestamp,
    /// Whether it must not share a request: one that it shared has failed.
    pub alone: bool,
}

/// Neighbours that one window covers.
struct RefetchWindow {
    from: Timestamp,
    to: Timestamp,
    waits_since: Timestamp,
    alone: bool,
    ids: Vec<ConversationId>,
}

impl RefetchWindow {
    fn of(sought: RefetchRequest) -> Self {
        let RefetchRequest { start, id, queued_since: waits_since, alone } = sought;
        Self { from: start, to: start, waits_since, alone, ids: vec![id] }
    }

    fn can_take(&self, next: &Self) -> bool {
        !self.alone && !next.alone && next.to.saturating_duration_since(self.from) + MARGIN * 2 <= MAX_WINDOW
    }

    fn take(&mut self, next: Self) {
        self.to = next.to;
        self.waits_since = self.waits_since.min(next.waits_since);
        self.ids.extend(next.ids);
    }
}

/// At most `most` windows (at least one), as narrow as that allows. Those that have waited longest come first; whom they leave
/// out has waited longer next time.
pub fn windows(mut sought: Vec<RefetchRequest>, most: usize) -> Vec<(Window, Vec<ConversationId>)> {
    let most = most.max(1);
    sought.sort_by(|one, other| (one.start, &one.id).cmp(&(other.start, &other.id)));
    let mut groups: Vec<RefetchWindow> = Vec::new();
    for next in sought.into_iter().map(RefetchWindow::of) {
        match groups.last_mut() {
            Some(group)
                if next.from.saturating_duration_since(group.to) <= MARGIN * 2 && group.can_take(&next) =>
            {
                group.take(next)
            }
            Some(_) | None => groups.push(next),
        }
    }
    let mut groups = merged(groups, most);
    groups.sort_by_key(|group| group.waits_since);
    groups.truncate(most);
    groups
        .into_iter()
        .map(|group| (Window::between(group.from - MARGIN, group.to + MARGIN), group.ids))
        .collect()
}

/// Merges the closest until `most` are left, or none can be merged.
fn merged(groups: Vec<RefetchWindow>, most: usize) -> Vec<RefetchWindow> {
    let mut left = groups.len();
    let mut gaps: Vec<(Duration, usize)> = groups
        .windows(2)
        .enumerate()
        .filter_map(|(before, pair)| match pair {
            [one, next] => Some((next.from.saturating_duration_since(one.to), before + 1)),
            _ => None,
        })
        .collect();
    gaps.sort_unstable();
    let mut slots: Vec<Option<RefetchWindow>> = groups.into_iter().map(Some).collect();
    // Where the group is that holds what was in each place; it is always the first place of its group.
    let mut first: Vec<usize> = (0..slots.len()).collect();
    for (_, later) in gaps {
        if left <= most {
            break;
        }
        let earlier = find_root(&mut first, later - 1);
        let Some(next) = slots.get_mut(later).and_then(Option::take) else { continue };
        match slots.get_mut(earlier) {
            Some(Some(group)) if group.can_take(&next) => {
                group.take(next);
                if let Some(place) = first.get_mut(later) {
                    *place = earlier;
                }
                left -= 1;
            }
            Some(_) | None => {
                if let Some(slot) = slots.get_mut(later) {
                    *slot = Some(next);
                }
            }
        }
    }
    slots.into_iter().flatten().collect()
}

/// The first place of the group that `place` belongs to, with the way there shortened for next time.
fn find_root(first: &mut [usize], place: usize) -> usize {
    let mut at = place;
    while let Some(&before) = first.get(at)
        && before != at
    {
        at = before;
    }
    let mut along = place;
    while let Some(before) = first.get_mut(along)
        && *before != at
    {
        along = std::mem::replace(before, at);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sought(start: i64, waits_since: i64) -> RefetchRequest {
        RefetchRequest {
            start: Timestamp::from_millis(start * 1000),
            id: ConversationId::new(&format!("CA{start}")).unwrap(),
            queued_since: Timestamp::from_millis(waits_since * 1000),
            alone: false,
        }
    }

    fn told(windows: Vec<(Window, Vec<ConversationId>)>) -> Vec<(i64, i64, usize)> {
        let of = |(window, ids): (Window, Vec<ConversationId>)| {
            (window.from.unwrap().millis() / 1000, window.to.unwrap().millis() / 1000, ids.len())
        };
        windows.into_iter().map(of).collect()
    }

    fn bounds(starts: &[i64], most: usize) -> Vec<(i64, i64, usize)> {
        told(windows(starts.iter().map(|&start| sought(start, 0)).collect(), most))
    }

    #[test]
    fn neighbours_share_a_request_and_strangers_do_not() {
        assert_eq!(bounds(&[100, 101, 300], 6), [(99, 102, 2), (299, 301, 1)]);
    }

    #[test]
    fn with_too_few_requests_the_closest_are_merged() {
        assert_eq!(bounds(&[100, 110, 300, 390], 2), [(99, 111, 2), (299, 391, 2)]);
        assert_eq!(bounds(&[100, 110, 300, 390], 0), [(99, 391, 4)]);
    }

    #[test]
    fn what_lies_far_apart_is_not_merged_but_waits_its_turn() {
        let three_weeks = 21 * 24 * 3600;
        assert_eq!(bounds(&[0, three_weeks], 1), [(-1, 1, 1)]);
        let waiting = vec![sought(0, 60), sought(10, 60), sought(1000, 30), sought(three_weeks, 90)];
        assert_eq!(told(windows(waiting.clone(), 1)), [(999, 1001, 1)], "who has waited longest");
        assert_eq!(told(windows(waiting, 2)), [(999, 1001, 1), (-1, 11, 2)]);
    }

    #[test]
    fn a_chain_of_neighbours_is_read_in_pieces() {
        let starts: Vec<i64> = (0..1000).collect();
        let all = bounds(&starts, 100);
        assert_eq!(all.iter().map(|(.., ids)| ids).sum::<usize>(), 1000);
        assert!(all.iter().all(|(from, to, _)| to - from <= 300), "{all:?}");
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn one_whose_shared_request_failed_has_one_of_its_own() {
        let lonely = RefetchRequest { alone: true, ..sought(101, 0) };
        let all = windows(vec![sought(100, 0), lonely, sought(102, 0), sought(103, 0)], 2);
        assert_eq!(told(all), [(99, 101, 1), (100, 102, 1)]);
    }

    #[test]
    fn nothing_needs_no_request() {
        assert_eq!(bounds(&[], 3), []);
    }

    #[test]
    fn ten_thousand_that_leave_at_once_are_sorted_out_quickly() {
        let starts: Vec<i64> = (0..10_000).map(|n| n * 7).collect();
        let began = tokio::time::Instant::now();
        assert_eq!(bounds(&starts, 3).len(), 3);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
