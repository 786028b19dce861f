//! The state of a call that the API lists at one moment, quirks of the project included.

use chrono::{DateTime, TimeDelta, Utc};

use super::call::{Call, Handoff, Turn};
use super::quirks::Quirks;

/// A call as it is listed at one moment. Counts and durations are as served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VisibleCall<'a> {
    pub(crate) call: &'a Call,
    pub(crate) in_progress: bool,
    /// As served: empty without transcripts.
    pub(crate) turns: &'a [Turn],
    pub(crate) num_turns: u64,
    pub(crate) num_ood: u64,
    pub(crate) num_silences: u64,
    /// `total_duration`, whole seconds.
    pub(crate) total_duration: Option<i64>,
    /// `polyai_duration`, whole seconds.
    pub(crate) polyai_duration: Option<i64>,
    pub(crate) handoff: Option<&'a Handoff>,
}

impl Call {
    /// The record at `now`; `None` while it is not listed.
    pub(crate) fn at(&self, now: DateTime<Utc>, quirks: &Quirks) -> Option<VisibleCall<'_>> {
        if now < self.visible_from.unwrap_or(self.start).max(self.start) {
            return None;
        }
        let call =
            self.versions.iter().rev().find(|(from, _)| *from <= now).map_or(self, |(_, version)| version);
        let in_progress = call.finished_from().is_none_or(|finished| now < finished);
        if in_progress && (call.hidden_while_running || quirks.hides_running) {
            return None;
        }
        let ended = call.end().filter(|end| *end <= now);
        let has_begun = |index: &usize| ended.is_some() || call.turn_at(*index) <= now;
        let happened = &call.turns[..(0..call.turns.len()).take_while(has_begun).count()];
        let seconds = (ended.unwrap_or(now) - call.start).num_seconds();
        let count = |flag: fn(&Turn) -> bool| happened.iter().filter(|turn| flag(turn)).count() as u64;
        let reported = call.reported;
        let num_turns = reported.num_turns.unwrap_or(happened.len() as u64);
        let agent_seconds = call.agent_part.map_or(seconds, |part| part.num_seconds().min(seconds));
        Some(VisibleCall {
            call,
            in_progress,
            turns: if quirks.no_transcripts { &[] } else { happened },
            num_turns: if quirks.num_turns_zero { 0 } else { num_turns },
            num_ood: reported.num_ood.unwrap_or_else(|| count(|turn| turn.ood)),
            num_silences: reported.num_silences.unwrap_or_else(|| count(|turn| turn.silence)),
            total_duration: (!reported.no_duration).then_some(seconds),
            polyai_duration: (!reported.no_duration).then_some(agent_seconds),
            handoff: call.handoff.as_ref().filter(|_| ended.is_some()),
        })
    }

    /// The time from which on it is listed as finished.
    pub(crate) fn finished_from(&self) -> Option<DateTime<Utc>> {
        self.end().map(|end| self.finished_visible_from.map_or(end, |from| from.max(end)))
    }

    pub(crate) fn turn_at(&self, index: usize) -> DateTime<Utc> {
        let offset = self.turns.get(index).and_then(|turn| turn.at).unwrap_or_else(|| {
            let count = i32::try_from(self.turns.len()).unwrap_or(i32::MAX).max(1);
            let step = self.lasting.map_or(TimeDelta::seconds(10), |lasting| lasting / count);
            step * i32::try_from(index).unwrap_or(i32::MAX)
        });
        self.start + offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_787_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn call_appears_grows_and_finishes() {
        let call = Call::new("CA01").starting(time(0)).lasting(40).turns(4).handoff("billing", "desk");
        let quirks = Quirks::default();
        let seen = |seconds| {
            call.at(time(seconds), &quirks)
                .map(|s| (s.in_progress, s.turns.len(), s.total_duration, s.handoff.is_some()))
        };
        assert_eq!(seen(-1), None);
        assert_eq!(seen(0), Some((true, 1, Some(0), false)));
        assert_eq!(seen(25), Some((true, 3, Some(25), false)));
        assert_eq!(seen(40), Some((false, 4, Some(40), true)));
        assert_eq!(seen(4000), Some((false, 4, Some(40), true)));
    }

    #[test]
    fn amendment_replaces_the_record_from_its_time() {
        let call = Call::new("CA01")
            .starting(time(0))
            .lasting(40)
            .turns(4)
            .amended(time(100), |c| c.lasting(200).turns(5));
        let quirks = Quirks::default();
        let seen = |seconds| call.at(time(seconds), &quirks).map(|s| (s.in_progress, s.num_turns));
        assert_eq!(seen(99), Some((false, 4)));
        assert_eq!(seen(100), Some((true, 3)), "a longer call runs again");
        assert_eq!(seen(200), Some((false, 5)));
    }

    #[test]
    fn late_ingestion_hides_a_call_or_its_end() {
        let quirks = Quirks::default();
        let late = Call::new("CA01").starting(time(0)).visible_from(time(500));
        assert!(late.at(time(499), &quirks).is_none());
        assert!(!late.at(time(500), &quirks).unwrap().in_progress);
        let stuck = Call::new("CA02").starting(time(0)).finished_visible_from(time(900));
        assert!(stuck.at(time(899), &quirks).unwrap().in_progress);
        assert!(!stuck.at(time(900), &quirks).unwrap().in_progress);
        let hidden = Call::new("CA03").starting(time(0)).hidden_while_running();
        assert!(hidden.at(time(30), &quirks).is_none());
        assert!(hidden.at(time(60), &quirks).is_some());
    }
}
