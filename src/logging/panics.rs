//! Panics in the log: where, and no more than the program itself has to say.
//!
//! Owns: that a panic is a line like any other, and that nothing of a conversation gets into it. The message of a panic may quote what the
//! program worked on, so that only one that is written out in the source is shown. Never: what happens after it.

use std::io::Write as _;
use std::panic::{self, PanicHookInfo};

use tracing::{Level, enabled, error};

/// From now on panics are told by the log.
pub(super) fn install() {
    panic::set_hook(Box::new(|panic| {
        let PanicReport { place, message } = PanicReport::of(panic);
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        if enabled!(Level::ERROR) {
            error!(
                place,
                message, thread, "panic: the program has met what it did not foresee; please report this"
            );
        } else {
            // Whoever silences the log does not mean this. Nothing can be done if standard error is closed.
            let _ = writeln!(
                std::io::stderr(),
                "panic: the program has met what it did not foresee: {place}: {message}"
            );
        }
    }));
}

/// What is told of a panic.
struct PanicReport {
    place: String,
    message: &'static str,
}

impl PanicReport {
    fn of(panic: &PanicHookInfo<'_>) -> Self {
        let place = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let message = panic.payload().downcast_ref::<&'static str>();
        Self { place, message: message.copied().unwrap_or("(a message with values, which are not shown)") }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// What is told of a panic of `body`.
    fn told(body: impl FnOnce() + panic::UnwindSafe) -> (String, &'static str) {
        let seen = Arc::new(Mutex::new(None));
        let (place, here) = (seen.clone(), std::thread::current().id());
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if std::thread::current().id() == here {
                let PanicReport { place: at, message } = PanicReport::of(panic);
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, message));
            }
        }));
        assert!(panic::catch_unwind(body).is_err());
        panic::set_hook(before);
        seen.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap()
    }

    #[test]
    fn only_words_of_the_source_are_told() {
        let (place, message) = told(|| panic!("a literal"));
        assert!(place.starts_with("src/logging/panics.rs:"), "{place}");
        assert_eq!(message, "a literal");

        // The standard message quotes the whole text.
        let transcript = "é, call me on 020 7946 0958".to_owned();
        let (_, message) = told(move || drop(std::hint::black_box(&transcript)[..1].to_owned()));
        assert_eq!(message, "(a message with values, which are not shown)");
    }
}
