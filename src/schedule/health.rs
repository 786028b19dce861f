//! What the records themselves tell about a target's configuration on the vendor's side.
//!
//! Owns: the data problems, from the finished conversations of a walk. They change only when there is something to judge by.
//! Pure.

use std::collections::BTreeSet;

use crate::conversation::{Conversation, Phase, Transcript};
use crate::problem::Problem;

/// The data problems of one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    problems: BTreeSet<Problem>,
}

impl Health {
    /// Judges by what a walk saw.
    pub fn judge(&mut self, seen: &[Conversation], rejected: usize) {
        let finished = seen
            .iter()
            .map(|conversation| &conversation.facts)
            .filter(|facts| facts.phase == Phase::Finished);
        let finished: Vec<_> = finished.collect();
        if !seen.is_empty() || rejected > 0 {
            self.set(Problem::BadPayload, rejected > 0);
        }
        self.all_of(Problem::PartialFields, finished.iter().map(|facts| !facts.complete));
        let with_turns = finished.iter().filter(|facts| facts.turns.is_some_and(|turns| turns > 0));
        self.all_of(
            Problem::TranscriptOff,
            with_turns.clone().map(|facts| facts.transcript == Transcript::Hidden),
        );
        let shown = with_turns.filter(|facts| facts.transcript == Transcript::Shown);
        self.all_of(
            Problem::LatencyMissing,
            shown.map(|facts| facts.greeting.is_none() && facts.replies.is_empty()),
        );
    }

    /// The problems now.
    pub fn problems(&self) -> &BTreeSet<Problem> {
        &self.problems
    }

    /// A project has such a problem when every conversation that could show it does.
    fn all_of(&mut self, problem: Problem, mut signs: impl Iterator<Item = bool>) {
        if let Some(first) = signs.next() {
            self.set(problem, first && signs.all(|sign| sign));
        }
    }

    fn set(&mut self, problem: Problem, is_there: bool) {
        if is_there {
            self.problems.insert(problem);
        } else {
            self.problems.remove(&problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::page::Page;

    fn seen(records: &[&str]) -> Vec<Conversation> {
        let records: Vec<String> = records
            .iter()
            .enumerate()
            .map(|(n, fields)| format!(r#"{{"id":"CA{n}","started_at":"2026-08-20T09:15:02Z"{fields}}}"#))
            .collect();
        Page::read(format!("[{}]", records.join(",")).as_bytes()).unwrap().conversations
    }

    fn problems(records: &[&str]) -> Vec<&'static str> {
        let mut health = Health::default();
        health.judge(&seen(records), 0);
        health.problems().iter().map(|problem| problem.code()).collect()
    }

    const HIDDEN: &str = r#","in_progress":false,"num_turns":4,"turns":[]"#;
    const SILENT: &str = r#","in_progress":false,"num_turns":1,"turns":[{"user_input":"hi"}]"#;
    const GOOD: &str = r#","in_progress":false,"num_turns":1,"turns":[{"user_input":"hi","latency":1.5}]"#;

    #[test]
    fn a_problem_is_one_of_the_project_and_not_of_a_single_call() {
        assert_eq!(problems(&[HIDDEN, HIDDEN]), ["transcript_off"]);
        assert_eq!(problems(&[HIDDEN, GOOD]), Vec::<&str>::new());
        assert_eq!(problems(&[SILENT, SILENT]), ["latency_missing"]);
        assert_eq!(problems(&[SILENT, GOOD]), Vec::<&str>::new());
        assert_eq!(problems(&["", ""]), ["partial_fields"]);
    }

    #[test]
    fn without_anything_to_judge_by_it_stays() {
        let mut health = Health::default();
        health.judge(&seen(&[HIDDEN]), 0);
        health.judge(&[], 0);
        assert!(health.problems().contains(&Problem::TranscriptOff));
        health.judge(&seen(&[GOOD]), 0);
        assert!(health.problems().is_empty());
    }
}
