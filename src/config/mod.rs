//! The configuration: from a file and the environment to checked [`Settings`].
//!
//! Owns: the raw shape, its sources, the checks and the secrets. Never: anything at run time, and never the process: the
//! environment is handed in.
//!
//! The way of a value: file (`file`) and variables (`environment`) become one raw tree (`tree`), in which every value
//! knows where it was written; whatever the table of keys (`keys`) does not have is refused (`strict`); the rest is read
//! by its format and range (`reader`) into `settings`. Nothing stops at the first problem.

mod address;
mod budget;
mod credential;
mod environment;
mod keys;
mod listen;
mod nearest;
mod reader;
mod reference;
mod secret;
mod sections;
mod settings;
mod shape;
mod strict;
mod targets;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

pub use budget::{Budget, budgets};
pub use exporter_schema::{ConfigErrors, Diagnostic, Location, TrackedFiles};
pub use keys::{DefaultValue, Key};
pub use listen::{ListenAddress, ParseListenAddressError};
pub use reference::{reference, reference_markdown, variable};
pub use secret::{Origin, Secret};
pub use settings::{CaFile, Dimension, Metrics, Polling, Server, Settings, Storage, Target};
pub use shape::{ValueType, format_duration};

pub(crate) use exporter_schema::{Node, Value, closest, display_key, join_list, parse_yaml, quoted, sha256};

use credential::ConfigContext;
use reader::Reader;

/// What a configuration is made from. Debug output leaves the values of the environment out: API keys are among them.
#[derive(Clone, Copy)]
pub struct ConfigInput<'a> {
    /// `--config`: a YAML file.
    pub file: Option<&'a Path>,
    /// The environment variables.
    pub env: &'a BTreeMap<String, String>,
    /// `--web.listen-address`, which wins over file and environment; none given: empty.
    pub listen: &'a [ListenAddress],
    /// `--web.config.file`, which wins as well; relative to the working directory.
    pub web_config_file: Option<&'a Path>,
    /// What time it is: some times make sense only in the past.
    pub now: DateTime<Utc>,
}

impl fmt::Debug for ConfigInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("file", &self.file)
            .field("listen", &self.listen)
            .field("web_config_file", &self.web_config_file)
            .finish_non_exhaustive()
    }
}

/// A configuration that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedConfig {
    /// The settings.
    pub settings: Settings,
    /// What works and still deserves a look.
    pub warnings: Vec<Diagnostic>,
    /// Where it came from, for people: `polyai.yaml and 2 environment variables`.
    pub origin: String,
    /// Every file that a value was taken from, as it was: the configuration itself, and those that its keys name.
    pub sources: TrackedFiles,
}

/// Reads and checks a configuration. What comes through a pipe is waited for.
///
/// # Errors
/// All that is wrong at once, each with its place and what would be right. No message repeats a secret.
pub fn load(input: &ConfigInput<'_>) -> Result<LoadedConfig, ConfigErrors> {
    read(input, TrackedFiles::allow_pipes())
}

/// Reads it again: a pipe would have nothing more to say, and is refused.
///
/// # Errors
/// As [`load`].
pub fn load_again(input: &ConfigInput<'_>) -> Result<LoadedConfig, ConfigErrors> {
    read(input, TrackedFiles::default())
}

fn read(input: &ConfigInput<'_>, mut sources: TrackedFiles) -> Result<LoadedConfig, ConfigErrors> {
    let (mut root, mut complaints) = raw(input.file, &mut sources);
    let unreadable = !complaints.is_empty();
    complaints.extend(environment::apply_env(&mut root, input.env));
    let mut reader = Reader { complaints, sources, ..Reader::default() };
    let mut has_targets = !unreadable;
    if input.file.is_none()
        && let Err(complaint) = environment::quickstart(&mut root, input.env)
    {
        reader.complaints.push(complaint);
        has_targets = false;
    }
    reader.complaints.extend(strict::unknown_keys(&root));
    let around = ConfigContext {
        env: input.env,
        folder: input.file.map(folder_of).unwrap_or_default(),
        without_file: input.file.is_none(),
    };
    let mut settings = Settings {
        server: sections::server(&mut reader, &root, &around.folder),
        storage: sections::storage(&mut reader, &root),
        polling: sections::polling(&mut reader, &root, input.now),
        metrics: sections::metrics(&mut reader, &root),
        targets: if has_targets { targets::targets(&mut reader, &root, &around) } else { Vec::new() },
    };
    if !input.listen.is_empty() {
        settings.server.listen = input.listen.to_vec();
    }
    if let Some(path) = input.web_config_file {
        settings.server.web_config_file = Some(path.to_path_buf());
    }
    if let Some(problems) = ConfigErrors::from_diagnostics(reader.complaints) {
        return Err(problems
            .with_files(reader.sources)
            .with_web_config_file(settings.server.web_config_file));
    }
    let mut warnings = reader.warnings;
    warnings.extend(budget::warnings(&settings));
    Ok(LoadedConfig { settings, warnings, origin: origin(input), sources: reader.sources })
}

/// The section `server` alone, for commands that ask a running daemon; whatever else is wrong is not their business.
///
/// # Errors
/// When the file cannot be read, or the section is wrong.
pub fn server(file: Option<&Path>, env: &BTreeMap<String, String>) -> Result<Server, ConfigErrors> {
    let (mut root, complaints) = raw(file, &mut TrackedFiles::allow_pipes());
    // Complaints about other sections among them: whoever runs the daemon has been told.
    let _ = environment::apply_env(&mut root, env);
    let mut reader = Reader { complaints, ..Reader::default() };
    let server = sections::server(&mut reader, &root, &file.map(folder_of).unwrap_or_default());
    ConfigErrors::from_diagnostics(reader.complaints).map_or(Ok(server), Err)
}

/// What the file says, unchecked; the complaints are of a file that cannot be read.
fn raw(file: Option<&Path>, sources: &mut TrackedFiles) -> (Node, Vec<Diagnostic>) {
    match file.map(|path| read_file(path, sources)) {
        None => (Node::table(Location::Environment), Vec::new()),
        Some(Ok(root)) => (root, Vec::new()),
        // What the environment says on top of a file that cannot be read means little.
        Some(Err(complaints)) => (Node::table(Location::Program), complaints),
    }
}

/// A configuration of a thousand targets has some 300 KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

fn read_file(path: &Path, files: &mut TrackedFiles) -> Result<Node, Vec<Diagnostic>> {
    let name = path.display().to_string();
    let error = |text: &str| vec![Diagnostic::new(&Location::File(name.as_str().into()), "", text)];
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        return Err(error("TOML is not supported; write the configuration as YAML, in a file named .yaml"));
    }
    let text = files.read_text(path, MAX_FILE_BYTES).map_err(|text| error(&text))?;
    let root = parse_yaml(&name, &text)?;
    if root.entries().is_none_or(|entries| entries.is_empty()) {
        return Err(error("the file is empty; it needs at least `targets`"));
    }
    Ok(root)
}

/// The directory that relative paths in the file start from.
fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn origin(input: &ConfigInput<'_>) -> String {
    let Some(path) = input.file else { return "the environment".to_owned() };
    match environment::count(input.env) {
        0 => path.display().to_string(),
        1 => format!("{} and 1 environment variable", path.display()),
        count => format!("{} and {count} environment variables", path.display()),
    }
}
