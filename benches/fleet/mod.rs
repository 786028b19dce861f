//! Many targets: a small simulated project each, and the configuration of an exporter that polls them all.

use std::fmt::Write as _;
use std::path::Path;

use polyai_domain::clock::Clock;
use polyai_domain::target::Region;
use polyai_simulator::{Profile, Project, Simulator, SimulatorHandle, World};
use tokio::runtime::Runtime;

use crate::process::free_port;

/// The simulated API of a number of projects, on a separate thread.
pub(crate) fn simulate(targets: u64) -> (Runtime, SimulatorHandle) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let projects = (0..targets).map(|number| {
        Project::new(&format!("p{number}"), Region::Us1)
            .with_ids("ws-1", &format!("P{number}"))
            .with_generated(number, Profile::pilot())
    });
    let simulator = runtime.block_on(Simulator::on_loopback(World::new(projects), Clock::system())).unwrap();
    (runtime, simulator)
}

/// The configuration of an exporter for them, with its state below `directory`; `polling` is the text between the braces of
/// its section.
pub(crate) fn configuration(
    targets: u64,
    simulator: &SimulatorHandle,
    directory: &Path,
    polling: &str,
) -> String {
    let mut text = format!(
        "server: {{listen: \"127.0.0.1:{}\"}}\nstorage: {{path: {}}}\npolling: {{{polling}}}\ntargets:\n",
        free_port(),
        directory.join("state").display(),
    );
    for number in 0..targets {
        writeln!(
            text,
            "  - {{name: p{number}, region: us-1, account_id: ws-1, project_id: P{number}, api_key: demo-key, base_url: \"http://{}/us-1\"}}",
            simulator.addr
        )
        .unwrap();
    }
    text
}
