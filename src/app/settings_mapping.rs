//! Maps the settings to the inputs of each component.

use std::time::Duration;

use exporter_exposition::FormatOptions;
use polyai_api::{ApiCredentials, ApiKey, Client, ClientError, ConcurrencyLimit, Endpoint, RateLimiter};
use polyai_domain::clock::Clock;
use polyai_domain::timestamp::Timestamp;
use polyai_engine::aggregate::SeriesSchema;
use polyai_engine::ledger::store::{Store, StoreError};
use polyai_engine::planner::PollPolicy;
use polyai_engine::recorder::{CountingPolicy, TargetSetup};

use crate::config::{Metrics, Polling, Settings, Storage, Target};

impl From<&Metrics> for SeriesSchema {
    fn from(metrics: &Metrics) -> Self {
        Self::new(metrics.labels.clone(), &metrics.latency_buckets, &metrics.duration_buckets)
    }
}

/// Opens or creates the store that the settings name.
pub(crate) fn open_store(storage: &Storage) -> Result<Store, StoreError> {
    match storage {
        Storage::Directory(directory) => Store::open_dir(directory),
        Storage::Ephemeral => Store::in_memory(),
    }
}

/// The counting policy.
pub(crate) fn counting(settings: &Settings) -> CountingPolicy {
    let polling = &settings.polling;
    CountingPolicy {
        schema: SeriesSchema::from(&settings.metrics),
        settle: polling.settle,
        settled_age: polling.recheck.first().copied().unwrap_or(Duration::from_secs(300)),
        recent_window: settings.metrics.recent_window,
        max_label_values: settings.metrics.max_label_values,
    }
}

/// The options of the exposition formats.
pub(crate) fn format_options(settings: &Settings) -> FormatOptions {
    FormatOptions {
        native_histograms: settings.metrics.native_histograms,
        openmetrics_created: settings.metrics.openmetrics_created,
    }
}

/// The targets as the recorder knows them, in order.
pub(crate) fn setups(settings: &Settings) -> Vec<TargetSetup> {
    settings.targets.iter().map(setup).collect()
}

/// A target as the recorder knows it.
pub(crate) fn setup(target: &Target) -> TargetSetup {
    TargetSetup {
        key: target.key.clone(),
        channels: target.channels.clone(),
        info: [
            target.account_id.clone(),
            target.project_id.clone(),
            target.host(),
            target.api_version.to_string(),
        ],
    }
}

/// The address of a target's conversation list.
pub(crate) fn endpoint(target: &Target) -> Endpoint {
    Endpoint::new(
        &target.base_url,
        target.api_version,
        &target.account_id,
        &target.project_id,
        target.key.client_env,
    )
}

/// The refetch requests per poll that the rate limit leaves a target, of `targets_sharing_key` with the same key.
pub(crate) fn refetch_budget(polling: &Polling, targets_sharing_key: usize) -> usize {
    // Two requests per poll go to the live and the fresh pass, one to rechecks.
    let per_poll = f64::from(polling.requests_per_minute.get()) * polling.interval.as_secs_f64()
        / 60.0
        / f64::from(count(targets_sharing_key));
    whole(per_poll - 3.0).max(1)
}

/// The polling policy of a target.
pub(crate) fn policy(polling: &Polling, refetch_budget: usize) -> PollPolicy {
    PollPolicy {
        interval: polling.interval,
        ages: polling.recheck.clone(),
        initial_lookback: polling.initial_lookback,
        anchor: polling.anchor.map(Timestamp::from),
        refetch_budget,
    }
}

/// `length`, at least 1.
pub(crate) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX).max(1)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn whole(number: f64) -> usize {
    number.clamp(0.0, 1000.0) as usize
}

/// The client for requests about `target`.
///
/// # Errors
/// If a proxy variable is invalid, or TLS cannot be set up.
pub(crate) fn client(
    polling: &Polling,
    target: &Target,
    concurrency: ConcurrencyLimit,
    clock: Clock,
) -> Result<Client, ClientError> {
    let user_agent = concat!("polyai-exporter/", env!("CARGO_PKG_VERSION"));
    let ca_bundle = target.ca_file.as_ref().map(|file| &file.bundle);
    Client::new(user_agent, polling.timeout, ca_bundle, concurrency, clock)
}

/// The address of `target`, and its key with the rate limit of that.
pub(crate) fn credentials(target: &Target, rate_limiter: RateLimiter) -> ApiCredentials {
    let api_key = ApiKey::new(target.api_key.expose_secret());
    ApiCredentials { endpoint: endpoint(target), api_key, latency_unit: target.latency_unit, rate_limiter }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use polyai_domain::target::{ApiVersion, ClientEnv, LatencyUnit, Region, TargetKey};

    #[test]
    fn target_host_has_port_but_no_password() {
        let key = TargetKey { project: "hotel".to_owned(), region: Region::Us1, client_env: ClientEnv::Live };
        let target = Target {
            key,
            account_id: "ws-1".to_owned(),
            project_id: "P-1".to_owned(),
            api_version: ApiVersion::V3,
            latency_unit: LatencyUnit::Seconds,
            api_key: Secret::new("k"),
            base_url: "https://me:marker@proxy.example.com:8443/polyai?key=marker".to_owned(),
            ca_file: None,
            channels: Vec::new(),
        };
        assert_eq!(setup(&target).info, ["ws-1", "P-1", "proxy.example.com:8443", "v3"]);
    }
}
