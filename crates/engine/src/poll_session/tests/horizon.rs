//! No pass reads what the ledger may have pruned, despite outages and clock steps.

use proptest::prelude::*;

use super::*;

impl Harness {
    /// The start before which the ledger may prune now.
    fn horizon(&self) -> Option<Timestamp> {
        let marks = self.session.planner.watermarks()?;
        let reached =
            |call: &&Call| at(call.start) <= marks.fresh && self.seen_finished.contains_key(&call.id);
        let newest = self.calls.iter().rev().find(reached)?;
        Some(marks.prune_before(at(newest.start)))
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Poll,
    Outage(i64),
    ClockAhead(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Poll),
        2 => (60..DAY * 2).prop_map(Step::Outage),
        1 => (60..DAY * 5).prop_map(Step::ClockAhead),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_pass_reads_behind_the_prune_horizon(steps in prop::collection::vec(any_step(), 1..40)) {
        let mut harness = Harness::new(steady_calls(-2 * DAY, 20 * DAY, 20 * MINUTE));
        let mut pruned: Option<Timestamp> = None;
        let mut now = 0;
        for step in steps {
            now += INTERVAL;
            match step {
                Step::Poll => drop(harness.poll(now)),
                Step::Outage(length) => {
                    now += length;
                    harness.poll(now);
                }
                Step::ClockAhead(by) => drop(harness.poll_with_clock(now + by, now)),
            }
            for (_, plan) in std::mem::take(&mut harness.fetches) {
                if let (PassKind::Range(_), Some(from), Some(pruned)) =
                    (&plan.pass, plan.window.from, pruned)
                {
                    prop_assert!(from >= pruned, "{} behind {}", line(&plan), seconds(pruned));
                }
            }
            pruned = pruned.max(harness.horizon());
        }
    }
}
