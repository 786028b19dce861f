//! The HTTP clients of the pollers: targets with the same root certificates share their connections.

use std::collections::HashMap;

use polyai_api::{Client, ClientError, ConcurrencyLimit};
use polyai_domain::clock::Clock;

use super::settings_mapping;
use crate::config::{CaFile, Settings, Target};

/// One client per set of roots, with a common limit on concurrent requests.
pub(super) struct ClientPool {
    clock: Clock,
    concurrency: ConcurrencyLimit,
    by_roots: HashMap<Option<CaFile>, Client>,
}

impl ClientPool {
    /// The clients for `settings`.
    ///
    /// # Errors
    /// If a proxy variable is invalid, or TLS cannot be set up.
    pub(super) fn new(settings: &Settings, clock: &Clock) -> Result<Self, ClientError> {
        let concurrency = ConcurrencyLimit::new(settings.polling.max_concurrent_requests);
        Self { clock: clock.clone(), concurrency, by_roots: HashMap::new() }.rebuild(settings, settings)
    }

    /// The clients for `new`. Clients with the same options as in `old` keep their connections.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn rebuild(&self, old: &Settings, new: &Settings) -> Result<Self, ClientError> {
        let (before, polling) = (&old.polling, &new.polling);
        let same_limit = before.max_concurrent_requests == polling.max_concurrent_requests;
        let same_http_options = same_limit && before.timeout == polling.timeout;
        let concurrency = match same_limit {
            true => self.concurrency.clone(),
            false => ConcurrencyLimit::new(polling.max_concurrent_requests),
        };
        let mut by_roots = HashMap::new();
        for target in &new.targets {
            let roots = &target.ca_file;
            if by_roots.contains_key(roots) {
                continue;
            }
            let client = match self.by_roots.get(roots).filter(|_| same_http_options) {
                Some(client) => client.clone(),
                None => settings_mapping::client(polling, target, concurrency.clone(), self.clock.clone())?,
            };
            by_roots.insert(roots.clone(), client);
        }
        Ok(Self { clock: self.clock.clone(), concurrency, by_roots })
    }

    /// The client of `target`; absent for targets of other settings.
    pub(super) fn get(&self, target: &Target) -> Option<&Client> {
        self.by_roots.get(&target.ca_file)
    }
}
