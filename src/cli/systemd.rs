//! What the service manager is told: ready, reloading, stopping (sd_notify(3), for units of `Type=notify` and `Type=notify-reload`).
//!
//! Owns: the messages. Without a manager that wants to know (`NOTIFY_SOCKET`), they go nowhere. Never: what follows from them.

use sd_notify::NotifyState;
use tracing::debug;

/// The ports are open and the state is read.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] says that it is over.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(reason) => debug!(%reason, "the service manager was not told"),
    }
}

/// The daemon finishes what is running.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(reason) = sd_notify::notify(state) {
        debug!(%reason, "the service manager was not told");
    }
}
