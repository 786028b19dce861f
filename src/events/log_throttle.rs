//! The memory that keeps a lasting failure from filling the log: streaks of failures, and quotas of lines.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use polyai_domain::target::TargetKey;
use tokio::time::Instant;

use super::Event;

/// Identifies repeats of the same event. `detail` is from a closed set, which bounds the memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) target: Option<TargetKey>,
    pub(super) event: Event,
    pub(super) detail: &'static str,
}

/// The number of lines that an event may log in a period.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogRate {
    pub(super) lines: u32,
    pub(super) per: Duration,
}

/// A streak that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreakEnded {
    pub(super) failures: u64,
    /// From the first failure to the end.
    pub(super) duration: Duration,
}

#[derive(Debug)]
struct Streak {
    failures: u64,
    first: Instant,
    last: Instant,
}

#[derive(Debug)]
struct Quota {
    since: Instant,
    lines: u32,
    suppressed: u64,
}

/// The memory of all targets.
#[derive(Debug, Default)]
pub(super) struct LogThrottle(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    streaks: HashMap<Key, Streak>,
    quotas: HashMap<Key, Quota>,
}

impl LogThrottle {
    /// Adds a failure to its streak. Returns the number of failures in it.
    pub(super) fn record_failure(&self, key: Key) -> u64 {
        let now = Instant::now();
        let mut memory = self.lock();
        let streak = memory.streaks.entry(key).or_insert(Streak { failures: 0, first: now, last: now });
        streak.failures += 1;
        streak.last = now;
        streak.failures
    }

    /// Ends the streaks of `event` and `target`, whatever their detail, if the last failure is at least `quiet` ago.
    pub(super) fn ended(&self, target: &TargetKey, event: Event, quiet: Duration) -> Option<StreakEnded> {
        let now = Instant::now();
        let mut memory = self.lock();
        let over = |key: &Key, streak: &mut Streak| {
            key.event == event
                && key.target.as_ref() == Some(target)
                && now.duration_since(streak.last) >= quiet
        };
        let ended: Vec<_> = memory.streaks.extract_if(over).map(|(_, streak)| streak).collect();
        let first = ended.iter().map(|streak| streak.first).min()?;
        let failures = ended.iter().map(|streak| streak.failures).sum();
        Some(StreakEnded { failures, duration: now.duration_since(first) })
    }

    /// Ends the streak of `key`.
    pub(super) fn end_streak(&self, key: &Key) -> Option<StreakEnded> {
        let streak = self.lock().streaks.remove(key)?;
        Some(StreakEnded { failures: streak.failures, duration: Instant::now().duration_since(streak.first) })
    }

    /// If `rate` permits a line, returns the number of lines suppressed since the last one.
    pub(super) fn try_log(&self, key: Key, rate: LogRate) -> Option<u64> {
        let now = Instant::now();
        let mut memory = self.lock();
        let quota = memory.quotas.entry(key).or_insert(Quota { since: now, lines: 0, suppressed: 0 });
        if now.duration_since(quota.since) >= rate.per {
            quota.since = now;
            quota.lines = 0;
        }
        if quota.lines < rate.lines {
            quota.lines += 1;
            Some(std::mem::take(&mut quota.suppressed))
        } else {
            quota.suppressed += 1;
            None
        }
    }

    /// Drops everything about `target`.
    pub(super) fn forget(&self, target: &TargetKey) {
        let mut memory = self.lock();
        memory.streaks.retain(|key, _| key.target.as_ref() != Some(target));
        memory.quotas.retain(|key, _| key.target.as_ref() != Some(target));
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // The memory is consistent even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyai_domain::target::{ClientEnv, Region};

    fn key(project: &str, detail: &'static str) -> Key {
        let target =
            TargetKey { project: project.to_owned(), region: Region::Us1, client_env: ClientEnv::Live };
        Key { target: Some(target), event: Event::PollFailed, detail }
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_are_counted_until_recovery() {
        let throttle = LogThrottle::default();
        let failure = key("a", "timeout");
        assert_eq!(throttle.record_failure(failure.clone()), 1);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(throttle.record_failure(failure.clone()), 2);
        assert_eq!(throttle.record_failure(key("a", "connect")), 1, "another detail is another streak");
        assert_eq!(throttle.record_failure(key("b", "timeout")), 1, "so is another target");
        tokio::time::advance(Duration::from_secs(10)).await;

        let target = failure.target.as_ref().unwrap();
        let event = Event::PollFailed;
        assert_eq!(throttle.ended(target, event, Duration::from_secs(11)), None, "not quiet for long enough");
        let ended = StreakEnded { failures: 3, duration: Duration::from_secs(40) };
        assert_eq!(throttle.ended(target, event, Duration::from_secs(10)), Some(ended));
        assert_eq!(throttle.ended(target, event, Duration::ZERO), None, "it ends once");
        assert_eq!(throttle.record_failure(failure), 1, "and starts over");
        assert_eq!(throttle.record_failure(key("b", "timeout")), 2, "the other target's goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn allowance_renews_and_reports_suppressed_lines() {
        let throttle = LogThrottle::default();
        let rate = LogRate { lines: 2, per: Duration::from_secs(600) };
        let ask = || throttle.try_log(key("a", "no_id"), rate);
        assert_eq!([ask(), ask(), ask(), ask()], [Some(0), Some(0), None, None]);
        tokio::time::advance(Duration::from_secs(600)).await;
        assert_eq!([ask(), ask(), ask()], [Some(2), Some(0), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn removed_target_starts_over() {
        let throttle = LogThrottle::default();
        let failure = key("a", "timeout");
        assert_eq!(throttle.record_failure(failure.clone()), 1);
        assert_eq!(throttle.record_failure(failure.clone()), 2);
        throttle.forget(failure.target.as_ref().unwrap());
        assert_eq!(throttle.record_failure(failure), 1);
    }
}
