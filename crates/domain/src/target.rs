//! What is polled: one agent project, in one region, in one client environment.
//!
//! Owns: the identity of a target and the closed sets it is made of. Never: settings of polling or secrets.

use std::fmt;

/// The PolyAI region of a project, after the table in the API overview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Region {
    /// `us-1`
    Us1,
    /// `uk-1`
    Uk1,
    /// `euw-1`
    Euw1,
    /// `studio`, the self-serve region; it has no Conversations v3 host of its own.
    Studio,
}

impl Region {
    /// All regions, in the order of the vendor's table.
    pub const ALL: [Self; 4] = [Self::Us1, Self::Uk1, Self::Euw1, Self::Studio];

    /// The value of the `region` label and of the configuration key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Us1 => "us-1",
            Self::Uk1 => "uk-1",
            Self::Euw1 => "euw-1",
            Self::Studio => "studio",
        }
    }

    /// The host of the Conversations API ("runtime and data" family); none for `studio`.
    pub const fn conversations_base_url(self) -> Option<&'static str> {
        match self {
            Self::Us1 => Some("https://api.us-1.platform.polyai.app"),
            Self::Uk1 => Some("https://api.uk-1.platform.polyai.app"),
            Self::Euw1 => Some("https://api.euw-1.platform.polyai.app"),
            Self::Studio => None,
        }
    }

    /// The region whose name is `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|region| region.as_str() == text)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The deployment environment that the API filters by (`client_env`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientEnv {
    /// Real callers.
    Live,
    /// Development.
    Sandbox,
    /// Acceptance.
    PreRelease,
}

impl ClientEnv {
    /// All environments.
    pub const ALL: [Self; 3] = [Self::Live, Self::Sandbox, Self::PreRelease];

    /// The value of the `client_env` label, query parameter and configuration key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Sandbox => "sandbox",
            Self::PreRelease => "pre-release",
        }
    }

    /// The environment whose name is `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|env| env.as_str() == text)
    }
}

impl fmt::Display for ClientEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The version of the Conversations API that a target is read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiVersion {
    /// Legacy: offset paging, null for empty text; unsupported by the vendor since 31 August 2026.
    V1,
    /// As v3, with the legacy keys.
    V2,
    /// Recommended.
    V3,
}

impl ApiVersion {
    /// All versions.
    pub const ALL: [Self; 3] = [Self::V1, Self::V2, Self::V3];

    /// The path segment and configuration value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }

    /// The version whose name is `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The identity of a target: the labels that its series carry, and the key of its state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
