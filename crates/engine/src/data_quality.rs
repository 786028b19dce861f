//! The evidence in the records for problems of a target's configuration at PolyAI.
//!
//! Each fetch of a poll brings evidence, and the poll is judged once, when it has ended:
//! - Without evidence nothing changes; a quiet night resolves nothing.
//! - A record that cannot be read is a problem in any pass, because its conversation is lost. Every recheck meets it again, and
//!   the problem should not come and go with them: it ends when no such record was met for 90 minutes while
//!   others were read.
//! - The other problems are settings of today. Old conversations, which rechecks bring, are no evidence for or against them.
//! - They are problems of a project and not of a single call. A poll shows one if every conversation that could show it does. It
//!   begins once three different ones have shown it in a row (or a single one, as long as none has shown
//!   otherwise), and ends with the first that shows otherwise.

use std::collections::BTreeSet;
use std::time::Duration;

use polyai_domain::conversation::{
    Conversation, ConversationData, ConversationId, ConversationState, Transcript,
};
use polyai_domain::problem::Problem;
use polyai_domain::timestamp::Timestamp;

/// Longer than from one to the next of the first two rechecks, at their default ages.
const UNREADABLE_CLEAR_AFTER: Duration = Duration::from_secs(90 * 60);
/// A caller who hangs up at once leaves a conversation that lacks much; so many in a row are no coincidence.
const MIN_CONSECUTIVE: usize = 3;

/// The data problems of one target, and the evidence of the current poll.
#[derive(Debug, Clone, Default)]
pub struct DataQuality {
    /// In the order of [`INDICATORS`].
    settings: [VendorSetting; INDICATORS.len()],
    /// When an unreadable record was last met, as long as that is a problem.
    unreadable: Option<Timestamp>,
    has_read: bool,
    has_rejected: bool,
}

/// A setting at PolyAI that withholds data.
#[derive(Debug, Clone, Default)]
struct VendorSetting {
    active: bool,
    /// The first of those that have shown the problem in a row.
    consecutive: BTreeSet<ConversationId>,
    seen_healthy: bool,
    /// Of the current poll.
    seen: bool,
    contradicted: bool,
}

/// Returns whether a finished conversation shows a problem; `None` if it could not.
type Indicator = fn(&ConversationData) -> Option<bool>;

const INDICATORS: [(Problem, Indicator); 3] = [
    (Problem::PartialFields, |data| Some(!data.complete)),
    (Problem::TranscriptOff, |data| has_turns(data).then_some(data.transcript == Transcript::Hidden)),
    (Problem::LatencyMissing, |data| {
        let is_visible = has_turns(data) && data.transcript == Transcript::Visible;
        is_visible.then_some(data.greeting.is_none() && data.replies.is_empty())
    }),
];

fn has_turns(data: &ConversationData) -> bool {
    data.turns.is_some_and(|turns| turns > 0)
}

impl DataQuality {
    /// Adds the evidence of a fetch of the current poll: the conversations, and the number of unreadable records. `is_new` says
    /// of a start whether a pass that reads what is new has seen it, or only a recheck.
    pub fn observe(&mut self, seen: &[Conversation], rejected: usize, is_new: impl Fn(Timestamp) -> bool) {
        self.has_read |= !seen.is_empty();
        self.has_rejected |= rejected > 0;
        for Conversation { id, data } in seen {
            if data.state == ConversationState::Finished && is_new(data.started_at) {
                for (setting, (_, indicator)) in self.settings.iter_mut().zip(INDICATORS) {
                    setting.observe(id, indicator(data));
                }
            }
        }
    }

    /// Judges the current poll, which has ended. Returns the problems from now on.
    pub fn finish_poll(&mut self, now: Timestamp) -> BTreeSet<Problem> {
        if self.has_rejected {
            self.unreadable = Some(now);
        } else if self.has_read {
            // A clock that was set back must not prolong the problem.
            let last = self.unreadable.map(|last| last.min(now));
            self.unreadable =
                last.filter(|&last| now.saturating_duration_since(last) < UNREADABLE_CLEAR_AFTER);
        }
        (self.has_read, self.has_rejected) = (false, false);
        self.settings.iter_mut().for_each(VendorSetting::finish_poll);
        let settings = self.settings.iter().zip(INDICATORS);
        let withheld = settings.filter(|(setting, _)| setting.active).map(|(_, (problem, _))| problem);
        withheld.chain(self.unreadable.map(|_| Problem::BadPayload)).collect()
    }
}

impl VendorSetting {
    fn observe(&mut self, id: &ConversationId, shows: Option<bool>) {
        match shows {
            Some(true) => {
                self.seen = true;
                if self.consecutive.len() < MIN_CONSECUTIVE {
                    self.consecutive.insert(id.clone());
                }
            }
            Some(false) => self.contradicted = true,
            None => {}
        }
    }

    fn finish_poll(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        if std::mem::take(&mut self.contradicted) {
            (self.active, self.seen_healthy) = (false, true);
            self.consecutive.clear();
        } else if seen && (self.consecutive.len() >= MIN_CONSECUTIVE || !self.seen_healthy) {
            self.active = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use polyai_domain::conversation::{Amount, TurnLatency};

    use super::*;

    /// The content of a record.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Record {
        /// Some fields are missing.
        Partial,
        /// The transcript is withheld.
        Hidden,
        /// No turn has a latency.
        NoLatency,
        Good,
        InProgress,
    }
    use Record::{Good, Hidden, InProgress, NoLatency, Partial};

    fn start() -> Timestamp {
        Timestamp::parse("2026-08-20T09:15:02Z").unwrap()
    }

    fn conversation(number: usize, record: Record) -> Conversation {
        let latency = TurnLatency { latency: Amount::from_count(1), at: None };
        let data = ConversationData {
            started_at: start(),
            state: match record {
                InProgress => ConversationState::InProgress,
                Partial | Hidden | NoLatency | Good => ConversationState::Finished,
            },
            channel: None,
            variant: None,
            duration: None,
            agent_duration: None,
            last_turn_at: None,
            turns: Some(4).filter(|_| record != Partial),
            ood_turns: 0,
            silence_turns: 0,
            barge_in_turns: 0,
            handoff: None,
            greeting: None,
            replies: if record == Good { [latency].into() } else { Box::default() },
            transcript: if record == Hidden { Transcript::Hidden } else { Transcript::Visible },
            complete: record != Partial,
        };
        Conversation { id: ConversationId::new(&format!("CA{number}")).unwrap(), data }
    }

    /// The data quality of a target, with one poll per minute.
    #[derive(Default)]
    struct Polls {
        quality: DataQuality,
        minute: u64,
        calls: usize,
    }

    impl Polls {
        /// New conversations.
        fn calls(&mut self, records: &[Record]) -> Vec<Conversation> {
            let first = self.calls;
            self.calls += records.len();
            (first..).zip(records).map(|(number, &record)| conversation(number, record)).collect()
        }

        /// A fetch of a pass that reads what is new.
        fn reads(&mut self, records: &[Record]) {
            let seen = self.calls(records);
            self.quality.observe(&seen, 0, |_| true);
        }

        fn rechecks(&mut self, records: &[Record]) {
            let seen = self.calls(records);
            self.quality.observe(&seen, 0, |_| false);
        }

        fn rejects_record(&mut self) {
            self.quality.observe(&[], 1, |_| true);
        }

        /// Ends the poll.
        fn problems(&mut self) -> Vec<&'static str> {
            self.minute += 1;
            let now = start() + Duration::from_secs(60) * self.minute.try_into().unwrap();
            self.quality.finish_poll(now).iter().map(|problem| problem.code()).collect()
        }

        fn after(&mut self, records: &[Record]) -> Vec<&'static str> {
            self.reads(records);
            self.problems()
        }
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn single_call_does_not_show_a_problem_of_the_project() {
        assert_eq!(Polls::default().after(&[Hidden, Hidden]), ["transcript_off"]);
        assert_eq!(Polls::default().after(&[Hidden, Good]), NOTHING);
        assert_eq!(Polls::default().after(&[NoLatency, NoLatency]), ["latency_missing"]);
        assert_eq!(Polls::default().after(&[NoLatency, Good]), NOTHING);
        assert_eq!(Polls::default().after(&[Partial, Partial]), ["partial_fields"]);
    }

    #[test]
    fn problem_stays_without_evidence() {
        let mut polls = Polls::default();
        assert_eq!(polls.after(&[Hidden]), ["transcript_off"]);
        assert_eq!(polls.after(&[]), ["transcript_off"]);
        assert_eq!(polls.after(&[InProgress]), ["transcript_off"]);
        assert_eq!(polls.after(&[Good]), NOTHING);
        assert_eq!(polls.after(&[]), NOTHING);
    }

    #[test]
    fn order_of_fetches_does_not_matter() {
        for hidden_first in [true, false] {
            let mut polls = Polls::default();
            polls.reads(if hidden_first { &[Hidden; 20] } else { &[Good] });
            polls.reads(if hidden_first { &[Good] } else { &[Hidden; 20] });
            assert_eq!(polls.problems(), NOTHING);
        }
    }

    #[test]
    fn healthy_setting_needs_three_calls_in_a_row() {
        let mut polls = Polls::default();
        assert_eq!(polls.after(&[Good]), NOTHING);
        assert_eq!(polls.after(&[NoLatency]), NOTHING);
        assert_eq!(polls.after(&[NoLatency]), NOTHING);
        assert_eq!(polls.after(&[Good]), NOTHING);
        assert_eq!(polls.after(&[NoLatency]), NOTHING);
        assert_eq!(polls.after(&[NoLatency]), NOTHING);
        assert_eq!(polls.after(&[NoLatency]), ["latency_missing"]);
        assert_eq!(polls.after(&[Good, NoLatency]), NOTHING);
    }

    #[test]
    fn same_call_seen_repeatedly_counts_once() {
        let mut polls = Polls::default();
        assert_eq!(polls.after(&[Good]), NOTHING);
        let one = polls.calls(&[Hidden]);
        for _ in 0..5 {
            polls.quality.observe(&one, 0, |_| true);
            assert_eq!(polls.problems(), NOTHING);
        }
    }

    #[test]
    fn recheck_is_no_evidence_for_current_settings() {
        let mut polls = Polls::default();
        polls.rechecks(&[Hidden; 5]);
        assert_eq!(polls.problems(), NOTHING);
        assert_eq!(polls.after(&[Hidden; 5]), ["transcript_off"]);
        polls.rechecks(&[Good]);
        assert_eq!(polls.problems(), ["transcript_off"]);
        polls.reads(&[Hidden]);
        polls.rechecks(&[Good]);
        assert_eq!(polls.problems(), ["transcript_off"]);
    }

    #[test]
    fn unreadable_record_outweighs_readable_ones() {
        let mut polls = Polls::default();
        polls.reads(&[Good; 20]);
        polls.rejects_record();
        polls.reads(&[Good]);
        assert_eq!(polls.problems(), ["bad_payload"]);
    }

    #[test]
    fn unreadable_record_met_again_is_one_problem() {
        let mut polls = Polls::default();
        let met_at = [3, 8, 65];
        let shown: Vec<u64> = (1..=200)
            .filter(|minute| {
                if met_at.contains(minute) {
                    polls.rejects_record();
                }
                polls.after(&[Good]) == ["bad_payload"]
            })
            .collect();
        assert_eq!(shown, (3..65 + 90).collect::<Vec<u64>>());
    }

    #[test]
    fn unreadable_record_stays_while_nothing_is_read() {
        let mut polls = Polls::default();
        polls.rejects_record();
        assert_eq!(polls.problems(), ["bad_payload"]);
        polls.minute += 600;
        assert_eq!(polls.after(&[]), ["bad_payload"]);
        assert_eq!(polls.after(&[InProgress]), NOTHING);
    }

    #[test]
    fn clock_step_back_does_not_prolong_a_problem() {
        let mut polls = Polls { minute: 600, ..Polls::default() };
        polls.rejects_record();
        assert_eq!(polls.problems(), ["bad_payload"]);
        polls.minute = 100;
        assert_eq!(polls.after(&[Good]), ["bad_payload"]);
        polls.minute = 191;
        assert_eq!(polls.after(&[Good]), NOTHING);
    }
}
