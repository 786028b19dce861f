//! Reading single conversations again without a by-id endpoint: windows around their known starts.
//!
//! All other conversations of a window are downloaded with them. Those in progress are excluded, so that only conversations which
//! have been read finished are downloaded again.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use polyai_domain::conversation::ConversationId;
use polyai_domain::fetch::{Filter, Window};
use polyai_domain::timestamp::Timestamp;

use super::fetch_plan::{FetchPlan, PassKind};
use super::read_starts::ReadStarts;

/// Conversations that the planner does not know of may have started between the requested ones, so windows stay short.
const MAX_WINDOW: Duration = Duration::from_secs(5 * 60);
/// To save requests, one conversation is downloaded again for so many that are read.
const READ_PER_REPEATED: usize = 6;

/// Conversations that share a window; at first one alone.
#[derive(Debug, Clone)]
pub(super) struct RefetchRequest {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) filter: Filter,
    /// Since when one of them has been due.
    pub(super) queued_since: Timestamp,
    /// Whether it must not share a window.
    pub(super) isolated: bool,
    pub(super) ids: Vec<ConversationId>,
}

impl RefetchRequest {
    fn can_merge(&self, next: &Self) -> bool {
        let length = next.to.saturating_duration_since(self.from);
        !self.isolated && !next.isolated && length <= MAX_WINDOW
    }

    fn merge(&mut self, next: Self) {
        self.to = self.to.max(next.to);
        if next.filter == Filter::Any {
            self.filter = Filter::Any;
        }
        self.queued_since = self.queued_since.min(next.queued_since);
        self.ids.extend(next.ids);
    }

    fn into_plan(self) -> FetchPlan {
        let window = Window::between(self.from, self.to);
        FetchPlan { pass: PassKind::Refetch(self.ids), window, filter: self.filter }
    }
}

/// Returns at most `max` fetches (at least one). Those that have waited longest come first; those that are left out have waited
/// longer next time, and may by then share a window with what ends meanwhile.
pub(super) fn plans(mut requests: Vec<RefetchRequest>, read: &ReadStarts, max: usize) -> Vec<FetchPlan> {
    requests.sort_by(|one, other| (one.from, &one.ids).cmp(&(other.from, &other.ids)));
    let mut groups = merge(requests, read);
    groups.sort_by_key(|group| (group.queued_since, Reverse(group.ids.len())));
    groups.truncate(max.max(1));
    groups.into_iter().map(RefetchRequest::into_plan).collect()
}

/// Merges neighbours: all between which nothing has been read yet, and then those between which the least has.
fn merge(requests: Vec<RefetchRequest>, read: &ReadStarts) -> Vec<RefetchRequest> {
    let mut repeats_left = requests.len() / READ_PER_REPEATED;
    let neighbours = requests.iter().zip(requests.iter().skip(1)).zip(1..);
    let mut gaps: Vec<(usize, Duration, usize)> = neighbours
        .filter_map(|((one, next), later)| {
            let repeats = read.count_between(one.to, next.from)?;
            Some((repeats, next.from.saturating_duration_since(one.to), later))
        })
        .collect();
    gaps.sort_unstable();
    // By position; merged neighbours are at that of the first.
    let mut groups: BTreeMap<usize, RefetchRequest> = requests.into_iter().enumerate().collect();
    for (repeats, _, later) in gaps {
        if repeats > repeats_left {
            break;
        }
        let Some(next) = groups.remove(&later) else { continue };
        match groups.range_mut(..later).next_back() {
            Some((_, group)) if group.can_merge(&next) => {
                group.merge(next);
                repeats_left -= repeats;
            }
            Some(_) | None => drop(groups.insert(later, next)),
        }
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn request(start: i64, queued_since: i64) -> RefetchRequest {
        let id = ConversationId::new(&format!("CA{start}")).unwrap();
        let (from, to) = (at(start - 1), at(start + 1));
        let queued_since = at(queued_since);
        RefetchRequest { from, to, filter: Filter::Finished, queued_since, isolated: false, ids: vec![id] }
    }

    /// Bounds in seconds and the number of conversations, where those that started at `read` have been read.
    fn bounds(requests: Vec<RefetchRequest>, read: &[i64], max: usize) -> Vec<(i64, i64, usize)> {
        let mut read_starts = ReadStarts::default();
        read.iter().for_each(|&start| read_starts.add(at(start)));
        let line = |plan: FetchPlan| {
            let PassKind::Refetch(ids) = plan.pass else { panic!("{plan:?}") };
            let second = |bound: Option<Timestamp>| bound.unwrap().millis() / 1000;
            (second(plan.window.from), second(plan.window.to), ids.len())
        };
        plans(requests, &read_starts, max).into_iter().map(line).collect()
    }

    fn starting(starts: &[i64]) -> Vec<RefetchRequest> {
        starts.iter().map(|&start| request(start, 0)).collect()
    }

    #[test]
    fn neighbours_with_nothing_read_in_between_share_a_window() {
        assert_eq!(bounds(starting(&[100, 101, 300]), &[], 6), [(99, 301, 3)]);
        assert_eq!(bounds(starting(&[100, 101, 300]), &[200], 6), [(99, 102, 2), (299, 301, 1)]);
        assert_eq!(bounds(starting(&[100, 101, 500]), &[], 6), [(99, 102, 2), (499, 501, 1)], "distant");
    }

    #[test]
    fn one_of_six_downloads_may_be_repeated() {
        let starts = [110, 120, 130, 140, 150, 160];
        // Merging the last three costs nothing; after that the cheapest gap is bridged.
        let read = [115, 125, 126, 135, 136];
        assert_eq!(bounds(starting(&starts), &read, 6), [(139, 161, 3), (109, 121, 2), (129, 131, 1)]);
        assert_eq!(bounds(starting(&starts[..5]), &read, 6).len(), 4, "not with five");
    }

    #[test]
    fn longest_waiting_come_first_when_budget_is_short() {
        let waiting = vec![request(0, 60), request(10, 60), request(1000, 30), request(2000, 90)];
        assert_eq!(bounds(waiting.clone(), &[5], 1), [(999, 1001, 1)]);
        assert_eq!(bounds(waiting.clone(), &[], 2), [(999, 1001, 1), (-1, 11, 2)], "then the largest");
        assert_eq!(bounds(waiting, &[], 0), [(999, 1001, 1)], "one at least");
    }

    #[test]
    fn chain_of_neighbours_is_split() {
        let all = bounds(starting(&(0..1000).collect::<Vec<i64>>()), &[], 100);
        assert_eq!(all.iter().map(|(.., ids)| ids).sum::<usize>(), 1000);
        assert!(all.iter().all(|(from, to, _)| to - from <= 300), "{all:?}");
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn isolated_request_shares_no_window() {
        let isolated = RefetchRequest { isolated: true, ..request(101, 0) };
        let all = bounds(vec![request(100, 0), isolated, request(102, 0), request(103, 0)], &[], 3);
        assert_eq!(all, [(101, 104, 2), (99, 101, 1), (100, 102, 1)]);
    }

    #[test]
    fn window_with_one_that_may_be_running_has_no_filter() {
        let any = RefetchRequest { filter: Filter::Any, ..request(100, 0) };
        for requests in [vec![request(101, 0), any.clone()], vec![request(99, 0), any]] {
            let plans = plans(requests, &ReadStarts::default(), 5);
            assert_eq!(plans.iter().map(|plan| plan.filter).collect::<Vec<_>>(), [Filter::Any]);
        }
    }

    #[test]
    fn no_requests_yield_no_plans() {
        assert_eq!(bounds(Vec::new(), &[], 3), []);
    }
}
