//! The diffs between two configurations, and those that require a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use polyai_domain::target::TargetKey;

use crate::config::{Settings, Target};
use crate::text::pluralize;

/// Targets listed by name; further ones are a number.
const MAX_NAMED: usize = 5;

/// The differences between two configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ConfigDiff {
    /// Changed sections that apply to all targets.
    pub(super) sections: BTreeSet<&'static str>,
    pub(super) added: BTreeSet<TargetKey>,
    pub(super) removed: BTreeSet<TargetKey>,
    pub(super) changed: BTreeSet<TargetKey>,
}

/// Changed keys that a running daemon cannot apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} changed, which needs a restart: a running daemon keeps its ports and its state. Nothing was changed; undo it, or restart",
    .0.join(" and ")
)]
pub(super) struct NeedsRestart(Vec<&'static str>);

impl ConfigDiff {
    /// The differences from `old` to `new`.
    ///
    /// # Errors
    /// If one requires a restart.
    pub(super) fn diff(old: &Settings, new: &Settings) -> Result<Self, NeedsRestart> {
        let fixed = [
            ("server.listen", old.server.listen != new.server.listen),
            ("storage", old.storage != new.storage),
        ];
        let fixed: Vec<_> = fixed.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect();
        if !fixed.is_empty() {
            return Err(NeedsRestart(fixed));
        }
        let sections = [
            ("polling", old.polling != new.polling),
            ("metrics", old.metrics != new.metrics),
            ("server.web_config_file", old.server.web_config_file != new.server.web_config_file),
        ];
        let (before, after) = (by_key(old), by_key(new));
        let mut diff = Self {
            sections: sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect(),
            removed: before.keys().filter(|key| !after.contains_key(*key)).map(|&key| key.clone()).collect(),
            ..Self::default()
        };
        for (key, target) in after {
            match before.get(key) {
                None => diff.added.insert(key.clone()),
                Some(before) if *before != target => diff.changed.insert(key.clone()),
                Some(_) => continue,
            };
        }
        Ok(diff)
    }

    /// Whether the poller of a target of both configurations must be restarted.
    pub(super) fn restarts(&self, key: &TargetKey) -> bool {
        self.sections.contains("polling") || self.changed.contains(key)
    }
}

fn by_key(settings: &Settings) -> BTreeMap<&TargetKey, &Target> {
    settings.targets.iter().map(|target| (&target.key, target)).collect()
}

impl fmt::Display for ConfigDiff {
    /// For example `1 target added (billing/us-1/live); polling changed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (keys, verb) in [(&self.added, "added"), (&self.removed, "removed"), (&self.changed, "changed")] {
            if keys.is_empty() {
                continue;
            }
            let mut names: Vec<String> = keys.iter().take(MAX_NAMED).map(TargetKey::to_string).collect();
            if keys.len() > MAX_NAMED {
                names.push(format!("{} more", keys.len() - MAX_NAMED));
            }
            let count = pluralize(keys.len() as u64, "target");
            parts.push(format!("{count} {verb} ({})", names.join(", ")));
        }
        parts.extend(self.sections.iter().map(|name| format!("{name} changed")));
        if parts.is_empty() { f.write_str("nothing changed") } else { f.write_str(&parts.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Metrics, Polling, Secret, Server, Storage};
    use polyai_domain::target::{ApiVersion, ClientEnv, LatencyUnit, Region};

    fn target(project: &str) -> Target {
        Target {
            key: TargetKey { project: project.into(), region: Region::Us1, client_env: ClientEnv::Live },
            account_id: "ws-1".into(),
            project_id: format!("PROJECT-{project}"),
            api_version: ApiVersion::V3,
            latency_unit: LatencyUnit::Seconds,
            api_key: Secret::new("key"),
            base_url: "https://localhost".into(),
            ca_file: None,
            channels: vec![],
        }
    }

    fn settings(projects: &[&str]) -> Settings {
        Settings {
            server: Server::default(),
            storage: Storage::Ephemeral,
            polling: Polling::default(),
            metrics: Metrics::default(),
            targets: projects.iter().map(|project| target(project)).collect(),
        }
    }

    #[test]
    fn identical_configurations_have_no_changes() {
        let diff = ConfigDiff::diff(&settings(&["a", "b"]), &settings(&["a", "b"])).unwrap();
        assert_eq!(diff, ConfigDiff::default());
        assert_eq!(diff.to_string(), "nothing changed");
    }

    #[test]
    fn added_removed_and_changed_targets_are_listed() {
        let mut new = settings(&["a", "c", "d"]);
        new.targets[0].api_key = Secret::new("another key");
        let diff = ConfigDiff::diff(&settings(&["a", "b", "d"]), &new).unwrap();
        assert_eq!(
            diff.to_string(),
            "1 target added (c/us-1/live); 1 target removed (b/us-1/live); 1 target changed (a/us-1/live)"
        );
        assert!(diff.restarts(&target("a").key), "a new key takes effect immediately");
        assert!(!diff.restarts(&target("d").key), "an unchanged target is not restarted");
    }

    #[test]
    fn polling_change_restarts_pollers_metrics_do_not() {
        let mut new = settings(&["a"]);
        new.metrics.recent_window = Duration::from_secs(60);
        let diff = ConfigDiff::diff(&settings(&["a"]), &new).unwrap();
        assert!(!diff.restarts(&target("a").key));
        new.polling.interval = Duration::from_secs(5);
        let diff = ConfigDiff::diff(&settings(&["a"]), &new).unwrap();
        assert!(diff.restarts(&target("a").key));
        assert_eq!(diff.to_string(), "metrics changed; polling changed");
    }

    #[test]
    fn long_list_of_targets_is_a_count() {
        let diff = ConfigDiff::diff(&settings(&[]), &settings(&["a", "b", "c", "d", "e", "f", "g"])).unwrap();
        let text = diff.to_string();
        assert!(text.starts_with("7 targets added (a/us-1/live, "), "{text}");
        assert!(text.ends_with(", 2 more)"), "{text}");
    }

    #[test]
    fn addresses_and_storage_require_a_restart() {
        let mut new = settings(&["a"]);
        new.server.listen = vec!["127.0.0.1:1".parse().unwrap()];
        new.storage = Storage::Directory("elsewhere".into());
        let error = ConfigDiff::diff(&settings(&["a"]), &new).unwrap_err().to_string();
        assert!(error.starts_with("server.listen and storage changed, which needs a restart"), "{error}");
    }
}
