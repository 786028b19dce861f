//! Faults that the API shows on request, and the rules by which they fire.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::rng::{Rng, hash_text};
use polyai_domain::target::TargetKey;

/// A fault that hits list requests until it is used up or cleared.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Fault {
    /// The effect.
    pub kind: FaultKind,
    /// The targets it affects.
    pub scope: Scope,
    /// Hits only windows with both bounds that include this start time.
    pub start: Option<DateTime<Utc>>,
    /// How many matching requests pass first.
    pub skip: u64,
    /// How many requests it hits; `None` is unlimited.
    pub times: Option<u64>,
    /// The probability that a matching request is hit, 0 to 1. The number of the request decides, hence repeatable.
    pub probability: f64,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Not at or after.
    pub until: Option<DateTime<Utc>>,
}

/// The effect of a fault on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// 429
    RateLimited(RetryAfter),
    /// This status, with the error envelope.
    Status(u16),
    /// The response begins only after this time.
    SlowFirstByte(Duration),
    /// The body comes in this many pieces, with a pause before each.
    SlowBody {
        /// At least 1.
        pieces: usize,
        /// Before each piece.
        pause: Duration,
    },
    /// The body ends early.
    Truncated(Truncation),
    /// A proxy's page in HTML, with this status.
    Html(u16),
    /// The connection is reset before a response.
    Reset,
    /// `cursor` is the one that was sent. First pages are not affected.
    RepeatCursor,
    /// A page without rows, whose cursor leads to the omitted rows.
    EmptyPage,
    /// 401
    KeyRefused,
    /// 403
    Forbidden,
    /// 404 in the API's envelope.
    ProjectUnknown,
    /// 404 from the gateway of another host.
    WrongHost,
    /// 200 with this body.
    Body(String),
}

/// `Retry-After` of a 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// `Retry-After: 12`
    Seconds(u64),
    /// `Retry-After: ` this many seconds from now as an HTTP date.
    Date(u32),
    /// Absent.
    Missing,
}

/// How a body ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncation {
    /// After half of what `Content-Length` promised.
    Length,
    /// In chunks, without the last one.
    Chunks,
    /// The transfer is complete, the JSON is not.
    Json,
}

/// The targets that a fault or an incident affects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// All targets.
    #[default]
    All,
    /// All targets of the projects with this name.
    Project(String),
    /// One target.
    Target(TargetKey),
}

impl Scope {
    /// Whether it includes `target`.
    pub fn covers(&self, target: &TargetKey) -> bool {
        match self {
            Self::All => true,
            Self::Project(name) => *name == target.project,
            Self::Target(one) => one == target,
        }
    }
}

impl Fault {
    /// `kind`, for every list request from now on.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            scope: Scope::All,
            start: None,
            skip: 0,
            times: None,
            probability: 1.0,
            from: None,
            until: None,
        }
    }

    fn is_spent(&self, now: DateTime<Utc>) -> bool {
        self.times == Some(0) || self.until.is_some_and(|until| now >= until)
    }

    /// Whether it hits this request; if so, the hit is counted.
    fn fires(&mut self, target: &TargetKey, page: RequestedPage, now: DateTime<Utc>) -> bool {
        let RequestedPage { window, is_first, sequence } = page;
        let holds = |start: DateTime<Utc>| window.is_some_and(|(from, to)| from <= start && start <= to);
        let matches = self.scope.covers(target)
            && self.start.is_none_or(holds)
            && !(is_first && self.kind == FaultKind::RepeatCursor)
            && self.from.is_none_or(|from| now >= from)
            && !self.is_spent(now);
        if !matches {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if !Rng::new(&[sequence, hash_text(&target.project)]).chance(self.probability) {
            return false;
        }
        self.times = self.times.map(|left| left - 1);
        true
    }
}

/// The page of a request, as far as faults depend on it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestedPage {
    /// `start_time` and `end_time`, if both are given.
    pub(crate) window: Option<(DateTime<Utc>, DateTime<Utc>)>,
    pub(crate) is_first: bool,
    pub(crate) sequence: u64,
}

/// The kinds of `faults` that hit this request, in their order.
pub(crate) fn fire(
    faults: &mut Vec<Fault>,
    target: &TargetKey,
    page: RequestedPage,
    now: DateTime<Utc>,
) -> Vec<FaultKind> {
    let firing = faults.iter_mut().filter_map(|fault| {
        let fires = fault.fires(target, page, now);
        fires.then(|| fault.kind.clone())
    });
    let kinds = firing.collect();
    faults.retain(|fault| !fault.is_spent(now));
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyai_domain::target::{ClientEnv, Region};

    fn target(project: &str) -> TargetKey {
        TargetKey { project: project.into(), region: Region::Us1, client_env: ClientEnv::Live }
    }

    fn hits(fault: Fault, project: &str, requests: u64) -> Vec<u64> {
        let mut faults = vec![fault];
        let now = DateTime::UNIX_EPOCH;
        let page = |sequence| RequestedPage { is_first: true, sequence, window: None };
        (0..requests).filter(|n| !fire(&mut faults, &target(project), page(*n), now).is_empty()).collect()
    }

    #[test]
    fn fault_hits_only_its_scope_and_count() {
        let fault = Fault::new(FaultKind::Status(503)).with_scope("billing").with_skip(1).with_times(2);
        assert_eq!(hits(fault.clone(), "billing", 6), [1, 2]);
        assert!(hits(fault, "reservations", 6).is_empty());
    }

    #[test]
    fn fault_probability_holds_and_repeats() {
        let fault = Fault::new(FaultKind::Reset).with_probability(0.25);
        let hit = hits(fault.clone(), "billing", 4000);
        assert!((900..1100).contains(&hit.len()), "{}", hit.len());
        assert_eq!(hit, hits(fault, "billing", 4000));
    }

    #[test]
    fn fault_with_start_hits_windows_that_include_it() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut faults = vec![Fault::new(FaultKind::Status(500)).with_start(at(100))];
        let mut hits = |window| {
            let page = RequestedPage { window, ..RequestedPage::default() };
            !fire(&mut faults, &target("a"), page, DateTime::UNIX_EPOCH).is_empty()
        };
        assert!(hits(Some((at(50), at(150)))) && hits(Some((at(100), at(100)))));
        assert!(!hits(Some((at(101), at(150)))) && !hits(None));
    }

    #[test]
    fn fault_ends_with_its_period() {
        let (from, until) = (DateTime::UNIX_EPOCH, DateTime::from_timestamp(60, 0).unwrap());
        let mut faults = vec![Fault::new(FaultKind::Reset).with_period(from, until)];
        assert_eq!(fire(&mut faults, &target("a"), RequestedPage::default(), from).len(), 1);
        assert!(fire(&mut faults, &target("a"), RequestedPage::default(), until).is_empty());
        assert!(faults.is_empty(), "a spent fault is forgotten");
    }
}
