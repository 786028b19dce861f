//! Properties of every input: no panic, and no secret in anything that is printed.

use std::fs;

use polyai_exporter::config::{ConfigErrors, ConfigInput, LoadedConfig, load, reference, variable};
use proptest::prelude::*;

use super::{QUICKSTART, checked, load_environment, load_file, load_text, today, variables};

const MARKER: &str = "sk-Qz7marker9X";

/// Everything that may be printed or logged.
fn printed(outcome: &Result<LoadedConfig, ConfigErrors>) -> String {
    let debug = format!("{outcome:?}");
    let display = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
    format!("{debug}\n{display}\n{}", checked(outcome).1)
}

/// Text that resembles a configuration, so that more than the first line of a parser is reached.
fn resembling_a_configuration() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "polling:",
            "targets:",
            "\n",
            "\n  ",
            "\n  - ",
            "- ",
            "interval",
            ": ",
            "30s",
            "[",
            "]",
            "{",
            "}",
            ",",
            "\"",
            "'",
            "#",
            "|",
            ">",
            "&a",
            "*a",
            "<<",
            "!!str",
            "? ",
            "%",
            "---\n",
            "...",
            "\t",
            "=",
            "null",
            "~",
            ".inf",
            "-1",
            "0x",
            "1e999",
            "99999999999999999999",
            "\\u0000",
            "\\",
            "\u{feff}",
            "\u{2028}",
            "\u{85}",
            "region: us-1",
            "api_key: k",
            "\"region\": \"us-1\"",
            "base_url: http://[",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        "[a-z_.\\[\\]0-9]{0,12}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn no_text_causes_a_panic(
        text in resembling_a_configuration(),
        extension in prop::sample::select(vec!["yaml", "json"]),
    ) {
        let _: Result<LoadedConfig, String> = load_text(extension, &text, &[]);
    }

    #[test]
    fn no_value_causes_a_panic(
        index in 0..reference().len(),
        value in prop_oneof![resembling_a_configuration(), any::<String>()],
    ) {
        let key = &reference()[index];
        let variable = variable(key);
        let _: Result<LoadedConfig, String> = load_environment(&[&QUICKSTART[..], &[(&variable, &value)]].concat());
        let name = key.path.rsplit('.').next().unwrap();
        let text = serde_json::json!({"polling": {name: &value}, "targets": [{name: &value}]}).to_string();
        let _: Result<LoadedConfig, String> = load_text("json", &text, &[]);
    }

    #[test]
    fn secret_is_never_printed(
        source in prop::sample::select(vec!["api_key", "api_key_env", "api_key_file", "apikey", "platform_api_key"]),
        broken in prop::sample::select(vec!["", "\u{7f}", "é", "/x", "?x@"]),
        kind in 0..4,
        rest in prop::sample::select(vec!["", "region: nowhere", "polling: {interval: 1}", "zebra: 1"]),
    ) {
        let secret = format!("{MARKER}{broken}");
        let value = match kind {
            0 => serde_json::json!(secret),
            1 => serde_json::json!([secret]),
            2 => serde_json::json!({"inner": secret}),
            _ => serde_json::json!([[secret]]),
        };
        let text = format!(
            "targets:\n  - {source}: {value}\n    region: us-1\n    account_id: w\n    project_id: p\n    {rest}\n"
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("polyai.yaml");
        fs::write(&file, text).unwrap();
        let variable = format!("POLYAI_EXPORTER__TARGETS__0__{}", source.to_ascii_uppercase());
        for outcome in [
            load_file(&file, &[]),
            load_file(&file, &[(&variable, &secret)]),
            load_file(&file, &[("POLYAI_API_KEY", &secret), ("POLYAI_EXPORTER__TARGETS__0__API_KEY_ENV", "POLYAI_API_KEY")]),
            load(&ConfigInput { file: None, env: &variables(&[&QUICKSTART[1..], &[("POLYAI_API_KEY", &secret)]].concat()), listen: &[], web_config_file: None, now: today() }),
            load(&ConfigInput { file: None, env: &variables(&[&QUICKSTART[..], &[(&variable, &secret)]].concat()), listen: &[], web_config_file: None, now: today() }),
        ] {
            let printed = printed(&outcome);
            prop_assert!(!printed.contains("marker"), "{}", printed);
        }
    }

    #[test]
    fn secret_in_invalid_file_is_never_printed(cut in 0..400_usize, extension in prop::sample::select(vec!["yaml", "json"])) {
        let text = match extension {
            "json" => format!("{{\"targets\": [{{\"api_key\": \"{MARKER}\", \"region\": \"us-1\"}}], \"polling\": {{\"interval\": 3}}}}"),
            _ => format!("targets:\n  - region: us-1\n    api_key: \"{MARKER}\"\n    account_id: w\npolling:\n  interval: 3\n"),
        };
        let mut letters: Vec<char> = text.chars().collect();
        letters.remove(cut % letters.len());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(format!("polyai.{extension}"));
        fs::write(&file, letters.into_iter().collect::<String>()).unwrap();
        let printed = printed(&load_file(&file, &[]));
        prop_assert!(!printed.contains("marker"), "{}", printed);
    }
}
