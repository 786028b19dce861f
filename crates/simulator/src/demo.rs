//! The contact centre that `demo` and `simulate` show.
//!
//! Owns: its projects. Never: how they are served.

use super::generated::Generated;
use super::profile::{AnomalyRates, Profile};
use super::project::Project;
use super::quirks::{LastCursor, LatencyShape, Order, Stamp};
use super::world::{Calls, World};
use polyai_domain::target::{ClientEnv, Region};

/// What the demo world is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Demo {
    /// Same seed, same history.
    pub seed: u64,
    /// Multiplies the number of calls; 1 is some ten calls a minute over all projects at peak time.
    pub volume: f64,
    /// The key that reads all projects.
    pub api_key: String,
    /// How rarely things go wrong with records.
    pub mishaps: AnomalyRates,
}

impl Default for Demo {
    fn default() -> Self {
        Self { seed: 1, volume: 1.0, api_key: "demo-key".to_owned(), mishaps: AnomalyRates::default() }
    }
}

impl World {
    /// A believable contact centre: `reservations` (us-1, busy, with a sandbox), `billing` (uk-1), `support` (euw-1, half
    /// of it chat) and `pilot` (us-1, a few calls a day). Each answers in a dialect of its own.
    pub fn demo(demo: &Demo) -> Self {
        let live = [ClientEnv::Live];
        let reservations = demo
            .project("reservations", Region::Us1, Profile::reservations())
            .with_ids("ws-00000001", "PROJECT-0000001")
            .with_envs(&[ClientEnv::Live, ClientEnv::Sandbox]);
        let billing = demo
            .project("billing", Region::Uk1, Profile::billing())
            .with_ids("ws-00000002", "PROJECT-0000002")
            .with_envs(&live)
            .with_quirks(|quirks| {
                quirks.order = Order::Ascending;
                quirks.latency = LatencyShape::Number;
                quirks.last_cursor = LastCursor::Absent;
            });
        let support = demo
            .project("support", Region::Euw1, Profile::support())
            .with_ids("acme-eu", "acme-support")
            .with_envs(&live)
            .with_quirks(|quirks| {
                quirks.stamps = Stamp::Zulu;
                quirks.chunked = true;
                quirks.null_flags = true;
            });
        let pilot = demo
            .project("pilot", Region::Us1, Profile::pilot())
            .with_ids("ws-00000001", "PROJECT-0000004")
            .with_envs(&live)
            .with_quirks(|quirks| quirks.last_cursor = LastCursor::Empty);
        Self::of([reservations, billing, support, pilot])
    }
}

impl Demo {
    fn project(&self, name: &str, region: Region, profile: Profile) -> Project {
        let mut project =
            Project::new(name, region).with_key(&self.api_key).with_generated(self.seed, profile);
        if let Calls::Generated(generated) = &mut project.calls {
            generated.volume = self.volume;
            generated.mishaps = self.mishaps;
        }
        project
    }
}

impl Project {
    /// Takes its calls from chance instead of a script, at the volume of `profile`, with the usual rare mishaps.
    #[must_use]
    pub fn with_generated(mut self, seed: u64, profile: Profile) -> Self {
        self.channels = profile.channels.iter().map(|(_, channel)| channel.to_string()).collect();
        self.calls = Calls::Generated(Box::new(Generated::new(&self.name, seed, profile)));
        self
    }

    /// Has these mishaps instead of the usual; nothing where calls are scripted.
    #[must_use]
    pub fn with_mishaps(mut self, mishaps: AnomalyRates) -> Self {
        if let Calls::Generated(generated) = &mut self.calls {
            generated.mishaps = mishaps;
        }
        self
    }
}
