//! The log: one line per event on standard error, for people or for machines.
//!
//! Owns: formats, levels and that a line is a line. Never: what is said.

mod panics;

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing::Subscriber;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{self, Writer};

/// How lines look: `--log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// What suits standard error: text, in colours on a terminal.
    #[default]
    Auto,
    /// Text without colours.
    Text,
    /// One JSON object per line.
    Json,
}

/// What is said: `--log.level`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelFilterSpec(String);

/// A word that is no format, or no filter; the message says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseLogOptionError(String);

/// The log was set up before.
#[derive(Debug, thiserror::Error)]
#[error("the log is already set up in this process")]
pub struct AlreadyInstalled;

impl FromStr for Format {
    type Err = ParseLogOptionError;

    fn from_str(text: &str) -> Result<Self, ParseLogOptionError> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(ParseLogOptionError(format!("\"{text}\" is not a log format; use auto, text or json"))),
        }
    }
}

impl LevelFilterSpec {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`), which beyond `info` holds for this program and not for
    /// the libraries it uses; or directives `target=level`, separated by commas.
    ///
    /// # Errors
    ///
    /// For anything else. A bare word that is no level is refused, although the filter's language would take it for a
    /// target, because it is far more likely a misspelt level, which would silence the log.
    pub fn parse(text: &str) -> Result<Self, ParseLogOptionError> {
        let invalid = || {
            ParseLogOptionError(format!(
                "\"{text}\" is not a log level; use error, warn, info, debug, trace or off, or directives such as \
                 \"info,exporter_web=debug\""
            ))
        };
        let level = |word: &str| word.parse::<LevelFilter>().ok().filter(|_| !word.is_empty());
        if let Some(level) = level(text) {
            return Ok(Self(match level {
                LevelFilter::DEBUG | LevelFilter::TRACE => format!("info,polyai={level},exporter={level}"),
                _ => level.to_string(),
            }));
        }
        let is_valid_directive = |part: &str| match part.rsplit_once('=') {
            Some((_, word)) => level(word).is_some(),
            None => level(part).is_some(),
        };
        if text.split(',').all(is_valid_directive) && EnvFilter::try_new(text).is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid())
        }
    }

    fn build(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl Default for LevelFilterSpec {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl fmt::Display for LevelFilterSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sets up the log of this process, on standard error; panics are told by it too.
///
/// # Errors
///
/// If it is set up already.
pub fn install(format: Format, filter: &LevelFilterSpec) -> Result<(), AlreadyInstalled> {
    let colours = format == Format::Auto && io::stderr().is_terminal();
    let subscriber = subscriber(format, filter, colours, io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| AlreadyInstalled)?;
    panics::install();
    Ok(())
}

/// A log that writes to `writer`; each event reaches it as one line.
pub fn subscriber<W>(
    format: Format,
    filter: &LevelFilterSpec,
    ansi: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter.build()).with_ansi(ansi).with_writer(writer);
    match format {
        Format::Auto | Format::Text => {
            Box::new(builder.fmt_fields(format::debug_fn(text_field).delimited(" ")).finish())
        }
        Format::Json => {
            let json = builder.json().flatten_event(true).with_current_span(false).with_span_list(false);
            Box::new(json.finish())
        }
    }
}

/// Writes a field of the text format; values cannot end the line or steer the terminal, which the formatter prevents only
/// for some kinds of values.
fn text_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(out, "{}=", field.name())?;
    }
    write!(Escaping(out), "{value:?}")
}

struct Escaping<'a, 'b>(&'a mut Writer<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            match part.chars().next_back().filter(|last| last.is_control()) {
                Some(control) => {
                    self.0.write_str(&part[..part.len() - control.len_utf8()])?;
                    write!(self.0, "{}", control.escape_default())?;
                }
                None => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// A writer for tests, which keeps what was logged. Clones share it.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(crate) struct Captured(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Captured {
    /// What was logged since the last call.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[cfg(test)]
impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(format: Format, filter: &str, colours: bool, say: impl FnOnce()) -> String {
        let captured = Captured::default();
        let filter = LevelFilterSpec::parse(filter).unwrap();
        tracing::subscriber::with_default(subscriber(format, &filter, colours, captured.clone()), say);
        captured.take()
    }

    fn hostile() {
        let value = "first\nsecond\r\n\u{1b}[31mred";
        tracing::warn!(shown = %value, quoted = value, "message {value}");
    }

    #[test]
    fn a_line_end_in_a_value_stays_within_the_line() {
        for (format, colours) in [(Format::Text, false), (Format::Auto, true), (Format::Json, false)] {
            let text = logged(format, "info", colours, hostile);
            assert_eq!(text.matches('\n').count(), 1, "{format:?}: {text}");
            assert!(text.ends_with('\n') && !text.contains('\r'), "{format:?}: {text}");
            assert!(!text.contains("\u{1b}[31m"), "a value may not colour the terminal: {text}");
        }
    }

    #[test]
    fn text_shows_level_and_fields_and_colours_only_if_asked() {
        let say = || tracing::warn!(project = "a", "poll failed");
        let plain = logged(Format::Text, "info", false, say);
        assert!(plain.contains("WARN") && plain.ends_with("poll failed project=\"a\"\n"), "{plain}");
        assert!(!plain.contains('\u{1b}'));
        assert!(logged(Format::Auto, "info", true, say).contains('\u{1b}'));
    }

    #[test]
    fn json_has_fields_at_the_top() {
        let text =
            logged(Format::Json, "info", false, || tracing::info!(project = "a", "polls succeed again"));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["project"]), (&"INFO".into(), &"a".into()));
        assert_eq!(line["message"], "polls succeed again");
    }

    #[test]
    fn levels_and_directives_are_accepted() {
        let cases = [
            ("info", "info"),
            ("WARN", "warn"),
            ("off", "off"),
            ("debug", "info,polyai=debug,exporter=debug"),
            ("warn,exporter_web=debug", "warn,exporter_web=debug"),
        ];
        for (text, filter) in cases {
            assert_eq!(LevelFilterSpec::parse(text).unwrap().to_string(), filter);
        }
    }

    #[test]
    fn a_misspelt_level_is_refused_with_the_right_words() {
        for text in ["inof", "", "info,", "polyai_exporter=loud", "warn,hyper", "[broken=info"] {
            let error = LevelFilterSpec::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("\"{text}\" is not a log level; use error, warn")), "{error}");
        }
        let error = "yaml".parse::<Format>().unwrap_err().to_string();
        assert_eq!(error, "\"yaml\" is not a log format; use auto, text or json");
    }

    #[test]
    fn debug_is_for_this_program_alone() {
        let text = logged(Format::Text, "debug", false, || {
            tracing::debug!("ours");
            tracing::debug!(target: "hyper", "theirs");
        });
        assert!(text.contains("ours") && !text.contains("theirs"), "{text}");
    }
}
