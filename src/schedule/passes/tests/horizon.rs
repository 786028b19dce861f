//! What the ledger forgets is never asked for again, whatever pauses the polls make and whatever the clock says.

use proptest::prelude::*;

use super::*;

impl Watch {
    /// Before which start the ledger may forget now.
    fn horizon(&self) -> Option<Timestamp> {
        let marks = self.passes.marks.as_ref()?;
        let reached =
            |call: &&Call| at(call.start) <= marks.fresh && self.seen_finished.contains_key(&call.id);
        let newest = self.calls.iter().rev().find(reached)?;
        Some(marks.prune_before(at(newest.start)))
    }
}

#[derive(Debug, Clone, Copy)]
enum Happening {
    Poll,
    Outage(i64),
    ClockAhead(i64),
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => Just(Happening::Poll),
        2 => (60..DAY * 2).prop_map(Happening::Outage),
        1 => (60..DAY * 5).prop_map(Happening::ClockAhead),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_pass_ever_reads_behind_the_horizon(happenings in prop::collection::vec(any_happening(), 1..40)) {
        let mut watch = Watch::over(steady_calls(-2 * DAY, 20 * DAY, 20 * MINUTE));
        let mut forgotten: Option<Timestamp> = None;
        let mut now = 0;
        for happening in happenings {
            now += INTERVAL;
            match happening {
                Happening::Poll => watch.tick(now),
                Happening::Outage(length) => {
                    now += length;
                    watch.tick(now);
                }
                Happening::ClockAhead(by) => watch.tick_under(now + by, now),
            }
            for (_, walk) in std::mem::take(&mut watch.asked) {
                if let (PassKind::Stretch(_), Some(from), Some(forgotten)) =
                    (&walk.purpose, walk.window.from, forgotten)
                {
                    prop_assert!(from >= forgotten, "{} behind {}", line(&walk), seconds(forgotten));
                }
            }
            forgotten = forgotten.max(watch.horizon());
        }
    }
}
