//! The example for Alertmanager: accepted by amtool, and each alert goes where it should.

use std::process::Command;

use super::promtool::{said, tool};
use super::rules::{alerts, project, yaml};

const EXAMPLE: &str = "alerts/alertmanager.example.yml";

#[test]
fn amtool_accepts_the_example() {
    let Some(amtool) = tool("amtool") else { return };
    let checked =
        Command::new(amtool).args(["check-config", EXAMPLE]).current_dir(project()).output().unwrap();
    assert!(checked.status.success(), "{}", said(&checked));
}

#[test]
fn alerts_are_routed_by_severity() {
    let Some(amtool) = tool("amtool") else { return };
    let receiver = |labels: &[String]| {
        let mut command = Command::new(&amtool);
        command.args(["config", "routes", "test", &format!("--config.file={EXAMPLE}")]).args(labels);
        let output = command.current_dir(project()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let labels = |alert: &str, severity: &str, component: &str, project: &str| {
        [("alertname", alert), ("severity", severity), ("component", component), ("project", project)]
            .map(|(name, value)| format!("{name}={value}"))
    };
    for rule in alerts() {
        let (severity, component) = (&rule.labels["severity"], &rule.labels["component"]);
        let expected = match severity.as_str() {
            "critical" => "pager",
            "warning" => "chat",
            _ => "tickets",
        };
        assert_eq!(
            receiver(&labels(&rule.name, severity, component, "reservations")),
            expected,
            "{}",
            rule.name
        );
    }
    for (alert, component, expected) in [
        ("PolyAISilenceHigh", "agent", "pager-billing"),
        ("PolyAITrafficStopped", "agent", "pager-billing"),
        ("PolyAITargetStale", "data", "pager"),
    ] {
        assert_eq!(receiver(&labels(alert, "critical", component, "billing")), expected, "{alert}");
    }
    assert_eq!(
        receiver(&labels("SomethingElse", "critical", "other", "other")),
        "chat",
        "the alerts of others are theirs"
    );
}

/// Names in the example that no alert has would inhibit and route nothing.
#[test]
fn example_names_existing_alerts() {
    let text = std::fs::read_to_string(project().join(EXAMPLE)).unwrap();
    let names: Vec<String> = alerts().into_iter().map(|rule| rule.name).collect();
    let example = yaml(&text);
    let mut seen = 0;
    let rules = example["inhibit_rules"].as_vec().unwrap();
    for matcher in rules.iter().flat_map(|rule| {
        ["source_matchers", "target_matchers"]
            .into_iter()
            .flat_map(|side| rule[side].as_vec().unwrap().clone())
    }) {
        let matcher = matcher.as_str().unwrap().to_owned();
        let Some(pattern) = matcher.strip_prefix("alertname") else { continue };
        let pattern = pattern.trim_start_matches(['=', '!', '~']).trim_matches('"');
        let spelt = match pattern.split_once('(') {
            Some((before, rest)) => {
                let inner = rest.trim_end_matches(')');
                inner.split('|').map(|end| format!("{before}{end}")).collect()
            }
            None if pattern.ends_with(".+") => Vec::new(),
            None => vec![pattern.to_owned()],
        };
        for name in spelt {
            assert!(names.contains(&name), "{matcher}: there is no alert {name}");
            seen += 1;
        }
    }
    assert!(seen >= 15, "{seen}");
}
