//! The log: one line per event on standard error, as text or JSON.

mod panics;
mod writer;

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};
use std::str::FromStr;

use tracing::Subscriber;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{self, Writer};

use writer::LossyWriter;
pub use writer::lost_lines;

/// The log format: `--log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Text, with colors if standard error is a terminal.
    #[default]
    Auto,
    /// Text without colors.
    Text,
    /// One JSON object per line.
    Json,
}

/// The log level or filter: `--log.level`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelFilterSpec(String);

/// An invalid log format or filter; the message lists the valid ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseLogOptionError(String);

/// The log is already set up.
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
    /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`), where `debug` and `trace` apply to this program and not to
    /// the libraries it uses; or directives `target=level`, separated by commas.
    ///
    /// # Errors
    ///
    /// For anything else. A bare word that is not a level is rejected: the filter syntax would take it as a target, but it is
    /// probably a misspelled level, and would silence the log.
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

/// Sets up the log of this process on standard error; panics are logged too. Lines that cannot be written are counted in
/// [`lost_lines`].
///
/// # Errors
///
/// If it is already set up.
pub fn install(format: Format, filter: &LevelFilterSpec) -> Result<(), AlreadyInstalled> {
    let ansi = format == Format::Auto && io::stderr().is_terminal();
    let subscriber = subscriber(format, filter, ansi, LossyWriter::new(io::stderr()));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| AlreadyInstalled)?;
    panics::install();
    Ok(())
}

/// Reports the reason for which a command ends: as text with all its lines, or as one event of the JSON log.
pub fn fatal(format: Format, reason: &str) {
    if format == Format::Json && tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!("{reason}");
    } else {
        // Nothing can be done if standard error is closed.
        let _ = writeln!(io::stderr(), "polyai-exporter: {reason}");
    }
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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.build())
        .with_ansi(ansi)
        .with_writer(writer)
        // It would panic where standard error cannot be written.
        .log_internal_errors(false);
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

/// Writes a field of the text format. A value that is not one word is quoted (logfmt), and control characters are escaped in every
/// value, so that none can end the line or control the terminal; the formatter itself does so for some kinds of values.
fn text_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() == "message" {
        return write!(Escaping(out), "{value:?}");
    }
    let text = format!("{value:?}");
    let is_word =
        |letter: char| !letter.is_whitespace() && !letter.is_control() && !matches!(letter, '"' | '=');
    if is_quoted(&text) || (!text.is_empty() && text.chars().all(is_word)) {
        write!(out, "{}={text}", field.name())
    } else {
        write!(out, "{}={text:?}", field.name())
    }
}

/// Whether `text` is one string in quotation marks, as the debug output of text is.
fn is_quoted(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return false };
    let mut is_escaped = false;
    let is_inner = |letter: char| {
        let ends = letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        !ends && !letter.is_control()
    };
    inner.chars().all(is_inner) && !is_escaped
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
    fn line_end_in_a_value_is_escaped() {
        for (format, colours) in [(Format::Text, false), (Format::Auto, true), (Format::Json, false)] {
            let text = logged(format, "info", colours, hostile);
            assert_eq!(text.matches('\n').count(), 1, "{format:?}: {text}");
            assert!(text.ends_with('\n') && !text.contains('\r'), "{format:?}: {text}");
            assert!(!text.contains("\u{1b}[31m"), "a value must not color the terminal: {text}");
        }
    }

    #[test]
    fn text_format_has_level_fields_and_optional_ansi() {
        let say = || tracing::warn!(project = "a", "poll failed");
        let plain = logged(Format::Text, "info", false, say);
        assert!(plain.contains("WARN") && plain.ends_with("poll failed project=\"a\"\n"), "{plain}");
        assert!(!plain.contains('\u{1b}'));
        assert!(logged(Format::Auto, "info", true, say).contains('\u{1b}'));
    }

    #[test]
    fn text_format_quotes_what_is_not_one_word() {
        let text = logged(Format::Text, "info", false, || {
            let (none, some) = ("", Some("a b"));
            tracing::info!(a = %"two words", b = %"word", c = "text", d = %none, e = %"x=y", f = 5, "message of words");
            tracing::info!(g = ?some, h = %"\"a\" b", i = %"\"a b\"", j = %"\"", k = %"\"\\\"", l = %"tab\t", "next");
        });
        let (first, second) = text.trim_end().split_once('\n').unwrap();
        assert!(
            first.ends_with(r#"message of words a="two words" b=word c="text" d="" e="x=y" f=5"#),
            "{first}"
        );
        let quoted = r#"next g="Some(\"a b\")" h="\"a\" b" i="a b" j="\"" k="\"\\\"" l="tab\t""#;
        assert!(second.ends_with(quoted), "{second}");
    }

    #[test]
    fn json_format_has_top_level_fields() {
        let text = logged(Format::Json, "info", false, || tracing::info!(project = "a", "target recovered"));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["project"]), (&"INFO".into(), &"a".into()));
        assert_eq!(line["message"], "target recovered");
    }

    #[test]
    fn filter_accepts_levels_and_directives() {
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
    fn misspelled_level_is_rejected_with_valid_ones() {
        for text in ["inof", "", "info,", "polyai_exporter=loud", "warn,hyper", "[broken=info"] {
            let error = LevelFilterSpec::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("\"{text}\" is not a log level; use error, warn")), "{error}");
        }
        let error = "yaml".parse::<Format>().unwrap_err().to_string();
        assert_eq!(error, "\"yaml\" is not a log format; use auto, text or json");
    }

    #[test]
    fn debug_level_excludes_libraries() {
        let text = logged(Format::Text, "debug", false, || {
            tracing::debug!("ours");
            tracing::debug!(target: "hyper", "theirs");
        });
        assert!(text.contains("ours") && !text.contains("theirs"), "{text}");
    }
}
