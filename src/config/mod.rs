//! The configuration: from a file and the environment to checked [`Settings`].
//!
//! The file is parsed into a tree in which every value knows where it was written, the variables are merged over it (`layers`),
//! the tree is checked against the declared keys (`keys`), and the typed values become settings (`sections`, `targets`). The
//! first problem stops nothing. The process is not looked at: the environment is an argument.

mod api_key;
mod base_url;
mod keys;
mod layers;
mod request_budget;
mod secret;
mod sections;
mod settings;
mod targets;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use chrono::{DateTime, Utc};

pub use exporter_schema::{
    ConfigErrors, DefaultValue, Diagnostic, Key, Location, TrackedFiles, ValueType, format_duration,
};
pub use exporter_web::ListenAddress;
pub use keys::{reference, reference_markdown, variable};
pub use request_budget::{Budget, budgets};
pub use secret::{Origin, Secret};
pub use settings::{CaFile, Dimension, Metrics, Polling, Server, Settings, Storage, Target};

use exporter_schema::{Node, Report, Section, parse_yaml};
use keys::SCHEMA;

/// The inputs of a configuration. Debug output omits the environment: API keys are in it.
#[derive(Clone, Copy)]
pub struct ConfigInput<'a> {
    /// `--config`: a YAML file.
    pub file: Option<&'a Path>,
    /// The environment variables.
    pub env: &'a BTreeMap<String, String>,
    /// `--web.listen-address`, which takes precedence over file and environment; may be empty.
    pub listen: &'a [ListenAddress],
    /// `--web.config.file`, which takes precedence as well; relative to the working directory.
    pub web_config_file: Option<&'a Path>,
    /// The present time: some keys make sense only in the past.
    pub now: DateTime<Utc>,
}

impl fmt::Debug for ConfigInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigInput")
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
    /// Problems that do not prevent the use.
    pub warnings: Vec<Diagnostic>,
    /// Its sources: `polyai.yaml and 2 environment variables`.
    pub origin: String,
    /// Every file that was read: the configuration itself, and those that its keys name.
    pub sources: TrackedFiles,
}

/// Reads and checks a configuration. Pipes are read, too.
///
/// # Errors
/// All problems at once, each with its location and what would be right. No message repeats a secret.
pub fn load(input: &ConfigInput<'_>) -> Result<LoadedConfig, ConfigErrors> {
    read(input, TrackedFiles::allow_pipes())
}

/// Reads it again. Pipes are refused: their content came once.
///
/// # Errors
/// As [`load`].
pub fn load_again(input: &ConfigInput<'_>) -> Result<LoadedConfig, ConfigErrors> {
    read(input, TrackedFiles::default())
}

/// The inputs of the configuration. Without debug output: API keys are among the variables.
struct Context<'a> {
    /// The environment variables.
    env: &'a BTreeMap<String, String>,
    /// The base of relative paths in the configuration.
    directory: &'a Path,
    /// Whether there is a configuration file.
    has_file: bool,
}

fn read(input: &ConfigInput<'_>, mut files: TrackedFiles) -> Result<LoadedConfig, ConfigErrors> {
    let mut report = Report::default();
    let file = read_file(input.file, &mut files, &mut report.errors);
    let mut has_targets = report.errors.is_empty();
    let mut root = layers::merge(file, input.env, &mut report.errors);
    if input.file.is_none()
        && let Err(error) = layers::add_quickstart(&mut root, input.env)
    {
        report.errors.push(error);
        has_targets = false;
    }
    report.errors.extend(SCHEMA.check(&root));
    layers::check_placeholders(&root, "", &mut report.errors);
    let top = Section::root(&root);
    let directory = directory_of(input.file);
    let context = Context { env: input.env, directory, has_file: input.file.is_some() };
    let mut settings = Settings {
        server: sections::server(&top, directory),
        storage: sections::storage(&mut report, &top),
        polling: sections::polling(&mut report, &top, input.now),
        metrics: sections::metrics(&mut report, &top),
        targets: if has_targets {
            targets::targets(&mut report, &mut files, &root, &context)
        } else {
            Vec::new()
        },
    };
    if !input.listen.is_empty() {
        settings.server.listen = input.listen.to_vec();
    }
    if let Some(path) = input.web_config_file {
        settings.server.web_config_file = Some(path.to_path_buf());
    }
    if let Err(variable) = polyai_api::check_proxy_variables(|name| input.env.get(name).cloned()) {
        let text = "found text that is not the address of a proxy (not shown); write http://HOST:PORT";
        report.errors.push(Diagnostic::new(&Location::Variable(variable.to_owned()), "", text));
    }
    if let Some(errors) = ConfigErrors::from_diagnostics(report.errors) {
        return Err(errors.with_files(files).with_web_config_file(settings.server.web_config_file));
    }
    let mut warnings = report.warnings;
    warnings.extend(request_budget::warnings(&settings));
    Ok(LoadedConfig { settings, warnings, origin: origin(input), sources: files })
}

/// The section `server` alone, for commands that query a running daemon; errors elsewhere do not concern them.
///
/// # Errors
/// If the file cannot be read, or the section is wrong.
pub fn server(file: Option<&Path>, env: &BTreeMap<String, String>) -> Result<Server, ConfigErrors> {
    let mut errors = Vec::new();
    let root = read_file(file, &mut TrackedFiles::allow_pipes(), &mut errors);
    // Errors of variables that belong to other sections are among them.
    let root = layers::merge(root, env, &mut Vec::new());
    let is_of_server = |error: &Diagnostic| error.key().starts_with("server");
    errors.extend(SCHEMA.check(&root).into_iter().filter(is_of_server));
    let server = sections::server(&Section::root(&root), directory_of(file));
    ConfigErrors::from_diagnostics(errors).map_or(Ok(server), Err)
}

/// A configuration of a thousand targets has some 300 KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The tree of the file, unchecked; an empty one after an error, or without a file.
fn read_file(file: Option<&Path>, files: &mut TrackedFiles, errors: &mut Vec<Diagnostic>) -> Node {
    let Some(path) = file else { return Node::table(Location::Environment) };
    let name = path.display().to_string();
    let error = |text: &str| vec![Diagnostic::new(&Location::File(name.as_str().into()), "", text)];
    let text = if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        Err(error("TOML is not supported; write the configuration as YAML, in a file named .yaml"))
    } else {
        files.read_text(path, MAX_FILE_BYTES).map_err(|text| error(&text))
    };
    match text.and_then(|text| parse_yaml(&name, &text)) {
        Ok(root) if root.entries().is_none_or(BTreeMap::is_empty) => {
            errors.extend(error("the file is empty; it needs at least `targets`"));
        }
        Ok(root) => return root,
        Err(wrong) => errors.extend(wrong),
    }
    Node::table(Location::Program)
}

/// The directory that relative paths in the file start from.
fn directory_of(file: Option<&Path>) -> &Path {
    file.and_then(Path::parent).unwrap_or(Path::new(""))
}

fn origin(input: &ConfigInput<'_>) -> String {
    let Some(path) = input.file else { return "the environment".to_owned() };
    match layers::count(input.env) {
        0 => path.display().to_string(),
        1 => format!("{} and 1 environment variable", path.display()),
        count => format!("{} and {count} environment variables", path.display()),
    }
}
