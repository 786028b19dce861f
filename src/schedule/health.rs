//! What the records themselves tell about a target's configuration on the vendor's side.
//!
//! Owns: the data problems. The walks of a poll bring evidence, and the poll is judged once, when it has ended. Pure. Never:
//! which walks there are, and what counts.
//!
//! The rules:
//! - Without evidence all stays as it was; a quiet night mends nothing.
//! - A record that cannot be read is a problem, whichever pass meets it, because its conversation is lost. Every recheck meets
//!   it again, and it should not come and go with them: it is over when none was met for `UNREADABLE_CLEAR_AFTER` and others are read.
//! - The other problems are settings of today. What a recheck brings of old conversations is no evidence for them or against.
//! - They are problems of a project and not of a single call. A poll shows one when every conversation that could show it
//!   does. It is there once `MIN_CONSECUTIVE` different ones have done so in a row (or a single one, as long as none has shown
//!   otherwise), and is over with the first that shows otherwise.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::conversation::{Conversation, ConversationData, ConversationId, ConversationState, Transcript};
use crate::problem::Problem;
use crate::timestamp::Timestamp;

/// Longer than from one to the next of the first two rechecks, at their default ages.
const UNREADABLE_CLEAR_AFTER: Duration = Duration::from_secs(90 * 60);
/// A caller who hangs up at once leaves a conversation that lacks much; so many in a row are no chance.
const MIN_CONSECUTIVE: usize = 3;

/// The data problems of one target, and the evidence of the poll that is running.
#[derive(Debug, Clone)]
pub struct DataQuality {
    settings: [VendorSetting; 3],
    /// When a record that cannot be read was met last, for as long as that is a problem.
    unreadable: Option<Timestamp>,
    /// Of the poll that is running.
    has_read: bool,
    has_rejected: bool,
}

/// A setting on the vendor's side that withholds something.
#[derive(Debug, Clone)]
struct VendorSetting {
    problem: Problem,
    /// Whether a finished conversation shows the problem; none if it could not.
    indicator: fn(&ConversationData) -> Option<bool>,
    is_there: bool,
    /// The first of those that showed it one after the other.
    consecutive: BTreeSet<ConversationId>,
    has_been_well: bool,
    /// Of the poll that is running.
    is_shown: bool,
    is_denied: bool,
}

impl Default for DataQuality {
    fn default() -> Self {
        Self {
            settings: [
                VendorSetting::new(Problem::PartialFields, |data| Some(!data.complete)),
                VendorSetting::new(Problem::TranscriptOff, |data| {
                    has_turns(data).then_some(data.transcript == Transcript::Hidden)
                }),
                VendorSetting::new(Problem::LatencyMissing, |data| {
                    let is_shown = has_turns(data) && data.transcript == Transcript::Visible;
                    is_shown.then_some(data.greeting.is_none() && data.replies.is_empty())
                }),
            ],
            unreadable: None,
            has_read: false,
            has_rejected: false,
        }
    }
}

fn has_turns(data: &ConversationData) -> bool {
    data.turns.is_some_and(|turns| turns > 0)
}

impl DataQuality {
    /// A walk of the poll that is running saw these, and so many records that cannot be read. `is_new` tells for a start
    /// whether a pass that reads what is new saw it, or a recheck.
    pub fn observe(&mut self, seen: &[Conversation], rejected: usize, is_new: impl Fn(Timestamp) -> bool) {
        self.has_read |= !seen.is_empty();
        self.has_rejected |= rejected > 0;
        let is_evidence =
            |data: &ConversationData| data.state == ConversationState::Finished && is_new(data.started_at);
        for Conversation { id, data } in seen.iter().filter(|one| is_evidence(&one.data)) {
            self.settings.iter_mut().for_each(|setting| setting.see(id, data));
        }
    }

    /// The poll has ended: what is wrong from now on.
    pub fn finish_poll(&mut self, now: Timestamp) -> BTreeSet<Problem> {
        if self.has_rejected {
            self.unreadable = Some(now);
        } else if self.has_read {
            // A clock that was put back must not make it last longer.
            let last = self.unreadable.map(|last| last.min(now));
            self.unreadable =
                last.filter(|&last| now.saturating_duration_since(last) < UNREADABLE_CLEAR_AFTER);
        }
        (self.has_read, self.has_rejected) = (false, false);
        self.settings.iter_mut().for_each(VendorSetting::conclude);
        let withheld = self.settings.iter().filter(|setting| setting.is_there).map(|setting| setting.problem);
        withheld.chain(self.unreadable.map(|_| Problem::BadPayload)).collect()
    }
}

impl VendorSetting {
    fn new(problem: Problem, indicator: fn(&ConversationData) -> Option<bool>) -> Self {
        Self {
            problem,
            indicator,
            is_there: false,
            consecutive: BTreeSet::new(),
            has_been_well: false,
            is_shown: false,
            is_denied: false,
        }
    }

    fn see(&mut self, id: &ConversationId, data: &ConversationData) {
        match (self.indicator)(data) {
            Some(true) => {
                self.is_shown = true;
                if self.consecutive.len() < MIN_CONSECUTIVE {
                    self.consecutive.insert(id.clone());
                }
            }
            Some(false) => self.is_denied = true,
            None => {}
        }
    }

    fn conclude(&mut self) {
        let (is_shown, is_denied) = (self.is_shown, self.is_denied);
        (self.is_shown, self.is_denied) = (false, false);
        if is_denied {
            (self.is_there, self.has_been_well) = (false, true);
            self.consecutive.clear();
        } else if is_shown && (self.consecutive.len() >= MIN_CONSECUTIVE || !self.has_been_well) {
            self.is_there = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Page;

    const START: &str = "2026-08-20T09:15:02Z";
    const HIDDEN: &str = r#","in_progress":false,"num_turns":4,"turns":[]"#;
    const SILENT: &str = r#","in_progress":false,"num_turns":1,"turns":[{"user_input":"hi"}]"#;
    const GOOD: &str = r#","in_progress":false,"num_turns":1,"turns":[{"user_input":"hi","latency":1.5}]"#;
    const RUNNING: &str = r#","in_progress":true,"num_turns":4,"turns":[]"#;

    /// A target's health, told minute after minute.
    #[derive(Default)]
    struct Told {
        health: DataQuality,
        minute: u64,
        calls: usize,
    }

    impl Told {
        /// Conversations that were not seen before.
        fn calls(&mut self, records: &[&str]) -> Vec<Conversation> {
            let mut record = |fields: &&str| {
                self.calls += 1;
                format!(r#"{{"id":"CA{}","started_at":"{START}"{fields}}}"#, self.calls)
            };
            let records: Vec<String> = records.iter().map(&mut record).collect();
            Page::decode(format!("[{}]", records.join(",")).as_bytes()).unwrap().conversations
        }

        /// A walk that reads what is new.
        fn reads(&mut self, records: &[&str]) {
            let seen = self.calls(records);
            self.health.observe(&seen, 0, |_| true);
        }

        fn rechecks(&mut self, records: &[&str]) {
            let seen = self.calls(records);
            self.health.observe(&seen, 0, |_| false);
        }

        fn meets_an_unreadable_record(&mut self) {
            self.health.observe(&[], 1, |_| true);
        }

        /// The poll is over.
        fn problems(&mut self) -> Vec<&'static str> {
            self.minute += 1;
            let now =
                Timestamp::parse(START).unwrap() + Duration::from_secs(60) * self.minute.try_into().unwrap();
            self.health.finish_poll(now).iter().map(|problem| problem.code()).collect()
        }

        fn after(&mut self, records: &[&str]) -> Vec<&'static str> {
            self.reads(records);
            self.problems()
        }
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn a_problem_is_one_of_the_project_and_not_of_a_single_call() {
        assert_eq!(Told::default().after(&[HIDDEN, HIDDEN]), ["transcript_off"]);
        assert_eq!(Told::default().after(&[HIDDEN, GOOD]), NOTHING);
        assert_eq!(Told::default().after(&[SILENT, SILENT]), ["latency_missing"]);
        assert_eq!(Told::default().after(&[SILENT, GOOD]), NOTHING);
        assert_eq!(Told::default().after(&["", ""]), ["partial_fields"]);
    }

    #[test]
    fn without_anything_to_judge_by_it_stays() {
        let mut told = Told::default();
        assert_eq!(told.after(&[HIDDEN]), ["transcript_off"]);
        assert_eq!(told.after(&[]), ["transcript_off"]);
        assert_eq!(told.after(&[RUNNING]), ["transcript_off"]);
        assert_eq!(told.after(&[GOOD]), NOTHING);
        assert_eq!(told.after(&[]), NOTHING);
    }

    #[test]
    fn the_order_of_the_walks_of_a_poll_does_not_matter() {
        for hidden_first in [true, false] {
            let mut told = Told::default();
            told.reads(if hidden_first { &[HIDDEN; 20] } else { &[GOOD] });
            told.reads(if hidden_first { &[GOOD] } else { &[HIDDEN; 20] });
            assert_eq!(told.problems(), NOTHING);
        }
    }

    #[test]
    fn where_it_was_well_before_it_takes_three_calls_in_a_row() {
        let mut told = Told::default();
        assert_eq!(told.after(&[GOOD]), NOTHING);
        assert_eq!(told.after(&[SILENT]), NOTHING);
        assert_eq!(told.after(&[SILENT]), NOTHING);
        assert_eq!(told.after(&[GOOD]), NOTHING);
        assert_eq!(told.after(&[SILENT]), NOTHING);
        assert_eq!(told.after(&[SILENT]), NOTHING);
        assert_eq!(told.after(&[SILENT]), ["latency_missing"]);
        assert_eq!(told.after(&[GOOD, SILENT]), NOTHING);
    }

    #[test]
    fn the_same_call_seen_three_times_is_one_call() {
        let mut told = Told::default();
        assert_eq!(told.after(&[GOOD]), NOTHING);
        let one = told.calls(&[HIDDEN]);
        for _ in 0..5 {
            told.health.observe(&one, 0, |_| true);
            assert_eq!(told.problems(), NOTHING);
        }
    }

    #[test]
    fn a_recheck_of_old_calls_tells_nothing_of_the_settings_of_today() {
        let mut told = Told::default();
        told.rechecks(&[HIDDEN; 5]);
        assert_eq!(told.problems(), NOTHING);
        assert_eq!(told.after(&[HIDDEN; 5]), ["transcript_off"]);
        told.rechecks(&[GOOD]);
        assert_eq!(told.problems(), ["transcript_off"]);
        told.reads(&[HIDDEN]);
        told.rechecks(&[GOOD]);
        assert_eq!(told.problems(), ["transcript_off"]);
    }

    #[test]
    fn an_unreadable_record_is_a_problem_whatever_else_its_poll_reads() {
        let mut told = Told::default();
        told.reads(&[GOOD; 20]);
        told.meets_an_unreadable_record();
        told.reads(&[GOOD]);
        assert_eq!(told.problems(), ["bad_payload"]);
    }

    #[test]
    fn an_unreadable_record_that_each_recheck_meets_again_is_one_problem_with_one_end() {
        let mut told = Told::default();
        let met_at = [3, 8, 65];
        let shown: Vec<u64> = (1..=200)
            .filter(|minute| {
                if met_at.contains(minute) {
                    told.meets_an_unreadable_record();
                }
                told.after(&[GOOD]) == ["bad_payload"]
            })
            .collect();
        assert_eq!(shown, (3..65 + 90).collect::<Vec<u64>>());
    }

    #[test]
    fn an_unreadable_record_is_not_forgotten_while_nothing_is_read() {
        let mut told = Told::default();
        told.meets_an_unreadable_record();
        assert_eq!(told.problems(), ["bad_payload"]);
        told.minute += 600;
        assert_eq!(told.after(&[]), ["bad_payload"]);
        assert_eq!(told.after(&[RUNNING]), NOTHING);
    }

    #[test]
    fn a_clock_that_is_put_back_makes_no_problem_last_longer() {
        let mut told = Told { minute: 600, ..Told::default() };
        told.meets_an_unreadable_record();
        assert_eq!(told.problems(), ["bad_payload"]);
        told.minute = 100;
        assert_eq!(told.after(&[GOOD]), ["bad_payload"]);
        told.minute = 191;
        assert_eq!(told.after(&[GOOD]), NOTHING);
    }
}
