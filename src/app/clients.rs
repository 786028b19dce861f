//! The HTTP clients of the pollers.
//!
//! Owns: which there are, so that targets with the same roots of trust share their connections, and which survive a change of the
//! configuration. Never: a request.

use std::collections::HashMap;

use super::settings_mapping;
use crate::api::Client;
use crate::api::ClientError;
use crate::api::ConcurrencyLimit;
use crate::clock::Clock;
use crate::config::{CaFile, Settings, Target};

/// One client for each set of roots, all with one bound on requests at once.
pub(super) struct ClientPool {
    clock: Clock,
    concurrency: ConcurrencyLimit,
    by_roots: HashMap<Option<CaFile>, Client>,
}

impl ClientPool {
    /// The clients for `settings`.
    ///
    /// # Errors
    /// When one cannot be made: a `ca_file` that is no bundle.
    pub(super) fn new(settings: &Settings, clock: &Clock) -> Result<Self, ClientError> {
        let concurrency = ConcurrencyLimit::new(settings.polling.max_concurrent_requests);
        Self { clock: clock.clone(), concurrency, by_roots: HashMap::new() }.rebuild(settings, settings)
    }

    /// The clients for `new`; those that were made for the same in `old` keep their connections.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn rebuild(&self, old: &Settings, new: &Settings) -> Result<Self, ClientError> {
        let (before, polling) = (&old.polling, &new.polling);
        let same_bound = before.max_concurrent_requests == polling.max_concurrent_requests;
        let same_http_options = same_bound && before.timeout == polling.timeout;
        let concurrency = match same_bound {
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

    /// That of `target`; none only if it is not of the settings that these were made for.
    pub(super) fn get(&self, target: &Target) -> Option<&Client> {
        self.by_roots.get(&target.ca_file)
    }
}
