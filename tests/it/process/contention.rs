//! Seeded traffic for three projects, with every case that makes counting hard.
//!
//! Some calls are already over, some end during the test; some end times arrive late, some calls are hidden while they run, and some
//! are listed late or amended.

use chrono::{DateTime, TimeDelta, Utc};
use polyai_domain::target::Region;
use polyai_simulator::{
    Call, LastCursor, LatencyShape, Order, Project, ReportedCounts, TimestampFormat, Turn,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const CHANNELS: [&str; 3] = ["VOICE-SIP", "WEBCHAT", "CHAT"];
const HANDOFFS: [(&str, &str); 4] =
    [("large_party", "Events"), ("customer_request", "Desk"), ("", "Desk"), ("payment_dispute", "")];

/// Until this many milliseconds after the beginning, calls may go unseen.
const EARLY: i64 = 2_000;

/// When calls happen, relative to the start of the test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    /// The moment.
    pub(super) now: DateTime<Utc>,
    /// Calls per project that are over by then; they began at most ten minutes before.
    pub(super) before: usize,
    /// Calls per project that end afterwards.
    pub(super) after: usize,
    /// How long afterwards, in seconds.
    pub(super) lasting: i64,
}

/// Three projects in dialects of their own; the last does not list running calls.
pub(super) fn projects(seed: u64, traffic: Traffic) -> Vec<Project> {
    let projects = [
        Project::new("reservations", Region::Us1),
        Project::new("billing", Region::Uk1).with_quirks(|quirks| {
            quirks.order = Order::Shuffled;
            quirks.latency = LatencyShape::Number;
            quirks.last_cursor = LastCursor::Absent;
            quirks.timestamps = TimestampFormat::Naive;
        }),
        Project::new("support", Region::Euw1).with_quirks(|quirks| {
            quirks.order = Order::Ascending;
            quirks.hides_running = true;
            quirks.null_text = true;
        }),
    ];
    let with_calls = |(index, project): (usize, Project)| {
        let mut rng = StdRng::seed_from_u64(seed + index as u64);
        let calls: Vec<Call> = (0..traffic.before + traffic.after)
            .map(|number| call(&mut rng, &traffic, &project, number))
            .collect();
        project.with_calls(calls)
    };
    projects.into_iter().enumerate().map(with_calls).collect()
}

fn call(rng: &mut StdRng, traffic: &Traffic, project: &Project, number: usize) -> Call {
    let (name, hidden) = (&project.name, project.quirks.hides_running);
    let millis = TimeDelta::milliseconds;
    let (start, length) = if number < traffic.before {
        let start = -rng.random_range(1_000..if number.is_multiple_of(2) { 60_000 } else { 600_000 });
        (start, rng.random_range(0..-start).min(300_000))
    } else {
        let end = rng.random_range(0..if hidden { EARLY } else { traffic.lasting * 1000 });
        let length = rng.random_range(500..90_000);
        (end - length, length)
    };
    let call = Call::new(format!("{name}-{number}"))
        .starting(traffic.now + millis(start))
        .lasting_exactly(millis(length));
    let call = content(rng, call);
    let call = mishap(rng, call, traffic);
    if number + 3 > traffic.before + traffic.after { call.never_ending() } else { call }
}

fn content(rng: &mut StdRng, call: Call) -> Call {
    let turns = rng.random_range(1..9);
    let mut call = call.turns(turns).channel(CHANNELS[rng.random_range(0..CHANNELS.len())]);
    call = call.latency((1..turns).map(|_| f64::from(rng.random_range(100_u32..6_000)) / 1000.0));
    if rng.random_bool(0.2) {
        call = call.ood(1);
    }
    if rng.random_bool(0.2) {
        call = call.silences(2);
    }
    if rng.random_bool(0.2) {
        call = call.barge_ins(1);
    }
    if rng.random_bool(0.1) {
        call = call.turn(Turn { latency: None, ..Turn::reply() });
    }
    if rng.random_bool(0.15) {
        let (reason, destination) = HANDOFFS[rng.random_range(0..HANDOFFS.len())];
        call = call.handoff(reason, destination);
    }
    if rng.random_bool(0.05) {
        call.reporting(ReportedCounts { no_duration: true, ..ReportedCounts::default() })
    } else {
        call
    }
}

/// A call that is never seen in progress or is listed late starts early and is listed before the first recheck age, so this
/// recheck finds it within the test.
fn mishap(rng: &mut StdRng, call: Call, traffic: &Traffic) -> Call {
    let seconds = TimeDelta::seconds;
    let start = call.start();
    let end = call.end().unwrap_or(start);
    let is_early = start < traffic.now + TimeDelta::milliseconds(EARLY) && end < start + seconds(30);
    match rng.random_range(0..100) {
        0..15 => call.finished_visible_from(end + TimeDelta::milliseconds(rng.random_range(0..3_000))),
        15..20 if is_early => call.hidden_while_running(),
        20..28 if is_early => call.visible_from(end + seconds(rng.random_range(2..25))),
        28..36 if is_early => call
            .without_handoff()
            .amended(end + seconds(rng.random_range(2..25)), |call| call.handoff("amended", "Desk")),
        _ => call,
    }
}
