//! What can go wrong between a client and the API, on request.
//!
//! Owns: kinds of faults, and when one fires. Never: carrying one out.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::dice::{hash, mix_text};
use polyai_domain::target::TargetKey;

/// A fault that hits list requests until it is used up or cleared.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// To whom.
    pub scope: Scope,
    /// Hits only windows with both bounds that hold this start time.
    pub start: Option<DateTime<Utc>>,
    /// How many matching requests pass unharmed first.
    pub skip: u64,
    /// How many requests it hits; None has no end.
    pub times: Option<u64>,
    /// The chance that a matching request is hit, 0 to 1; decided by the request's number, hence repeatable.
    pub probability: f64,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Not at or after.
    pub until: Option<DateTime<Utc>>,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// 429
    RateLimited(RetryAfter),
    /// This status, with the error envelope.
    Status(u16),
    /// The answer begins only after this time.
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
    /// The connection is reset before an answer.
    Reset,
    /// `cursor` is the one that was sent. Leaves first pages alone.
    RepeatCursor,
    /// A page without rows whose cursor leads to the rows left out.
    EmptyPage,
    /// 401
    KeyRefused,
    /// 403
    Forbidden,
    /// 404 in the API's envelope.
    ProjectUnknown,
    /// 404 as the gateway of another host answers.
    WrongHost,
    /// 200 with this body.
    Body(String),
}

/// How a 429 says when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// `Retry-After: 12`
    Seconds(u64),
    /// `Retry-After: ` this many seconds from now as an HTTP date.
    Date(u32),
    /// Not at all.
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

/// Whom a fault or an incident concerns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// Everybody.
    #[default]
    All,
    /// All targets of the projects with this name.
    Project(String),
    /// One target.
    Target(TargetKey),
}

impl From<&str> for Scope {
    fn from(project: &str) -> Self {
        Self::Project(project.to_owned())
    }
}

impl From<&TargetKey> for Scope {
    fn from(target: &TargetKey) -> Self {
        Self::Target(target.clone())
    }
}

impl Scope {
    /// Whether `target` is meant.
    pub fn covers(&self, target: &TargetKey) -> bool {
        match self {
            Self::All => true,
            Self::Project(name) => *name == target.project,
            Self::Target(one) => one == target,
        }
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self::new(kind)
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

    /// Hits only `scope`: a project's name or a target.
    #[must_use]
    pub fn on(mut self, scope: impl Into<Scope>) -> Self {
        self.scope = scope.into();
        self
    }

    /// Hits `count` requests.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    /// Hits only windows with both bounds that hold `start`, as where one record makes the API fail.
    #[must_use]
    pub fn over(mut self, start: DateTime<Utc>) -> Self {
        self.start = Some(start);
        self
    }

    /// Lets `count` matching requests pass first.
    #[must_use]
    pub fn after(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Hits a matching request with this chance, 0 to 1.
    #[must_use]
    pub fn with_probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Hits requests within this time only.
    #[must_use]
    pub fn between(mut self, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        self.from = Some(from);
        self.until = Some(until);
        self
    }

    /// Whether it can never fire again.
    fn spent(&self, now: DateTime<Utc>) -> bool {
        self.times == Some(0) || self.until.is_some_and(|until| now >= until)
    }

    /// Whether it hits request number `sequence`, and remembers that it did.
    fn fires(&mut self, target: &TargetKey, page: Page, now: DateTime<Utc>) -> bool {
        let Page { window, is_first, sequence } = page;
        let holds = |start: DateTime<Utc>| window.is_some_and(|(from, to)| from <= start && start <= to);
        let concerned = self.scope.covers(target)
            && self.start.is_none_or(holds)
            && !(is_first && self.kind == FaultKind::RepeatCursor)
            && self.from.is_none_or(|from| now >= from)
            && !self.spent(now);
        if !concerned {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        let draw = (hash(&[sequence, mix_text(&target.project)]) >> 11) as f64 / 9_007_199_254_740_992.0;
        if draw >= self.probability {
            return false;
        }
        self.times = self.times.map(|left| left - 1);
        true
    }
}

/// The page that a request asks for, as far as faults look at it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Page {
    /// From start time to start time, where both are given.
    pub(crate) window: Option<(DateTime<Utc>, DateTime<Utc>)>,
    pub(crate) is_first: bool,
    /// The number of the request.
    pub(crate) sequence: u64,
}

/// All faults that are switched on.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// The kinds that hit this request, in the order in which they were added.
    pub(crate) fn fire(&mut self, target: &TargetKey, page: Page, now: DateTime<Utc>) -> Vec<FaultKind> {
        let mut struck = Vec::new();
        for fault in &mut self.0 {
            if fault.fires(target, page, now) {
                struck.push(fault.kind.clone());
            }
        }
        self.0.retain(|fault| !fault.spent(now));
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyai_domain::target::{ClientEnv, Region};

    fn target(project: &str) -> TargetKey {
        TargetKey { project: project.into(), region: Region::Us1, client_env: ClientEnv::Live }
    }

    fn hits(fault: Fault, project: &str, requests: u64) -> Vec<u64> {
        let mut faults = Faults(vec![fault]);
        let now = DateTime::UNIX_EPOCH;
        let page = |sequence| Page { is_first: true, sequence, window: None };
        (0..requests).filter(|n| !faults.fire(&target(project), page(*n), now).is_empty()).collect()
    }

    #[test]
    fn a_fault_hits_as_often_as_it_says_and_only_whom_it_says() {
        let fault = Fault::new(FaultKind::Status(503)).on("billing").after(1).times(2);
        assert_eq!(hits(fault.clone(), "billing", 6), [1, 2]);
        assert!(hits(fault, "reservations", 6).is_empty());
    }

    #[test]
    fn a_chance_is_kept_over_many_requests_and_repeats_exactly() {
        let fault = Fault::new(FaultKind::Reset).with_probability(0.25);
        let hit = hits(fault.clone(), "billing", 4000);
        assert!((900..1100).contains(&hit.len()), "{}", hit.len());
        assert_eq!(hit, hits(fault, "billing", 4000));
    }

    #[test]
    fn a_fault_over_a_start_hits_the_windows_that_hold_it() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut faults = Faults(vec![Fault::new(FaultKind::Status(500)).over(at(100))]);
        let mut hits = |window| {
            let page = Page { window, ..Page::default() };
            !faults.fire(&target("a"), page, DateTime::UNIX_EPOCH).is_empty()
        };
        assert!(hits(Some((at(50), at(150)))) && hits(Some((at(100), at(100)))));
        assert!(!hits(Some((at(101), at(150)))) && !hits(None));
    }

    #[test]
    fn a_fault_ends_with_its_time() {
        let (from, until) = (DateTime::UNIX_EPOCH, DateTime::from_timestamp(60, 0).unwrap());
        let mut faults = Faults(vec![Fault::new(FaultKind::Reset).between(from, until)]);
        assert_eq!(faults.fire(&target("a"), Page::default(), from).len(), 1);
        assert!(faults.fire(&target("a"), Page::default(), until).is_empty());
        assert!(faults.0.is_empty(), "a spent fault is forgotten");
    }
}
