//! Notifies systemd of the daemon's state (`Type=notify` and `Type=notify-reload`, see sd_notify(3)).
//!
//! Without `NOTIFY_SOCKET`, nothing is sent.

use sd_notify::NotifyState;
use tracing::debug;

/// The ports are open and the state is loaded; also ends [`reloading`].
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The configuration is being reloaded.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(reason) => debug!(%reason, "cannot notify systemd"),
    }
}

/// The daemon is stopping.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(reason) = sd_notify::notify(state) {
        debug!(%reason, "cannot notify systemd");
    }
}
