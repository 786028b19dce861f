//! Packaging: systemd units, Dockerfile, manual pages, completions, and the assets of the Debian package.
//!
//! `scripts/image` and `scripts/package` build the image and the package.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use polyai_exporter::config::{reference, variable};

use super::daemon::{BINARY, command, polyai_exporter, run};
use super::has;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const UNIT: &str = "deploy/systemd/polyai-exporter.service";

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The output of `--help` of `command`, or of the program if it is empty.
async fn help(command: &str) -> String {
    let arguments: Vec<&str> =
        [command, "--help"].into_iter().filter(|argument| !argument.is_empty()).collect();
    polyai_exporter(&arguments, &[]).await.stdout
}

async fn commands() -> Vec<String> {
    let help = help("").await;
    let listed = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let lines = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    lines
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The flags that a help text lists, each at the beginning of its line.
fn flags(help: &str) -> BTreeSet<String> {
    let lines = help.lines().filter_map(|line| line.trim_start().strip_prefix('-'));
    lines
        .filter_map(|line| line.split("--").nth(1).or_else(|| line.strip_prefix('-')))
        .map(|flag| flag.split([' ', ',']).next().unwrap().to_owned())
        .filter(|flag| !flag.is_empty())
        .collect()
}

/// A page without its markup.
fn plain(page: &str) -> String {
    page.replace("\\-", "-").replace("\\&", "").replace("\\fB", "").replace("\\fR", "")
}

#[tokio::test]
async fn man_pages_have_all_flags_and_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let written = polyai_exporter(&["man", "--output-dir", dir.path().to_str().unwrap()], &[]).await;
    assert_eq!(written.code, 0, "{written:?}");
    let mut pages = 0;
    for name in std::iter::once(String::new()).chain(commands().await) {
        let file = if name.is_empty() {
            "polyai-exporter.1".to_owned()
        } else {
            format!("polyai-exporter-{name}.1")
        };
        let page = std::fs::read_to_string(dir.path().join(&file)).unwrap_or_else(|_| panic!("no {file}"));
        let shown = plain(&page);
        for flag in flags(&help(&name).await) {
            assert!(shown.contains(&format!("--{flag}")), "{file} does not have --{flag}: {shown}");
        }
        assert!(shown.contains(".SH \"EXIT STATUS\"\n.TP\n0\n"), "{file}: {shown}");
        let arguments: Vec<&str> =
            ["man", &*name].into_iter().filter(|argument| !argument.is_empty()).collect();
        assert_eq!(polyai_exporter(&arguments, &[]).await.stdout, page, "{file}");
        pages += 1;
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), pages, "no page without a command");

    let serve = plain(&std::fs::read_to_string(dir.path().join("polyai-exporter-serve.1")).unwrap());
    for key in reference() {
        assert!(serve.contains(&format!("\n{}\n", variable(key))), "{} is not in {serve}", key.path);
    }
    let unknown = polyai_exporter(&["man", "nonsense"], &[]).await;
    assert_eq!(unknown.code, 2, "{unknown:?}");
    let nowhere = polyai_exporter(&["man", "--output-dir", "no/such/directory"], &[]).await;
    assert!(nowhere.code == 1 && nowhere.stderr.contains("--output-dir no/such/directory"), "{nowhere:?}");
}

#[tokio::test]
async fn completions_cover_all_commands_and_flags() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = polyai_exporter(&["completions", shell], &[]).await;
        assert_eq!(script.code, 0, "{script:?}");
        for name in commands().await {
            assert!(script.stdout.contains(&name), "{shell} does not complete {name}");
            for flag in flags(&help(&name).await) {
                assert!(script.stdout.contains(&flag), "{shell} does not complete --{flag} of {name}");
            }
        }
    }
    if has(command("bash").arg("--version").output().await.is_ok(), "there is no bash") {
        // As a person who has typed that much and presses the tab key.
        let script = "source <(\"$1\" completions bash) && COMP_WORDS=(polyai-exporter serve --conf) COMP_CWORD=2 && \
                      completer=$(complete -p polyai-exporter | grep -o '_polyai[^ ]*') && \
                      \"$completer\" polyai-exporter --conf serve && echo \"${COMPREPLY[*]}\"";
        let mut bash = command("bash");
        bash.args(["-c", script, "bash", BINARY]);
        let completed = run(bash).await;
        assert!(completed.stdout.starts_with("--config"), "{completed:?}");
    }
}

#[tokio::test]
async fn systemd_analyze_accepts_hardened_units() {
    let found = command("systemd-analyze")
        .arg("--version")
        .output()
        .await
        .is_ok_and(|output| output.status.success());
    if !has(found, "systemd-analyze is not installed; tests/run installs systemd") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (service, socket) =
        (dir.path().join("polyai-exporter.service"), dir.path().join("polyai-exporter.socket"));
    // The program must be where the unit says.
    let unit = read(UNIT);
    assert!(unit.contains("ExecStart=/usr/bin/polyai-exporter serve "), "{unit}");
    std::fs::write(&service, unit.replace("/usr/bin/polyai-exporter", BINARY)).unwrap();
    std::fs::copy(Path::new(ROOT).join("deploy/systemd/polyai-exporter.socket"), &socket).unwrap();

    let mut verify = command("systemd-analyze");
    verify.args(["verify", "--man=no"]).args([&service, &socket]);
    let verified = run(verify).await;
    assert_eq!((verified.code, &*verified.stdout, &*verified.stderr), (0, "", ""));

    // Of 100. What is left is its purpose: it needs the network, with any address, and reads /proc.
    let mut security = command("systemd-analyze");
    security.args(["security", "--no-pager", "--offline=true", "--threshold=12"]).arg(&service);
    let secured = run(security).await;
    assert_eq!(secured.code, 0, "{}", secured.stdout);
}

#[tokio::test]
async fn systemd_service_matches_example_and_program() {
    let unit = read(UNIT);
    // The credential that the unit loads is the file that the example reads.
    let (name, _) = unit.split("LoadCredential=").nth(1).unwrap().split_once(':').unwrap();
    let credential = format!("/run/credentials/polyai-exporter.service/{name}");
    let example = read("deploy/systemd/polyai.yaml");
    assert!(example.contains(&format!("api_key_file: {credential}\n")), "{example}");
    // The example is right, but for its key, which is somewhere else here.
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join(name);
    std::fs::write(&key, "a-key").unwrap();
    let stand_in = ("POLYAI_EXPORTER__TARGETS__0__API_KEY_FILE", key.to_str().unwrap());
    let checked = polyai_exporter(&["check", "--config", "deploy/systemd/polyai.yaml"], &[stand_in]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    // The flags that texts suggest are flags.
    let serve = help("serve").await;
    for file in [UNIT, "deploy/systemd/polyai-exporter.socket", "deploy/systemd/polyai-exporter.default"] {
        let text = read(file);
        let suggested = text
            .split([' ', ',', ':', '\n'])
            .filter(|word| word.starts_with("--web.") || word.starts_with("--config"));
        for flag in suggested {
            assert!(
                serve.contains(&format!(" {flag} ")) || serve.contains(&format!(" {flag}\n")),
                "{file}: {flag}"
            );
        }
    }
    // And the variables are variables.
    for line in read("deploy/systemd/polyai-exporter.default")
        .lines()
        .filter(|line| line.contains("POLYAI_EXPORTER__"))
    {
        let (name, _) = line.trim_start_matches(['#', ' ']).split_once('=').unwrap();
        assert!(reference().iter().any(|key| variable(key) == name), "{line}");
    }
}

#[tokio::test]
async fn hadolint_accepts_dockerfile() {
    let hadolint = Path::new(ROOT).join("target/python/bin/hadolint");
    if !has(hadolint.exists(), "hadolint is not in target/python; tests/run installs it") {
        return;
    }
    let mut lint = command(hadolint);
    lint.arg("--no-color").arg(Path::new(ROOT).join("Dockerfile"));
    let linted = run(lint).await;
    assert_eq!((linted.code, &*linted.stdout), (0, ""), "{linted:?}");
}

/// The image is built from a copy of the repository that lacks everything which the Dockerfile does not name.
#[test]
fn dockerfile_copies_all_sources() {
    let (dockerfile, ignored) = (read("Dockerfile"), read(".dockerignore"));
    let mut needed = BTreeSet::from(["src".to_owned(), "crates".to_owned()]);
    let mut directories = vec![Path::new(ROOT).join("src"), Path::new(ROOT).join("crates")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            needed.extend(included(&path).into_iter().filter_map(|file| {
                let first = file.strip_prefix(ROOT).unwrap().components().next()?;
                Some(first.as_os_str().to_str().unwrap().to_owned())
            }));
        }
    }
    assert!(needed.contains("alerts"), "{needed:?}");
    for directory in needed {
        assert!(dockerfile.contains(&format!("COPY {directory} {directory}\n")), "{directory}: {dockerfile}");
        assert!(ignored.contains(&format!("\n!{directory}\n")), "{directory}: {ignored}");
    }
    // The manifest of every member.
    assert!(dockerfile.contains("COPY xtask/Cargo.toml xtask/\n"), "{dockerfile}");
    assert!(ignored.contains("\n!xtask/Cargo.toml\n"), "{ignored}");
}

/// The files that the source at `path` takes in as they are.
fn included(path: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let beside = path.parent().unwrap();
    let names = ["include_str!(\"", "include_bytes!(\""].map(|start| {
        text.split(start).skip(1).map(|rest| beside.join(rest.split('"').next().unwrap())).collect::<Vec<_>>()
    });
    names.concat().into_iter().map(|file| file.canonicalize().unwrap()).collect()
}

#[test]
fn image_exposes_default_port_as_non_root() {
    let dockerfile = read("Dockerfile");
    let listen = polyai_exporter::config::Server::default().listen[0].to_string();
    for line in [
        &*format!("EXPOSE {}", listen.rsplit(':').next().unwrap()),
        "USER 65532:65532",
        "ENTRYPOINT [\"/polyai-exporter\"]",
        "CMD [\"serve\"]",
        // The state of a configuration that names no directory is in ./data.
        "WORKDIR /",
        "VOLUME /data",
    ] {
        assert!(dockerfile.lines().any(|found| found == line), "{line:?} is not in {dockerfile}");
    }
    assert!(dockerfile.contains("CMD [\"/polyai-exporter\", \"healthcheck\"]\n"), "{dockerfile}");
}

#[test]
fn image_uses_supported_rust_version() {
    let (dockerfile, manifest) = (read("Dockerfile"), read("Cargo.toml"));
    let version = |text: &str, before: &str| -> Vec<u32> {
        let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("no {before:?}"));
        let number = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap();
        number.split('.').map(|part| part.parse().unwrap()).collect()
    };
    assert!(version(&dockerfile, "ARG RUST_VERSION=") >= version(&manifest, "rust-version = \""));
}

#[test]
fn debian_package_assets_exist() {
    let manifest = read("Cargo.toml");
    let list = manifest.split("\nassets = [\n").nth(1).unwrap().split("\n]").next().unwrap();
    let mut seen = 0;
    for line in list.lines() {
        let source = line.split('"').nth(1).unwrap();
        seen += 1;
        // What the build makes.
        if source.starts_with("target/") {
            continue;
        }
        // For nested directories, the first is enough.
        let source = source.replace("**/", "");
        let (dir, pattern) = source.rsplit_once('/').unwrap_or((".", &source));
        let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
        let there = std::fs::read_dir(Path::new(ROOT).join(dir)).unwrap().any(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name == pattern || (pattern.contains('*') && name.starts_with(before) && name.ends_with(after))
        });
        assert!(there, "{source} is not there");
    }
    assert_eq!(seen, 15);
}

/// `--output ~/Desktop` must cost nobody a file.
#[tokio::test]
async fn release_refuses_directory_with_other_files() {
    let dir = tempfile::tempdir().unwrap();
    let earlier = format!("{}  polyai-exporter.tar.gz\n", "0".repeat(64));
    for (name, text) in [("thesis.odt", "years"), ("polyai-exporter.tar.gz", ""), ("SHA256SUMS", &earlier)] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    for output in [dir.path(), &dir.path().join("thesis.odt")] {
        let mut release = command(Path::new(ROOT).join("scripts/release"));
        release.args(["--skip-tests", "--output"]).arg(output);
        let ended = run(release).await;
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stderr.contains("thesis.odt"), "what is in the way is named: {ended:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "{ended:?}");
    }
}
