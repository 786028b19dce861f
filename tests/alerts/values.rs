//! Both formats have the same rules, every threshold is used, and buckets are those of the exporter.

use polyai_exporter::alert_rules::Format;
use polyai_exporter::config::{DefaultValue, reference};

use super::rules::{project, rendered, yaml};

#[test]
fn both_formats_have_the_same_groups() {
    let plain = yaml(&rendered(&[], Format::Prometheus));
    let object = yaml(&rendered(&[], Format::Operator));
    assert_eq!(object["apiVersion"].as_str(), Some("monitoring.coreos.com/v1"));
    assert_eq!(object["kind"].as_str(), Some("PrometheusRule"));
    assert_eq!(object["spec"]["groups"], plain["groups"]);
}

/// Every key of the defaults is used by a template.
#[test]
fn every_value_is_used() {
    let values = yaml(&std::fs::read_to_string(project().join("alerts/thresholds.yml")).unwrap());
    let templates: String = std::fs::read_dir(project().join("alerts/templates"))
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    for (alert, keys) in values["alerts"].as_hash().unwrap() {
        let alert = alert.as_str().unwrap();
        let start =
            templates.find(&format!("- alert: {alert}\n")).unwrap_or_else(|| panic!("{alert} has no rule"));
        let rule = templates[start + 2..].split("- alert: ").next().unwrap();
        for key in keys.as_hash().unwrap().keys().map(|key| key.as_str().unwrap()) {
            let used = [format!("${{{key}}}"), format!("${{{key}|")].iter().any(|used| rule.contains(used));
            let is_common = ["enabled", "selector"].contains(&key);
            assert!(used || is_common, "alerts.{alert}.{key} is not used");
        }
        assert!(
            ["${pick}", "${raw}", "${raw_and}", "${own}", "${own_and}"]
                .iter()
                .any(|used| rule.contains(used)),
            "{alert}"
        );
    }
    for (objective, keys) in values["slo"].as_hash().unwrap() {
        for key in keys.as_hash().unwrap().keys() {
            let path = format!("${{slo.{}.{}", objective.as_str().unwrap(), key.as_str().unwrap());
            assert!(templates.contains(&path), "{path}");
        }
    }
}

/// The bounds in the thresholds are the defaults of the exporter.
#[test]
fn buckets_are_those_of_the_exporter() {
    let values = yaml(&std::fs::read_to_string(project().join("alerts/thresholds.yml")).unwrap());
    for name in ["latency_buckets", "duration_buckets"] {
        let key = reference().iter().find(|key| key.path == format!("metrics.{name}")).unwrap();
        let DefaultValue::Value(default) = key.default else { panic!("{name} has no default") };
        assert_eq!(values["common"][name], yaml(default), "{name}");
    }
}
