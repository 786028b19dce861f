//! The evidence in the records for problems of a target's configuration at PolyAI.
//!
//! Each fetch of a poll brings evidence, and the poll is judged once, when it has ended:
//! - Without evidence nothing changes; a quiet night resolves nothing.
//! - A record that cannot be read, or that belongs to another environment, is a problem in any pass, because its conversation is
//!   not counted. Every recheck meets it again, and the problem should not come and go with them: it ends when no such record was
//!   met for 90 minutes while others were read.
//! - The other problems are settings of today. Old conversations, which rechecks bring, are no evidence for or against them.
//! - They are problems of a project and not of a single call. A poll shows one if every conversation that could show it does. It
//!   begins once three different ones have shown it in a row (or a single one, as long as none has shown
//!   otherwise), and ends with the first that shows otherwise. Each missing field is judged by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use polyai_domain::conversation::{
    Conversation, ConversationData, ConversationId, ConversationState, LatencyValues, MissingField,
    Transcript,
};
use polyai_domain::fetch::FetchedPages;
use polyai_domain::problem::Problem;
use polyai_domain::timestamp::Timestamp;

/// Longer than from one to the next of the first two rechecks, at their default ages.
const UNEXPECTED_CLEAR_AFTER: Duration = Duration::from_secs(90 * 60);
/// A caller who hangs up at once leaves a conversation that lacks much; so many in a row are no coincidence.
const MIN_CONSECUTIVE: usize = 3;

/// The data problems of one target, and the evidence of the current poll.
#[derive(Debug, Clone, Default)]
pub struct DataQuality {
    /// In the order of [`INDICATORS`].
    settings: [VendorSetting; INDICATORS.len()],
    /// In the order of [`MissingField::ALL`].
    fields: [VendorSetting; MissingField::ALL.len()],
    unreadable: UnexpectedRecords,
    foreign: UnexpectedRecords,
    /// Those from outside of the window that was asked for, which are counted.
    outside: UnexpectedRecords,
    has_read: bool,
}

/// The data problems of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataProblems {
    /// Their codes.
    pub problems: BTreeSet<Problem>,
    /// The fields that `partial_fields` is about.
    pub missing_fields: BTreeSet<MissingField>,
}

/// Records that no correct response holds: unreadable, of another environment, or from outside of the window.
#[derive(Debug, Clone, Default)]
struct UnexpectedRecords {
    /// When one was last met, as long as that is a problem.
    last: Option<Timestamp>,
    /// Whether the current poll has met one.
    met: bool,
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
    (Problem::TranscriptOff, |data| {
        let is_known = has_turns(data) && data.transcript != Transcript::Absent;
        is_known.then_some(data.transcript == Transcript::Hidden)
    }),
    (Problem::LatencyMissing, |data| {
        let is_visible = has_turns(data) && data.transcript == Transcript::Visible;
        is_visible.then_some(!has_latency(data))
    }),
    (Problem::LatencyUnit, |data| {
        has_latency(data).then_some(data.latency_values == LatencyValues::OtherUnit)
    }),
];

fn has_turns(data: &ConversationData) -> bool {
    data.turns.is_some_and(|turns| turns > 0)
}

/// Whether its record has latencies, if only withheld ones.
fn has_latency(data: &ConversationData) -> bool {
    data.greeting.is_some() || !data.replies.is_empty() || data.latency_values == LatencyValues::OtherUnit
}

impl DataQuality {
    /// Adds the evidence of a fetch of the current poll. `is_new` says of a start whether a pass that reads what is new has seen
    /// it, or only a recheck.
    pub fn observe(&mut self, fetched: &FetchedPages, is_new: impl Fn(Timestamp) -> bool) {
        self.has_read |= !fetched.conversations.is_empty();
        self.unreadable.met |= !fetched.rejected.is_empty();
        self.outside.met |= fetched.outside > 0;
        self.foreign.met |= !fetched.foreign.is_empty();
        for Conversation { id, data } in &fetched.conversations {
            if data.state == ConversationState::Finished && is_new(data.started_at) {
                for (setting, (_, indicator)) in self.settings.iter_mut().zip(INDICATORS) {
                    setting.observe(id, indicator(data));
                }
                for (setting, field) in self.fields.iter_mut().zip(MissingField::ALL) {
                    setting.observe(id, Some(data.lacks(field)));
                }
            }
        }
    }

    /// Judges the current poll, which has ended. Returns the problems from now on.
    pub fn finish_poll(&mut self, now: Timestamp) -> DataProblems {
        let has_read = std::mem::take(&mut self.has_read);
        let is_unreadable = self.unreadable.finish_poll(now, has_read);
        let is_outside = self.outside.finish_poll(now, has_read);
        let is_foreign = self.foreign.finish_poll(now, has_read);
        self.settings.iter_mut().chain(&mut self.fields).for_each(VendorSetting::finish_poll);
        let fields = self.fields.iter().zip(MissingField::ALL);
        let missing_fields: BTreeSet<_> =
            fields.filter(|(setting, _)| setting.active).map(|(_, field)| field).collect();
        let settings = self.settings.iter().zip(INDICATORS);
        let withheld = settings.filter(|(setting, _)| setting.active).map(|(_, (problem, _))| problem);
        let others = [
            (is_unreadable, Problem::BadPayload),
            (is_foreign, Problem::WrongEnvironment),
            (is_outside, Problem::WindowIgnored),
            (!missing_fields.is_empty(), Problem::PartialFields),
        ];
        let others = others.into_iter().filter(|(is_active, _)| *is_active).map(|(_, problem)| problem);
        DataProblems { problems: withheld.chain(others).collect(), missing_fields }
    }
}

impl UnexpectedRecords {
    /// Returns whether they are a problem from now on.
    fn finish_poll(&mut self, now: Timestamp, has_read: bool) -> bool {
        if std::mem::take(&mut self.met) {
            self.last = Some(now);
        } else if has_read {
            // A clock that was set back must not prolong the problem.
            let last = self.last.map(|last| last.min(now));
            self.last = last.filter(|&last| now.saturating_duration_since(last) < UNEXPECTED_CLEAR_AFTER);
        }
        self.last.is_some()
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
    use polyai_domain::conversation::{Amount, HandoffOutcome, RejectedKind, RejectedRecord, TurnLatency};
    use polyai_domain::fetch::RejectedRecords;

    use super::*;

    /// The content of a record.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Record {
        /// The fields of a restricted key alone.
        Bare,
        /// `handoff` is missing.
        NoHandoff,
        /// `total_duration` is missing.
        NoDuration,
        /// The transcript is withheld.
        Hidden,
        /// No turn has a latency.
        NoLatency,
        /// Latencies in milliseconds.
        Millis,
        Good,
        InProgress,
    }
    use Record::{Bare, Good, Hidden, InProgress, Millis, NoDuration, NoHandoff, NoLatency};

    fn start() -> Timestamp {
        Timestamp::parse("2026-08-20T09:15:02Z").unwrap()
    }

    fn conversation(number: usize, record: Record) -> Conversation {
        let latency = TurnLatency { latency: Amount::from_count(1), at: None };
        let is_bare = record == Bare;
        let data = ConversationData {
            started_at: start(),
            state: if record == InProgress {
                ConversationState::InProgress
            } else {
                ConversationState::Finished
            },
            channel: None,
            variant: None,
            duration: Some(Amount(0)).filter(|_| !is_bare && record != NoDuration),
            agent_duration: Some(Amount(0)).filter(|_| !is_bare),
            last_turn_at: None,
            turns: Some(4).filter(|_| !is_bare),
            ood_turns: Some(0).filter(|_| !is_bare),
            silence_turns: Some(0).filter(|_| !is_bare),
            barge_in_turns: 0,
            handoff: if is_bare || record == NoHandoff {
                HandoffOutcome::Unknown
            } else {
                HandoffOutcome::Contained
            },
            greeting: None,
            replies: if matches!(record, Good | NoHandoff | NoDuration) {
                [latency].into()
            } else {
                Box::default()
            },
            transcript: match record {
                Hidden => Transcript::Hidden,
                Bare => Transcript::Absent,
                NoHandoff | NoDuration | NoLatency | Millis | Good | InProgress => Transcript::Visible,
            },
            latency_values: if record == Millis {
                LatencyValues::OtherUnit
            } else {
                LatencyValues::Plausible
            },
        };
        Conversation { id: ConversationId::new(&format!("CA{number}")).unwrap(), data }
    }

    fn one_record() -> RejectedRecords {
        let mut records = RejectedRecords::default();
        records.extend(vec![RejectedRecord { id: None, kind: RejectedKind::BadId }]);
        records
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
        fn calls(&mut self, records: &[Record]) -> FetchedPages {
            let first = self.calls;
            self.calls += records.len();
            let conversations = (first..).zip(records).map(|(number, &record)| conversation(number, record));
            FetchedPages { conversations: conversations.collect(), ..FetchedPages::default() }
        }

        /// A fetch of a pass that reads what is new.
        fn reads(&mut self, records: &[Record]) {
            let seen = self.calls(records);
            self.quality.observe(&seen, |_| true);
        }

        fn rechecks(&mut self, records: &[Record]) {
            let seen = self.calls(records);
            self.quality.observe(&seen, |_| false);
        }

        fn rejects_record(&mut self) {
            self.quality
                .observe(&FetchedPages { rejected: one_record(), ..FetchedPages::default() }, |_| true);
        }

        /// A fetch whose only record belongs to another environment.
        fn meets_foreign(&mut self) {
            self.quality
                .observe(&FetchedPages { foreign: one_record(), ..FetchedPages::default() }, |_| true);
        }

        /// Ends the poll.
        fn found(&mut self) -> DataProblems {
            self.minute += 1;
            let now = start() + Duration::from_secs(60) * self.minute.try_into().unwrap();
            self.quality.finish_poll(now)
        }

        /// Ends the poll.
        fn problems(&mut self) -> Vec<&'static str> {
            self.found().problems.iter().map(|problem| problem.code()).collect()
        }

        fn missing_after(&mut self, records: &[Record]) -> Vec<&'static str> {
            self.reads(records);
            self.found().missing_fields.iter().map(|field| field.as_str()).collect()
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
        assert_eq!(Polls::default().after(&[Bare, Bare]), ["partial_fields"]);
        assert_eq!(Polls::default().after(&[Millis, Millis]), ["latency_unit"]);
        assert_eq!(Polls::default().after(&[Millis, Good]), NOTHING);
        assert_eq!(Polls::default().after(&[Millis, NoLatency]), ["latency_unit"]);
    }

    #[test]
    fn one_missing_field_is_named_beside_the_others() {
        assert_eq!(Polls::default().missing_after(&[NoHandoff, NoHandoff]), ["handoff"]);
        assert_eq!(Polls::default().missing_after(&[NoHandoff, Good]), NOTHING);
        let all = MissingField::ALL.map(MissingField::as_str);
        assert_eq!(Polls::default().missing_after(&[Bare, Bare]), all);
        let mut polls = Polls::default();
        // A field that some conversations have is not withheld by a setting; one that none has is.
        assert_eq!(polls.missing_after(&[Bare, NoHandoff, NoHandoff]), ["handoff"]);
        assert_eq!(polls.missing_after(&[NoDuration]), NOTHING);
        assert_eq!(polls.missing_after(&[NoDuration]), NOTHING);
        assert_eq!(polls.missing_after(&[NoDuration]), ["total_duration"]);
        assert_eq!(polls.missing_after(&[]), ["total_duration"]);
        assert_eq!(polls.missing_after(&[NoHandoff]), NOTHING);
    }

    #[test]
    fn foreign_record_is_a_problem_until_none_is_met() {
        let mut polls = Polls::default();
        polls.meets_foreign();
        assert_eq!(polls.problems(), ["wrong_environment"]);
        polls.minute += 600;
        assert_eq!(polls.after(&[]), ["wrong_environment"]);
        assert_eq!(polls.after(&[Good]), NOTHING);
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
            polls.quality.observe(&one, |_| true);
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
