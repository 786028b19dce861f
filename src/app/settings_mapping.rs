//! What the settings mean for each part. Pure.

use std::time::Duration;

use crate::aggregate::SeriesSchema;
use crate::api::{
    ApiCredentials, ApiKey, CaBundle, Client, ClientError, ConcurrencyLimit, Endpoint, RateLimiter,
};
use crate::clock::Clock;
use crate::config::{Metrics, Polling, Settings, Storage, Target};
use crate::exposition::FormatOptions;
use crate::ledger::store::{Store, StoreError};
use crate::recorder::{CountingPolicy, TargetSetup};
use crate::planner::PollPolicy;
use crate::timestamp::Timestamp;

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

/// How conversations count.
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

/// What the formats show.
pub(crate) fn shown(settings: &Settings) -> FormatOptions {
    FormatOptions {
        native_histograms: settings.metrics.native_histograms,
        openmetrics_created: settings.metrics.openmetrics_created,
    }
}

/// What the recorder needs to know of each target, in their order.
pub(crate) fn setups(settings: &Settings) -> Vec<TargetSetup> {
    settings.targets.iter().map(setup).collect()
}

/// What the recorder needs to know of a target.
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

/// Where a target's conversations are listed.
pub(crate) fn endpoint(target: &Target) -> Endpoint {
    Endpoint::new(
        &target.base_url,
        target.api_version,
        &target.account_id,
        &target.project_id,
        target.key.client_env,
    )
}

/// How many requests per tick the budget leaves a target for the narrow pass that shares its key with so many, itself included.
pub(crate) fn refetch_budget(polling: &Polling, targets_sharing_key: usize) -> usize {
    // Of a target's share of the budget per tick, two requests go to the live and the fresh pass, one to rechecks.
    let per_tick = f64::from(polling.requests_per_minute.get()) * polling.interval.as_secs_f64()
        / 60.0
        / f64::from(count(targets_sharing_key));
    whole(per_tick - 3.0).max(1)
}

/// The passes of a target that has so many requests per tick for the narrow one.
pub(crate) fn policy(polling: &Polling, refetch_budget: usize) -> PollPolicy {
    PollPolicy {
        interval: polling.interval,
        ages: polling.recheck.clone(),
        initial_lookback: polling.initial_lookback,
        anchor: polling.anchor.map(Timestamp::from),
        refetch_budget,
    }
}

/// At least 1.
pub(crate) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX).max(1)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
fn whole(number: f64) -> usize {
    number.clamp(0.0, 1000.0) as usize
}

/// The client for requests about `target`.
///
/// # Errors
/// If its `ca_file` is invalid or TLS cannot be set up.
pub(crate) fn client(
    polling: &Polling,
    target: &Target,
    concurrency: ConcurrencyLimit,
    clock: Clock,
) -> Result<Client, ClientError> {
    let user_agent = concat!("polyai-exporter/", env!("CARGO_PKG_VERSION"));
    let ca_bundle = target.ca_file.as_ref().map(|file| CaBundle { path: &file.path, pem: &file.pem });
    Client::new(user_agent, polling.timeout, ca_bundle, concurrency, clock)
}

/// The address of `target`, and its key with the rate limit of that.
pub(crate) fn credentials(target: &Target, rate_limiter: RateLimiter) -> ApiCredentials {
    let api_key = ApiKey::new(target.api_key.expose_secret());
    ApiCredentials { endpoint: endpoint(target), api_key, rate_limiter }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::target::{ApiVersion, ClientEnv, Region, TargetKey};

    #[test]
    fn target_host_has_port_but_no_password() {
        let key = TargetKey { project: "hotel".to_owned(), region: Region::Us1, client_env: ClientEnv::Live };
        let target = Target {
            key,
            account_id: "ws-1".to_owned(),
            project_id: "P-1".to_owned(),
            api_version: ApiVersion::V3,
            api_key: Secret::new("k"),
            base_url: "https://me:marker@proxy.example.com:8443/polyai?key=marker".to_owned(),
            ca_file: None,
            channels: Vec::new(),
        };
        assert_eq!(setup(&target).info, ["ws-1", "P-1", "proxy.example.com:8443", "v3"]);
    }
}
