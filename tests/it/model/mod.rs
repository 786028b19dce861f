//! The model test of the counting core: true histories, an adversary, and a plain recount.
//!
//! A seed makes up calls and what becomes of them. An adversary decides when each is seen, in which state and order, which
//! requests fail, when the disk is full, when the process is killed and what the disk has kept by then. Afterwards nothing
//! more goes wrong, and when the last recheck has passed, the counters must equal a recount of the truth.
//!
//! `POLYAI_MODEL_HISTORIES=1000000 cargo test --test it model` runs that many per test instead of the default;
//! `POLYAI_MODEL_SEED=123` runs a single one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says so by failing")]

mod chance;
mod commits;
mod disk;
mod exemplars;
mod instance;
mod invariants;
mod patience;
mod plan;
mod recount;
mod reloads;
mod service;
mod settings;
mod story;
mod world;

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;

use chance::Chance;
use instance::Instance;
use plan::{HOUR, Kind, MINUTE, Plan, SECOND};
use polyai_exporter::ledger::LedgerEntry;
use recount::{Counts, Since};
use story::Story;
use world::Call;

#[test]
fn whatever_happens_the_counters_equal_a_plain_recount() {
    histories(Kind::Adverse, 250);
}

#[test]
fn instances_with_one_anchor_and_different_fates_arrive_at_the_same_numbers() {
    histories(Kind::Replicas, 80);
}

#[test]
fn a_listed_conversation_is_downloaded_once_and_once_per_recheck_and_an_idle_target_costs_two_requests() {
    histories(Kind::Calm, 50);
}

fn histories(kind: Kind, by_default: u64) {
    let from_environment = |name: &str| -> Option<u64> {
        #[expect(clippy::disallowed_methods, reason = "how much is tested is asked for from outside")]
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, expected a whole number")))
    };
    let seeds = match from_environment("POLYAI_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_environment("POLYAI_MODEL_HISTORIES").unwrap_or(by_default),
    };
    for seed in seeds {
        if run(kind, seed, &Story::default()).is_err() {
            let story = Story::told();
            let report = run(kind, seed, &story).expect_err("a history runs twice alike");
            panic!("\n{kind:?} history; run it alone with POLYAI_MODEL_SEED={seed}\n{report}");
        }
    }
}

/// One history. The error tells what is wrong and, if `story` is told, how it came to that.
fn run(kind: Kind, seed: u64, story: &Story) -> Result<(), String> {
    let mut chance = Chance::new(seed);
    let plan = Plan::new(kind, &mut chance);
    let calls: Vec<Vec<Call>> = (0..plan.targets).map(|_| world::calls(&plan, &mut chance)).collect();
    let outcome =
        std::panic::catch_unwind(AssertUnwindSafe(|| live_through(&plan, &calls, &mut chance, story)));
    let wrong = match outcome {
        Ok(wrong) if wrong.is_empty() => return Ok(()),
        Ok(wrong) => wrong,
        Err(panicked) => {
            let text = panicked.downcast_ref::<String>().cloned();
            vec![Wrong { what: text.unwrap_or_else(|| "an invariant".into()), whom: every_call(&calls) }]
        }
    };
    let mut report = format!("{plan:?}\n");
    let mut told = std::collections::BTreeSet::new();
    for Wrong { what, whom } in wrong {
        writeln!(report, "{what}").unwrap();
        for (target, number) in whom {
            if told.len() < 3 && told.insert((target, number)) {
                report.push_str(&story.of(&plan, target, number, &calls[target][number]));
            }
        }
    }
    Err(report)
}

/// What is wrong, and which calls may tell why.
struct Wrong {
    what: String,
    whom: Vec<(usize, usize)>,
}

fn every_call(calls: &[Vec<Call>]) -> Vec<(usize, usize)> {
    let of = |(target, calls): (usize, &Vec<Call>)| (0..calls.len()).map(move |number| (target, number));
    calls.iter().enumerate().flat_map(of).collect()
}

fn live_through(plan: &Plan, calls: &[Vec<Call>], chance: &mut Chance, story: &Story) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut first: Option<Instance<'_>> = None;
    let number = if plan.kind == Kind::Replicas { 2 } else { 1 };
    for n in 0..number {
        story.happens(plan.start, || format!("instance {n}"));
        let mut instance = Instance::new(plan, calls, chance.fork(), story.clone());
        let mut schedule = chance.fork();
        if n > 0 {
            instance.now += schedule.between(0, plan.span / 2);
        }
        in_adversity(plan, &mut instance, &mut schedule);
        in_calm(plan, calls, &mut instance);
        wrong.extend(recounted(plan, calls, &mut instance));
        if wrong.is_empty() && plan.kind != Kind::Calm && schedule.percent(30) {
            wrong.extend(what_is_left(plan, calls, &mut instance));
        }
        if plan.kind == Kind::Calm {
            wrong.extend(costs(plan, calls, &mut instance));
        }
        match &first {
            None => first = Some(instance),
            Some(_) if !wrong.is_empty() => {}
            Some(first) => {
                for (target, (one, other)) in first.shown.iter().zip(&instance.shown).enumerate() {
                    let since = instance.since(target);
                    let since =
                        Since { calm_from: since.calm_from.max(first.since(target).calm_from), ..since };
                    let certain = |call: &Call| recount::counts(plan, call, since) != Counts::Perhaps;
                    if plan.max_label_values >= 50 && calls[target].iter().all(certain) {
                        let ends = |call: &Call| {
                            call.contents.iter().all(|content| recount::own_end(call, content).is_some())
                        };
                        let exact = exemplars::slack(plan) == 0 && calls[target].iter().all(ends);
                        invariants::replicas_agree(one, other, target, exact);
                    }
                }
            }
        }
    }
    wrong
}

/// Ticks as they come while anything may happen.
fn in_adversity(plan: &Plan, instance: &mut Instance<'_>, schedule: &mut Chance) {
    let mut ticks: i64 = 0;
    let steps_back_at = if plan.steps_back { schedule.between(1, 40) } else { i64::MAX - 4 };
    let steps_ahead_at = if plan.steps_ahead { schedule.between(2, 40) } else { i64::MAX - 4 };
    while instance.now < plan.end() {
        ticks += 1;
        let is_stepped = |from: i64| (from..from + 4).contains(&ticks);
        let step = match (is_stepped(steps_back_at), is_stepped(steps_ahead_at)) {
            (true, _) => -HOUR,
            (false, true) => 72 * HOUR,
            (false, false) => 0,
        };
        let began = instance.now;
        instance.poll_all(step);
        if plan.kind == Kind::Calm {
            (0..plan.targets).for_each(|target| instance.nothing_counts_too_late(target, began));
        }
        let rest = plan.end() - instance.now;
        instance.now += match schedule.below(100) {
            _ if plan.kind == Kind::Calm => plan.interval,
            _ if ticks > 60 => rest / 8 + plan.interval,
            0..75 => schedule.between(plan.interval / 2, plan.interval * 3 / 2),
            75..85 => schedule.between(plan.interval, plan.interval * 5),
            85..95 => schedule.between(plan.interval, plan.last_age() / 4),
            _ => {
                if instance.kills() > 0 {
                    instance.kill();
                }
                schedule.between(plan.interval, plan.last_age())
            }
        };
    }
}

/// Ticks without adversity, until every call shows its last face and the last recheck has passed over it.
fn in_calm(plan: &Plan, calls: &[Vec<Call>], instance: &mut Instance<'_>) {
    instance.calm_down();
    let all = || calls.iter().flatten();
    let rest = all().map(Call::rests_from).max().unwrap();
    let newest = all().map(|call| call.start).max().unwrap();
    let last = plan.last_age();
    // A conversation that hides is asked for every ten minutes at least.
    let found = rest + 11 * MINUTE;
    for until in [rest, found.max(newest + last * 12 / 10) + plan.interval] {
        let step = ((until - instance.now) / 15).max(plan.interval);
        while instance.now <= until {
            instance.poll_all(0);
            instance.now += step.min(last / 12).max(plan.interval);
        }
    }
    for _ in 0..3 {
        instance.poll_all(0);
        instance.now += plan.settle.max(plan.interval) + 3 * SECOND;
    }
    instance.poll_all(0);
}

fn recounted(plan: &Plan, calls: &[Vec<Call>], instance: &mut Instance<'_>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for (target, calls) in calls.iter().enumerate() {
        let since = instance.since(target);
        let shown = &instance.shown[target];
        let mut what = recount::differences(plan, calls, since, shown);
        what.extend(exemplars::differences(plan, calls, since, shown));
        if what.is_empty() {
            continue;
        }
        let times = |number| instance.counted[target].get(&number).copied().unwrap_or(0);
        let is_wrong = |number: usize, call: &Call| match recount::counts(plan, call, since) {
            Counts::Yes => times(number) != 1,
            Counts::Perhaps => times(number) > 1,
            Counts::No => times(number) > 0,
        };
        let (amiss, fine): (Vec<usize>, Vec<usize>) =
            (0..calls.len()).partition(|&number| is_wrong(number, &calls[number]));
        let whom = amiss.into_iter().chain(fine).map(|number| (target, number)).collect();
        wrong.push(Wrong { what: format!("target {target}, {since:?}:\n{}", what.join("\n")), whom });
    }
    wrong
}

/// The ledger is bounded, and a restart on it shows and counts the same.
fn what_is_left(plan: &Plan, calls: &[Vec<Call>], instance: &mut Instance<'_>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let shown = instance.shown.clone();
    instance.prune().expect("nobody kills it any more");
    // The last recheck is at most a step of a tenth and a few ticks behind, and keeps rows of its own age.
    let kept_from =
        instance.now - plan.last_age() * 23 / 10 - plan.interval * 4 - plan.settle * 4 - 60 * SECOND;
    for (target, calls) in calls.iter().enumerate() {
        let rows = instance.rows(target);
        // Where nothing counts any more, the last rows stay: two last ages of them.
        let newest = rows.values().map(|row| row.started_at().millis()).max().unwrap_or(i64::MAX);
        let kept_from = kept_from.min(newest.saturating_sub(2 * plan.last_age()));
        for (id, row) in rows {
            if !matches!(row, LedgerEntry::Counted(_)) || row.started_at().millis() < kept_from {
                let whom = (0..calls.len()).filter(|&number| calls[number].id == id);
                let whom = whom.map(|number| (target, number)).collect();
                wrong
                    .push(Wrong { what: format!("the ledger of target {target} keeps {id}: {row:?}"), whom });
            }
        }
    }
    instance.poll_all(0);
    for (before, now) in shown.iter().zip(&instance.shown) {
        invariants::counters_are_equal(before, now, "a restart changes");
    }
    wrong
}

fn costs(plan: &Plan, calls: &[Vec<Call>], instance: &mut Instance<'_>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for (target, deliveries) in instance.deliveries.iter().enumerate() {
        for (number, &times) in deliveries.iter().enumerate() {
            if times > 1 + plan.ages.len() {
                let what = format!("{} is downloaded {times} times", calls[target][number].id);
                wrong.push(Wrong { what, whom: vec![(target, number)] });
            }
        }
    }
    // What is known of the past is known by five minutes; then each recheck may have to come into step once.
    instance.now += 15 * MINUTE;
    let mut too_many = Vec::new();
    for _ in 0..40 {
        let fetches = instance.poll_all(0);
        instance.now += plan.interval;
        if fetches > 2 * calls.len() {
            too_many.push(fetches);
        }
    }
    if too_many.len() > plan.ages.len() * calls.len() {
        let what = format!("{too_many:?} requests per tick for {} idle targets", calls.len());
        wrong.push(Wrong { what, whom: Vec::new() });
    }
    wrong
}
