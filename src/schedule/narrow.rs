//! Reading single conversations again, without a by-id endpoint: narrow windows around their known starts.
//!
//! Owns: which neighbours share a request. Pure.

use std::time::Duration;

use crate::api::Window;
use crate::conversation::ConversationId;
use crate::moment::Moment;

/// Room on either side of a start, for the rounding of timestamps.
const ROOM: Duration = Duration::from_secs(1);

/// Covers every start with at most `most` windows (at least one), as narrow as that allows.
pub fn windows(mut starts: Vec<(Moment, ConversationId)>, most: usize) -> Vec<(Window, Vec<ConversationId>)> {
    starts.sort();
    let mut groups: Vec<(Moment, Moment, Vec<ConversationId>)> = Vec::new();
    for (start, id) in starts {
        match groups.last_mut() {
            Some((_, to, ids)) if start - ROOM <= *to + ROOM => {
                *to = start;
                ids.push(id);
            }
            Some(_) | None => groups.push((start, start, vec![id])),
        }
    }
    while groups.len() > most.max(1) {
        let closest = (1..groups.len()).min_by_key(|&later| gap(&groups, later)).unwrap_or(1);
        let (_, to, ids) = groups.remove(closest);
        if let Some(before) = groups.get_mut(closest - 1) {
            before.1 = to;
            before.2.extend(ids);
        }
    }
    groups.into_iter().map(|(from, to, ids)| (Window::between(from - ROOM, to + ROOM), ids)).collect()
}

fn gap(groups: &[(Moment, Moment, Vec<ConversationId>)], later: usize) -> Duration {
    match (groups.get(later), groups.get(later - 1)) {
        (Some((from, _, _)), Some((_, to, _))) => from.since(*to),
        _ => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(seconds: i64) -> (Moment, ConversationId) {
        (Moment::from_millis(seconds * 1000), ConversationId::new(&format!("CA{seconds}")).unwrap())
    }

    fn bounds(starts: &[i64], most: usize) -> Vec<(i64, i64, usize)> {
        windows(starts.iter().map(|&start| started(start)).collect(), most)
            .into_iter()
            .map(|(window, ids)| {
                (window.from.unwrap().millis() / 1000, window.to.unwrap().millis() / 1000, ids.len())
            })
            .collect()
    }

    #[test]
    fn neighbours_share_a_request_and_strangers_do_not() {
        assert_eq!(bounds(&[100, 101, 300], 6), [(99, 102, 2), (299, 301, 1)]);
    }

    #[test]
    fn with_too_few_requests_the_closest_are_merged() {
        assert_eq!(bounds(&[100, 110, 300, 400], 2), [(99, 111, 2), (299, 401, 2)]);
        assert_eq!(bounds(&[100, 110, 300, 400], 0), [(99, 401, 4)]);
    }

    #[test]
    fn nothing_needs_no_request() {
        assert_eq!(bounds(&[], 3), []);
    }
}
