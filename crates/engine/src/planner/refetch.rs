//! Reading single conversations again without a by-id endpoint: narrow windows around their known starts.

use std::collections::BTreeMap;
use std::time::Duration;

use polyai_domain::conversation::ConversationId;
use polyai_domain::fetch::Window;
use polyai_domain::timestamp::Timestamp;

/// Read on either side of a start, for the rounding of timestamps.
const MARGIN: Duration = Duration::from_secs(1);
/// Conversations that started between the requested ones are downloaded with them, so windows stay short.
const MAX_WINDOW: Duration = Duration::from_secs(5 * 60);

/// Conversations that share a window; at first one alone.
#[derive(Debug, Clone)]
pub(super) struct RefetchRequest {
    /// The start of the first, and of the last.
    from: Timestamp,
    to: Timestamp,
    /// Since when one of them has been due.
    queued_since: Timestamp,
    /// Whether it must not share a window.
    isolated: bool,
    ids: Vec<ConversationId>,
}

impl RefetchRequest {
    pub(super) fn new(id: ConversationId, start: Timestamp, queued_since: Timestamp, isolated: bool) -> Self {
        Self { from: start, to: start, queued_since, isolated, ids: vec![id] }
    }

    fn can_merge(&self, next: &Self) -> bool {
        let length = next.to.saturating_duration_since(self.from) + MARGIN * 2;
        !self.isolated && !next.isolated && length <= MAX_WINDOW
    }

    fn merge(&mut self, next: Self) {
        self.to = next.to;
        self.queued_since = self.queued_since.min(next.queued_since);
        self.ids.extend(next.ids);
    }
}

/// Returns at most `max` windows (at least one), as narrow as that allows. Those that have waited longest come first; those that
/// are left out have waited longer next time.
pub(super) fn windows(mut requests: Vec<RefetchRequest>, max: usize) -> Vec<(Window, Vec<ConversationId>)> {
    let max = max.max(1);
    requests.sort_by(|one, other| (one.from, &one.ids).cmp(&(other.from, &other.ids)));
    let mut groups: Vec<RefetchRequest> = Vec::new();
    for next in requests {
        match groups.last_mut() {
            Some(last)
                if next.from.saturating_duration_since(last.to) <= MARGIN * 2 && last.can_merge(&next) =>
            {
                last.merge(next)
            }
            Some(_) | None => groups.push(next),
        }
    }
    let mut groups = merge_closest(groups, max);
    groups.sort_by_key(|group| group.queued_since);
    groups.truncate(max);
    let window = |group: &RefetchRequest| Window::between(group.from - MARGIN, group.to + MARGIN);
    groups.into_iter().map(|group| (window(&group), group.ids)).collect()
}

/// Merges the closest neighbours until `max` windows are left, or none can be merged.
fn merge_closest(groups: Vec<RefetchRequest>, max: usize) -> Vec<RefetchRequest> {
    let gap = |(one, next): (&RefetchRequest, &RefetchRequest)| next.from.saturating_duration_since(one.to);
    let neighbours = groups.iter().zip(groups.iter().skip(1)).map(gap);
    let mut gaps: Vec<(Duration, usize)> = neighbours.zip(1..).collect();
    gaps.sort_unstable();
    // By position; merged neighbours are at that of the first.
    let mut groups: BTreeMap<usize, RefetchRequest> = groups.into_iter().enumerate().collect();
    for (_, later) in gaps {
        if groups.len() <= max {
            break;
        }
        let Some(next) = groups.remove(&later) else { continue };
        match groups.range_mut(..later).next_back() {
            Some((_, group)) if group.can_merge(&next) => group.merge(next),
            Some(_) | None => drop(groups.insert(later, next)),
        }
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(start: i64, queued_since: i64) -> RefetchRequest {
        let id = ConversationId::new(&format!("CA{start}")).unwrap();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        RefetchRequest::new(id, at(start), at(queued_since), false)
    }

    fn bounds_of(windows: Vec<(Window, Vec<ConversationId>)>) -> Vec<(i64, i64, usize)> {
        let line = |(window, ids): (Window, Vec<ConversationId>)| {
            (window.from.unwrap().millis() / 1000, window.to.unwrap().millis() / 1000, ids.len())
        };
        windows.into_iter().map(line).collect()
    }

    fn bounds(starts: &[i64], max: usize) -> Vec<(i64, i64, usize)> {
        bounds_of(windows(starts.iter().map(|&start| request(start, 0)).collect(), max))
    }

    #[test]
    fn neighbours_share_a_window() {
        assert_eq!(bounds(&[100, 101, 300], 6), [(99, 102, 2), (299, 301, 1)]);
    }

    #[test]
    fn closest_are_merged_when_budget_is_short() {
        assert_eq!(bounds(&[100, 110, 300, 390], 2), [(99, 111, 2), (299, 391, 2)]);
        assert_eq!(bounds(&[100, 110, 300, 390], 0), [(99, 391, 4)]);
    }

    #[test]
    fn distant_requests_wait_instead_of_merging() {
        let three_weeks = 21 * 24 * 3600;
        assert_eq!(bounds(&[0, three_weeks], 1), [(-1, 1, 1)]);
        let waiting = vec![request(0, 60), request(10, 60), request(1000, 30), request(three_weeks, 90)];
        assert_eq!(
            bounds_of(windows(waiting.clone(), 1)),
            [(999, 1001, 1)],
            "the one that has waited longest"
        );
        assert_eq!(bounds_of(windows(waiting, 2)), [(999, 1001, 1), (-1, 11, 2)]);
    }

    #[test]
    fn chain_of_neighbours_is_split() {
        let starts: Vec<i64> = (0..1000).collect();
        let all = bounds(&starts, 100);
        assert_eq!(all.iter().map(|(.., ids)| ids).sum::<usize>(), 1000);
        assert!(all.iter().all(|(from, to, _)| to - from <= 300), "{all:?}");
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn isolated_request_shares_no_window() {
        let isolated = RefetchRequest { isolated: true, ..request(101, 0) };
        let all = windows(vec![request(100, 0), isolated, request(102, 0), request(103, 0)], 2);
        assert_eq!(bounds_of(all), [(99, 101, 1), (100, 102, 1)]);
    }

    #[test]
    fn no_requests_yield_no_windows() {
        assert_eq!(bounds(&[], 3), []);
    }

    #[test]
    fn ten_thousand_requests_are_merged() {
        let starts: Vec<i64> = (0..10_000).map(|n| n * 7).collect();
        assert_eq!(bounds(&starts, 3).len(), 3);
    }
}
