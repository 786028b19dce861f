//! The simulator over its socket, as a client sees it.

mod admin_api;
mod bulk_records;
mod client;
mod faults;
mod paging;
mod random_calls;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Call, Project, Simulator, SimulatorHandle, World};
use polyai_domain::clock::Clock;
use polyai_domain::target::{ClientEnv, Region, TargetKey};

/// 20 August 2026, 09:00 UTC, a Thursday.
fn morning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_787_216_400, 0).unwrap()
}

/// `count` finished calls, one every 10 s before `morning`, one of them a handoff.
fn calls(count: u32) -> Vec<Call> {
    (0..count)
        .map(|n| {
            let call = Call::new(format!("CA{n:04}"))
                .starting(morning() - TimeDelta::hours(2) + TimeDelta::seconds(i64::from(n) * 10))
                .lasting(i64::from(20 + n % 100))
                .turns(2 + n as usize % 5)
                .latency([1.25, 0.5, 2.0]);
            if n % 5 == 0 { call.handoff("billing_question", "Billing queue").ood(1) } else { call }
        })
        .collect()
}

fn reservations() -> Project {
    Project::new("reservations", Region::Us1)
}

fn target() -> TargetKey {
    reservations().target(ClientEnv::Live)
}

async fn simulate(project: Project) -> SimulatorHandle {
    Simulator::on_loopback(World::new([project]), Clock::virtual_from(morning())).await.unwrap()
}
