//! Captures the log of a scenario, which runs on the thread of its test. A failed test prints the end of it.

use std::io;
use std::sync::{Arc, Mutex};

use polyai_exporter::logging::{Format, LevelFilterSpec, subscriber};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

/// The log of one scenario.
pub(crate) struct Log {
    written: Written,
    _until_dropped: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures what this thread logs from here on, in full detail, that of libraries included.
    pub(crate) fn capture() -> Self {
        let written = Written::default();
        let everything = LevelFilterSpec::parse("trace,polyai_exporter=trace").unwrap();
        let subscriber = subscriber(Format::Json, &everything, false, written.clone());
        Self { written, _until_dropped: tracing::subscriber::set_default(subscriber) }
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines that an operator sees at the usual level, as far as they are about `project`.
    pub(crate) fn about(&self, project: &str) -> Vec<Line> {
        let text = self.text();
        let lines = text.lines().map(|line| Line(serde_json::from_str(line).unwrap()));
        lines
            .filter(|line| ["INFO", "WARN", "ERROR"].contains(&line.field("level").as_str()))
            .filter(|line| line.field("project") == project)
            .collect()
    }
}

/// One line.
pub(crate) struct Line(Value);

impl Line {
    /// A field as text; empty if there is none.
    pub(crate) fn field(&self, name: &str) -> String {
        self.0
            .get(name)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .unwrap_or_default()
    }

    /// Level and message.
    pub(crate) fn gist(&self) -> String {
        format!("{} {}", self.field("level"), self.field("message"))
    }
}

#[expect(clippy::print_stdout, reason = "the test harness shows it with the failure")]
impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.text();
            let ours: Vec<&str> = text.lines().filter(|line| line.contains("polyai_exporter")).collect();
            println!("the end of the log:\n{}", ours[ours.len().saturating_sub(40)..].join("\n"));
        }
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
