//! The model test: random histories of calls and faults, polled by the daemon's sessions, against a plain recount.
//!
//! A seed generates calls and their records over time. It decides when each is seen, in which state and order, which requests
//! fail, when the disk is full, and when the process is killed and what the disk has kept by then. In the end nothing fails any
//! more, and after the last recheck the counters must equal a recount of the calls.
//!
//! `POLYAI_MODEL_HISTORIES=1000000 cargo test --test it model` runs that many histories per test instead of the default;
//! `POLYAI_MODEL_SEED=123` runs a single one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says so by failing")]

mod calls;
mod commits;
mod disk;
mod exemplars;
mod fake_api;
mod instance;
mod invariants;
mod recount;
mod reloads;
mod rng;
mod scenario;
mod settings;
mod settle_bounds;
mod trace;

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use calls::Call;
use instance::Instance;
use polyai_engine::aggregate::TargetSeries;
use polyai_engine::ledger::LedgerEntry;
use recount::{CountingPeriod, Counts};
use rng::Rng;
use scenario::{HOUR, Kind, MINUTE, SECOND, Scenario};
use trace::Trace;

#[test]
fn counters_equal_recount_in_adverse_histories() {
    histories(Kind::Adverse, 250);
}

#[test]
fn replicas_with_one_anchor_agree() {
    histories(Kind::Replicas, 80);
}

#[test]
fn calm_target_downloads_once_per_age() {
    histories(Kind::Calm, 50);
}

fn histories(kind: Kind, by_default: u64) {
    let from_environment = |name: &str| -> Option<u64> {
        #[expect(clippy::disallowed_methods, reason = "the number of histories is set by the environment")]
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, expected a whole number")))
    };
    let seeds = match from_environment("POLYAI_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_environment("POLYAI_MODEL_HISTORIES").unwrap_or(by_default),
    };
    for seed in seeds {
        if run(kind, seed, &Trace::default()).is_err() {
            let trace = Trace::recording();
            let report = run(kind, seed, &trace).expect_err("a history runs twice alike");
            panic!("\n{kind:?} history; run it alone with POLYAI_MODEL_SEED={seed}\n{report}");
        }
    }
}

/// Runs one history. The error says what is wrong and, if `trace` records, how that came about.
fn run(kind: Kind, seed: u64, trace: &Trace) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let scenario = Scenario::new(kind, &mut rng);
    let calls: Vec<Vec<Call>> = (0..scenario.targets).map(|_| calls::calls(&scenario, &mut rng)).collect();
    let outcome =
        std::panic::catch_unwind(AssertUnwindSafe(|| run_history(&scenario, &calls, &mut rng, trace)));
    let wrong = match outcome {
        Ok(wrong) if wrong.is_empty() => return Ok(()),
        Ok(wrong) => wrong,
        Err(panicked) => {
            let text = panicked.downcast_ref::<String>().cloned();
            vec![Violation {
                what: text.unwrap_or_else(|| "an invariant".into()),
                concerned: every_call(&calls),
            }]
        }
    };
    let mut report = format!("{scenario:?}\n");
    let mut described = std::collections::BTreeSet::new();
    for Violation { what, concerned } in wrong {
        writeln!(report, "{what}").unwrap();
        for (target, number) in concerned {
            if described.len() < 3 && described.insert((target, number)) {
                report.push_str(&trace.describe(&scenario, target, number, &calls[target][number]));
            }
        }
    }
    Err(report)
}

/// A violated invariant, and the calls that may explain it.
struct Violation {
    what: String,
    concerned: Vec<(usize, usize)>,
}

fn every_call(calls: &[Vec<Call>]) -> Vec<(usize, usize)> {
    let of = |(target, calls): (usize, &Vec<Call>)| (0..calls.len()).map(move |number| (target, number));
    calls.iter().enumerate().flat_map(of).collect()
}

fn run_history(scenario: &Scenario, calls: &[Vec<Call>], rng: &mut Rng, trace: &Trace) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let mut first: Option<Instance<'_>> = None;
    let number = if scenario.kind == Kind::Replicas { 2 } else { 1 };
    for n in 0..number {
        trace.event(scenario.start, || format!("instance {n}"));
        let mut instance = Instance::new(scenario, calls, rng.fork(), trace.clone());
        let mut schedule = rng.fork();
        if n > 0 {
            instance.now += schedule.between(0, scenario.span / 2);
        }
        run_adverse_phase(scenario, &mut instance, &mut schedule);
        run_calm_phase(scenario, calls, &mut instance);
        wrong.extend(recount_violations(scenario, calls, &mut instance));
        if wrong.is_empty() && scenario.kind != Kind::Calm && schedule.percent(30) {
            wrong.extend(restart_violations(scenario, calls, &mut instance));
        }
        if scenario.kind == Kind::Calm {
            wrong.extend(cost_violations(scenario, calls, &mut instance));
        }
        match &first {
            None => first = Some(instance),
            Some(_) if !wrong.is_empty() => {}
            Some(first) => {
                for (target, (one, other)) in first.shown.iter().zip(&instance.shown).enumerate() {
                    let since = instance.counting_period(target);
                    let since = CountingPeriod {
                        calm_from: since.calm_from.max(first.counting_period(target).calm_from),
                        ..since
                    };
                    let certain = |call: &Call| recount::counts(scenario, call, since) != Counts::Perhaps;
                    if scenario.max_label_values >= 50 && calls[target].iter().all(certain) {
                        let exact = exemplars::slack(scenario) == 0 && has_ends(&calls[target]);
                        invariants::replicas_agree(one, other, target, exact);
                    }
                }
                if schedule.percent(40) {
                    states_are_rebuilt_alike(scenario, calls, &instance, &mut schedule);
                }
            }
        }
    }
    wrong
}

/// Instances whose state was lost read what is at rest. The first sample of each is the whole total, and they agree on all
/// values and start timestamps, whatever their schedules are.
fn states_are_rebuilt_alike(
    scenario: &Scenario,
    calls: &[Vec<Call>],
    before: &Instance<'_>,
    schedule: &mut Rng,
) {
    let rebuilt = [(); 2].map(|()| {
        let mut instance = Instance::new(scenario, calls, schedule.fork(), before.trace.clone());
        instance.trace.event(before.now, || "the state is lost".into());
        instance.calm_down();
        instance.now = before.now + schedule.between(0, scenario.interval * 10);
        let mut first_samples: Vec<Option<Arc<TargetSeries>>> = vec![None; calls.len()];
        for _ in 0..40 {
            instance.poll_all(0);
            for (first, shown) in first_samples.iter_mut().zip(&instance.shown) {
                if first.is_none() && invariants::is_exposed(shown) {
                    *first = Some(shown.clone());
                }
            }
            instance.now += schedule.between(scenario.interval / 2, scenario.interval * 2);
        }
        for (target, (first, last)) in first_samples.iter().zip(&instance.shown).enumerate() {
            let first = first.as_ref().expect("a target without failures is exposed after some polls");
            let what = "the first sample is not the whole total";
            invariants::rebuilt_agree(first, last, has_ends(&calls[target]), what);
        }
        instance
    });
    for (target, (one, other)) in rebuilt[0].shown.iter().zip(&rebuilt[1].shown).enumerate() {
        invariants::rebuilt_agree(one, other, has_ends(&calls[target]), "rebuilt states differ");
    }
}

/// Whether every record says when its call ended.
fn has_ends(calls: &[Call]) -> bool {
    let ends = |call: &Call| call.contents.iter().all(|content| recount::own_end(call, content).is_some());
    calls.iter().all(ends)
}

/// Polls while anything may fail.
fn run_adverse_phase(scenario: &Scenario, instance: &mut Instance<'_>, schedule: &mut Rng) {
    let mut ticks: i64 = 0;
    let steps_back_at = if scenario.steps_back { schedule.between(1, 40) } else { i64::MAX - 4 };
    let steps_ahead_at = if scenario.steps_ahead { schedule.between(2, 40) } else { i64::MAX - 4 };
    while instance.now < scenario.end() {
        ticks += 1;
        let is_stepped = |from: i64| (from..from + 4).contains(&ticks);
        let step = match (is_stepped(steps_back_at), is_stepped(steps_ahead_at)) {
            (true, _) => -HOUR,
            (false, true) => 72 * HOUR,
            (false, false) => 0,
        };
        let began = instance.now;
        instance.poll_all(step);
        if scenario.kind == Kind::Calm {
            (0..scenario.targets).for_each(|target| instance.assert_none_counts_late(target, began));
        }
        let rest = scenario.end() - instance.now;
        instance.now += match schedule.below(100) {
            _ if scenario.kind == Kind::Calm => scenario.interval,
            _ if ticks > 60 => rest / 8 + scenario.interval,
            0..75 => schedule.between(scenario.interval / 2, scenario.interval * 3 / 2),
            75..85 => schedule.between(scenario.interval, scenario.interval * 5),
            85..95 => schedule.between(scenario.interval, scenario.last_age() / 4),
            _ => {
                if instance.kills() > 0 {
                    instance.kill();
                }
                schedule.between(scenario.interval, scenario.last_age())
            }
        };
    }
}

/// Polls without faults, until the last recheck has read the last state of every call.
fn run_calm_phase(scenario: &Scenario, calls: &[Vec<Call>], instance: &mut Instance<'_>) {
    instance.calm_down();
    let all = || calls.iter().flatten();
    let rest = all().map(Call::final_from).max().unwrap();
    let newest = all().map(|call| call.start).max().unwrap();
    let last = scenario.last_age();
    // A missing conversation is refetched every ten minutes at least.
    let found = rest + 11 * MINUTE;
    for until in [rest, found.max(newest + last * 12 / 10) + scenario.interval] {
        let step = ((until - instance.now) / 15).max(scenario.interval);
        while instance.now <= until {
            instance.poll_all(0);
            instance.now += step.min(last / 12).max(scenario.interval);
        }
    }
    for _ in 0..3 {
        instance.poll_all(0);
        instance.now += scenario.settle.max(scenario.interval) + 3 * SECOND;
    }
    instance.poll_all(0);
}

fn recount_violations(
    scenario: &Scenario,
    calls: &[Vec<Call>],
    instance: &mut Instance<'_>,
) -> Vec<Violation> {
    let mut wrong = Vec::new();
    for (target, calls) in calls.iter().enumerate() {
        let since = instance.counting_period(target);
        let shown = &instance.shown[target];
        let mut what = recount::differences(scenario, calls, since, shown);
        what.extend(exemplars::differences(scenario, calls, since, shown));
        if what.is_empty() {
            continue;
        }
        let times = |number| instance.counted[target].get(&number).copied().unwrap_or(0);
        let is_wrong = |number: usize, call: &Call| match recount::counts(scenario, call, since) {
            Counts::Yes => times(number) != 1,
            Counts::Perhaps => times(number) > 1,
            Counts::No => times(number) > 0,
        };
        let (amiss, fine): (Vec<usize>, Vec<usize>) =
            (0..calls.len()).partition(|&number| is_wrong(number, &calls[number]));
        let concerned = amiss.into_iter().chain(fine).map(|number| (target, number)).collect();
        wrong
            .push(Violation { what: format!("target {target}, {since:?}:\n{}", what.join("\n")), concerned });
    }
    wrong
}

/// The ledger is bounded, and a restart with it shows and counts the same.
fn restart_violations(
    scenario: &Scenario,
    calls: &[Vec<Call>],
    instance: &mut Instance<'_>,
) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let shown = instance.shown.clone();
    instance.prune().expect("nobody kills it any more");
    // The last recheck is at most a step of a tenth and a few polls behind, and keeps entries of its own age.
    let kept_from = instance.now
        - scenario.last_age() * 23 / 10
        - scenario.interval * 4
        - scenario.settle * 4
        - 60 * SECOND;
    for (target, calls) in calls.iter().enumerate() {
        let rows = instance.rows(target);
        // Where nothing counts any more, the last entries stay, over twice the last age.
        let newest = rows.values().map(|row| row.started_at().millis()).max().unwrap_or(i64::MAX);
        let kept_from = kept_from.min(newest.saturating_sub(2 * scenario.last_age()));
        for (id, row) in rows {
            if !matches!(row, LedgerEntry::Counted(_)) || row.started_at().millis() < kept_from {
                let concerned = (0..calls.len()).filter(|&number| calls[number].id == id);
                let concerned = concerned.map(|number| (target, number)).collect();
                wrong.push(Violation {
                    what: format!("the ledger of target {target} keeps {id}: {row:?}"),
                    concerned,
                });
            }
        }
    }
    instance.poll_all(0);
    for (before, now) in shown.iter().zip(&instance.shown) {
        invariants::counters_are_equal(before, now, "a restart changes");
    }
    wrong
}

fn cost_violations(scenario: &Scenario, calls: &[Vec<Call>], instance: &mut Instance<'_>) -> Vec<Violation> {
    let mut wrong = Vec::new();
    for (target, deliveries) in instance.deliveries.iter().enumerate() {
        let due = 1 + scenario.ages.len();
        let often = (0..deliveries.len()).filter(|&number| deliveries[number] > due);
        let often: Vec<(usize, usize)> = often.map(|number| (target, number)).collect();
        let repeated: usize = often.iter().map(|&(_, number)| deliveries[number] - due).sum();
        if repeated > deliveries.len() / 6 {
            let what = format!("{repeated} downloads of {} calls are repeated", deliveries.len());
            wrong.push(Violation { what, concerned: often });
        }
    }
    // Known starts are remembered in buckets of five minutes. After that each recheck may need one request of its own once.
    instance.now += 15 * MINUTE;
    let mut too_many = Vec::new();
    for _ in 0..40 {
        let fetches = instance.poll_all(0);
        instance.now += scenario.interval;
        if fetches > 2 * calls.len() {
            too_many.push(fetches);
        }
    }
    if too_many.len() > scenario.ages.len() * calls.len() {
        let what = format!("{too_many:?} requests per tick for {} idle targets", calls.len());
        wrong.push(Violation { what, concerned: Vec::new() });
    }
    wrong
}
