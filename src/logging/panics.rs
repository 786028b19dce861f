//! Panics as log lines, without the values in their messages.
//!
//! The message of a panic may quote the data that the program worked on, so only a message that is a literal in the source is
//! logged.

use std::io::Write as _;
use std::panic::{self, PanicHookInfo};

use tracing::{Level, enabled, error};

/// Logs panics from now on.
pub(super) fn install() {
    panic::set_hook(Box::new(|panic| {
        let PanicReport { place, message } = PanicReport::new(panic);
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        if enabled!(Level::ERROR) {
            error!(place, message, thread, "internal error (panic); please report this bug");
        } else {
            // `--log.level=off` does not mean panics. A closed standard error leaves nothing to do.
            let _ = writeln!(
                std::io::stderr(),
                "internal error (panic); please report this bug: {place}: {message}"
            );
        }
    }));
}

/// The part of a panic that is logged.
struct PanicReport {
    place: String,
    message: &'static str,
}

impl PanicReport {
    fn new(panic: &PanicHookInfo<'_>) -> Self {
        let place = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let message = panic.payload().downcast_ref::<&'static str>();
        Self { place, message: message.copied().unwrap_or("(a message with values, which are not shown)") }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// What is logged of a panic of `body`.
    fn logged(body: impl FnOnce() + panic::UnwindSafe) -> (String, &'static str) {
        let seen = Arc::new(Mutex::new(None));
        let (place, here) = (seen.clone(), std::thread::current().id());
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if std::thread::current().id() == here {
                let PanicReport { place: at, message } = PanicReport::new(panic);
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, message));
            }
        }));
        assert!(panic::catch_unwind(body).is_err());
        panic::set_hook(before);
        seen.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap()
    }

    #[test]
    fn panic_message_with_values_is_not_logged() {
        let (place, message) = logged(|| panic!("a literal"));
        assert!(place.starts_with("src/logging/panics.rs:"), "{place}");
        assert_eq!(message, "a literal");

        // The standard message quotes the whole text.
        let transcript = "é, call me on 020 7946 0958".to_owned();
        let (_, message) = logged(move || drop(std::hint::black_box(&transcript)[..1].to_owned()));
        assert_eq!(message, "(a message with values, which are not shown)");
    }
}
