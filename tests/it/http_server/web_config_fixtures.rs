//! Valid and invalid web configuration files with their diagnostics.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use exporter_web::LoadedWebConfig;
use insta::assert_snapshot;
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use super::test_ca::Authority;

const FIXTURES: &str = "tests/fixtures/web";

/// The time at which the files are read.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-06-15T12:00:00Z".parse().unwrap()
}

/// A directory with all files that the fixtures name.
pub(crate) fn dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let authority = Authority::new("clients");
    write("clients.pem", &authority.pem);
    let server = authority.issue_with(&[], |params| params.not_after = rcgen::date_time_ymd(2036, 5, 4));
    write("server.pem", &server.certificate);
    write("server-key.pem", &server.key);
    let half = server.certificate.len() / 2;
    write("half.pem", &server.certificate[..half]);
    let expired = authority.issue_with(&[], |params| params.not_after = rcgen::date_time_ymd(2026, 6, 1));
    write("expired.pem", &expired.certificate);
    write("expired-key.pem", &expired.key);
    let soon = Authority::with("soon", |params| params.not_after = rcgen::date_time_ymd(2026, 6, 18));
    write("soon.pem", &soon.pem);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nbWFya2Vy\n-----END ENCRYPTED PRIVATE KEY-----\n";
    write("encrypted-key.pem", encrypted);
    dir
}

/// Copies the fixture to `dir`, with its placeholders for certificates filled in.
pub(crate) fn instantiate(fixture: &Path, dir: &Path) -> PathBuf {
    let mut text = fs::read_to_string(fixture).unwrap();
    for name in ["server.pem", "server-key.pem", "clients.pem"] {
        let mark = format!("{{{{{name}}}}}");
        if text.contains(&mark) {
            let pem = fs::read_to_string(dir.join(name)).unwrap();
            text = text.replace(&mark, &format!("{pem:?}"));
        }
    }
    let path = dir.join(fixture.file_name().unwrap());
    fs::write(&path, text).unwrap();
    path
}

pub(crate) fn fixtures(ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(FIXTURES).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    files
}

/// Compares with the file `NAME.snap` next to the fixture.
fn assert_matches_snapshot(fixture: &Path, text: &str, dir: &Path) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../fixtures/web");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let name = fixture.file_name().unwrap().to_string_lossy().into_owned();
    settings.bind(|| assert_snapshot!(name, text.replace(&format!("{}/", dir.display()), "")));
}

#[test]
fn valid_files_are_summarized_with_warnings() {
    let dir = dir();
    let files = fixtures(".good.yml");
    assert!(files.len() >= 14, "found the fixtures");
    for file in files {
        let prepared = LoadedWebConfig::read(Some(&instantiate(&file, dir.path())), now());
        let prepared = prepared.unwrap_or_else(|problems| panic!("{}: {problems}", file.display()));
        let mut text = format!("{}\n", prepared.summary());
        for warning in prepared.warnings() {
            text.push_str(&format!("warning: {warning}\n"));
        }
        assert_matches_snapshot(&file, &text, dir.path());
    }
}

#[test]
fn invalid_files_are_refused_with_all_errors() {
    let dir = dir();
    let files = fixtures(".bad.yml");
    assert!(files.len() >= 28, "found the fixtures");
    for file in files {
        let outcome = LoadedWebConfig::read(Some(&instantiate(&file, dir.path())), now());
        let problems = outcome.expect_err(&file.display().to_string()).to_string();
        for secret in ["marker", "271828", "PRIVATE KEY-----"] {
            assert!(!problems.contains(secret), "{}: {problems}", file.display());
        }
        assert_matches_snapshot(&file, &problems, dir.path());
    }
}

#[test]
fn fixtures_cover_every_key_and_choice() {
    let texts: String = fixtures(".yml").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for word in [
        "cert:",
        "key:",
        "client_ca:",
        "cert_file:",
        "key_file:",
        "client_auth_type:",
        "client_ca_file:",
        "client_allowed_sans:",
        "min_version:",
        "max_version:",
        "cipher_suites:",
        "prefer_server_cipher_suites:",
        "curve_preferences:",
        "http2:",
        "headers:",
        "basic_auth_users:",
        "rate_limit:",
        "interval:",
        "burst:",
        "NoClientCert",
        "RequestClientCert",
        "RequireAnyClientCert",
        "RequireClientCert",
        "VerifyClientCertIfGiven",
        "RequireAndVerifyClientCert",
        "TLS10",
        "TLS11",
        "TLS12",
        "TLS13",
        "CurveP256",
        "CurveP384",
        "CurveP521",
        "X25519",
        "Content-Security-Policy",
        "X-Frame-Options",
        "X-Content-Type-Options",
        "X-XSS-Protection",
        "Strict-Transport-Security",
    ] {
        assert!(texts.contains(word), "no fixture has {word}");
    }
}

#[test]
fn missing_file_is_an_error_and_no_file_is_plain_http() {
    let problems = LoadedWebConfig::read(Some(Path::new("no-such.yml")), now()).unwrap_err().to_string();
    assert_eq!(problems, "no-such.yml: there is no such file; check the path");
    assert_eq!(LoadedWebConfig::read(None, now()).unwrap().summary(), "plain HTTP, no users");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Bytes are lost, duplicated or replaced, as by an editor, a template or a disk.
    #[test]
    fn damaged_file_errors_never_contain_secrets(
        which in any::<Index>(),
        damages in prop::collection::vec((any::<Index>(), 0..3_u8, any::<u8>()), 1..6),
    ) {
        let files = fixtures(".good.yml");
        let mut text = fs::read(&files[which.index(files.len())]).unwrap();
        for (place, kind, byte) in damages {
            let at = place.index(text.len());
            match kind {
                0 => drop(text.remove(at)),
                1 => text.insert(at, byte),
                _ => text[at] = byte,
            }
            if text.is_empty() {
                text.push(b'\n');
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml");
        fs::write(&path, &text).unwrap();
        if let Err(problems) = LoadedWebConfig::read(Some(&path), now()) {
            let said = problems.to_string();
            // The end of the hashes in the fixtures.
            prop_assert!(!said.contains("xrIidl2") && !said.contains("JZhPh9u"), "{}", said);
        }
    }
}
