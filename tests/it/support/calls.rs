//! Projects, and a mix of calls with every case that counting distinguishes.

use std::time::Duration;

use chrono::TimeDelta;
use polyai_domain::target::Region;
use polyai_simulator::{Call, Project, ReportedCounts};

use super::at;

/// A project without calls that is read with a key of its own.
pub(crate) fn project(name: &str) -> Project {
    Project::new(name, Region::Us1).with_key(&format!("key-of-{name}"))
}

/// A call of a minute that starts so long after the scenario's beginning.
pub(crate) fn call(id: &str, start: Duration) -> Call {
    Call::new(id).starting(at(start))
}

/// One call every `apart` from `first` to `last`, such that their order, starts and ends fall on no grid, among them:
/// handoffs with and without a reason, out-of-domain, silent and interrupted turns, other channels and none, no duration, no
/// latency, starts at the same moment, calls that are listed only after their end, minutes late or with their end late.
pub(crate) fn mixed_calls(first: Duration, last: Duration, apart: Duration) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut start = at(first);
    for n in 0u64.. {
        if start > at(last) {
            break;
        }
        calls.push(nth(n, "CA").starting(start));
        if n % 8 == 0 {
            calls.push(nth(n, "TWIN").starting(start).lasting(40));
        }
        start +=
            TimeDelta::from_std(apart).unwrap() + TimeDelta::milliseconds((n * 377 % 1000).cast_signed());
    }
    calls.into_iter().enumerate().map(|(n, call)| visible(n, call)).collect()
}

fn nth(n: u64, prefix: &str) -> Call {
    let mut call = Call::new(format!("{prefix}{n:04}"))
        .lasting_exactly(TimeDelta::milliseconds((4_000 + n * 37_321 % 240_000).cast_signed()))
        .turns(1 + (n % 7) as usize)
        .latency((0..n % 6).map(|turn| 0.3 + turn as f64 * 0.7 + n as f64 / 64.0));
    if n % 7 == 2 {
        call = call.ood(1);
    }
    if n % 6 == 1 {
        call = call.silences(2);
    }
    if n % 4 == 3 {
        call = call.barge_ins(1);
    }
    if n % 11 == 5 {
        call = call.reporting(ReportedCounts {
            num_turns: Some(9),
            num_ood: Some(2),
            ..ReportedCounts::default()
        });
    }
    call = match n % 10 {
        0 => call.handoff("billing_question", "Billing queue").agent_part(3),
        3 => call.handoff("", "Front desk"),
        6 => call.handoff("customer \"request\"", ""),
        _ => call,
    };
    match n % 9 {
        2 => call.channel("WEBCHAT"),
        5 => call.without_channel(),
        7 => call.reporting(ReportedCounts { no_duration: true, ..ReportedCounts::default() }),
        _ => call,
    }
}

fn visible(n: usize, call: Call) -> Call {
    let end = call.end().unwrap_or(call.start());
    match n % 13 {
        3 => call.hidden_while_running(),
        6 => call.visible_from(end + TimeDelta::minutes(3)),
        9 => call.finished_visible_from(end + TimeDelta::minutes(4)),
        11 => call.visible_from(end + TimeDelta::minutes(11)),
        _ => call,
    }
}

/// Calls that start at random, `per_second` on average over `span`, and last 30 s and exponentially distributed 90 s more.
pub(crate) fn random_calls(per_second: f64, span: Duration) -> Vec<Call> {
    let mut draws = (1u64..).map(|n| {
        let mixed = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 31).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed ^ mixed >> 29) >> 11) as f64 / (1u64 << 53) as f64).max(f64::MIN_POSITIVE)
    });
    let mut exponential = |mean: f64| -draws.next().unwrap().ln() * mean;
    let mut calls = Vec::new();
    let mut start = exponential(1.0 / per_second);
    while start < span.as_secs_f64() {
        let lasts = TimeDelta::from_std(Duration::from_secs_f64(30.0 + exponential(90.0))).unwrap();
        let call = Call::new(format!("CA{:05}", calls.len())).starting(at(Duration::from_secs_f64(start)));
        calls.push(call.lasting_exactly(lasts));
        start += exponential(1.0 / per_second);
    }
    calls
}
