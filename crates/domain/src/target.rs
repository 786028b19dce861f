//! Targets: one agent project, in one region and one client environment.

use std::fmt;

use crate::named_enum::named_enum;

named_enum! {
    /// The PolyAI region of a project, as listed in the API overview.
    Region {
        /// United States.
        Us1 "us-1"
        /// United Kingdom.
        Uk1 "uk-1"
        /// European Union.
        Euw1 "euw-1"
        /// The self-serve region, which has no Conversations v3 host of its own.
        Studio "studio"
    }
}

impl Region {
    /// The host of the Conversations API ("runtime and data" family); absent for `studio`.
    pub const fn conversations_base_url(self) -> Option<&'static str> {
        match self {
            Self::Us1 => Some("https://api.us-1.platform.polyai.app"),
            Self::Uk1 => Some("https://api.uk-1.platform.polyai.app"),
            Self::Euw1 => Some("https://api.euw-1.platform.polyai.app"),
            Self::Studio => None,
        }
    }
}

named_enum! {
    /// The deployment environment that the API filters by (`client_env`).
    ClientEnv {
        /// Real callers.
        Live "live"
        /// Development.
        Sandbox "sandbox"
        /// Acceptance.
        PreRelease "pre-release"
    }
}

named_enum! {
    /// The unit in which the API sends `latency` (`targets[].latency_unit`).
    LatencyUnit {
        /// As documented.
        Seconds "seconds"
        /// As some projects might send it.
        Milliseconds "milliseconds"
    }
}

named_enum! {
    /// The version of the Conversations API.
    ApiVersion {
        /// Legacy: offset paging, null for empty text; unsupported by PolyAI since 31 August 2026.
        V1 "v1"
        /// As v3, with the legacy keys.
        V2 "v2"
        /// Recommended.
        V3 "v3"
    }
}

/// The identity of a target: the labels of its series, and the key of its state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct TargetKey {
    /// The `project` label: the configured name.
    pub project: String,
    /// The `region` label.
    pub region: Region,
    /// The `client_env` label.
    pub client_env: ClientEnv,
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.project, self.region, self.client_env)
    }
}
