//! Values that the chart refuses, with the messages.

use super::chart::{Scenario, minimal_and, scenario};
use super::engine::{RELEASE, helm3, helm4};

fn values(text: &str) -> Scenario {
    Scenario { name: text.to_owned(), text: text.to_owned() }
}

/// The refusal of each by Helm 4, checked for `words`; the oldest Helm refuses as well.
fn refused(cases: &[(Scenario, &[&str])]) {
    let scenarios: Vec<Scenario> = cases.iter().map(|(scenario, _)| scenario.clone()).collect();
    let Some(all) = helm4(&scenarios, RELEASE) else { return };
    for ((scenario, words), outcome) in cases.iter().zip(all) {
        let refusal = outcome.err().unwrap_or_else(|| panic!("accepted: {}", scenario.name));
        for word in *words {
            assert!(refusal.contains(word), "{word} is not in: {refusal}");
        }
        let Some(by_helm3) = helm3(scenario) else { continue };
        let refusal = by_helm3.err().unwrap_or_else(|| panic!("accepted by Helm 3: {}", scenario.name));
        assert!(refusal.contains(words[0]), "{} is not in: {refusal}", words[0]);
    }
}

#[test]
fn unknown_value_is_refused_by_name() {
    refused(&[
        (minimal_and("replicas: 2"), &["replicas"]),
        (minimal_and("image: {tags: latest}"), &["tags"]),
        (minimal_and("serviceMonitor: {enable: true}"), &["enable"]),
        (minimal_and("web: {tls: {secret: tls}}"), &["secret"]),
    ]);
}

#[test]
fn value_of_wrong_type_is_refused_with_path() {
    refused(&[
        (minimal_and("replicaCount: 2"), &["replicaCount"]),
        (minimal_and("persistence: {accessModes: [ReadWriteMany]}"), &["persistence"]),
        (minimal_and("image: {digest: latest}"), &["digest"]),
        (minimal_and("reload: {interval: 30}"), &["interval"]),
        (minimal_and("terminationGracePeriodSeconds: 5"), &["terminationGracePeriodSeconds"]),
        (minimal_and("web: {port: 80}"), &["port"]),
        (minimal_and("commonLabels: {a: 1}"), &["commonLabels"]),
        (values("config: [1]"), &["config"]),
    ]);
}

#[test]
fn api_key_in_values_is_refused() {
    let object = "config: {targets: [{region: us-1, api_key: abc}]}";
    let text = "config: |\n  targets:\n    - region: us-1\n      api_key_file: x\n    - region: us-1\n      'api_key': abc\n";
    let Some(all) = helm4(&[values(object), values(text)], RELEASE) else { return };
    for refusal in all.into_iter().map(Result::unwrap_err) {
        assert!(refusal.contains(".api_key: a key in the values could be read"), "{refusal}");
        assert!(!refusal.contains("abc"), "the refusal repeats the key: {refusal}");
    }
    refused(&[
        (values(object), &["config.targets[0].api_key"]),
        (values(text), &["config.targets[1].api_key"]),
        (
            minimal_and("extraEnv: [{name: POLYAI_EXPORTER__TARGETS__0__API_KEY, value: abc}]"),
            &["extraEnv[0] has the value of POLYAI_EXPORTER__TARGETS__0__API_KEY"],
        ),
    ]);
}

#[test]
fn conflicting_values_are_refused_with_reason() {
    let existing = scenario("existing").text;
    refused(&[
        (values(""), &["config.targets is missing or empty", "existingConfigMap"]),
        (values("config: {targets: []}"), &["config.targets is missing or empty"]),
        (values("config: 'targets: ['"), &["config: not YAML"]),
        (
            values(&format!("{existing}\nconfig: {{targets: [{{region: us-1}}]}}")),
            &["existingConfigMap and config"],
        ),
        (values("config: {targets: [{api_key_env: OTHER}]}"), &["config.targets[0].api_key_env names OTHER"]),
        (
            minimal_and("web: {existingSecret: a, existingConfigMap: b}"),
            &["web.existingSecret and web.existingConfigMap"],
        ),
        (minimal_and("web: {tls: {enabled: true}}"), &["web.tls.enabled has no certificate"]),
        (
            minimal_and("web: {tls: {secretName: a}}"),
            &["web.tls.secretName is given and web.tls.enabled is not"],
        ),
        (minimal_and("web: {basicAuth: true}"), &["web.basicAuth has no users"]),
        (
            minimal_and("web: {tls: {enabled: true, secretName: a, clientCertificates: true}}"),
            &["web.tls.clientCertificates has no authority"],
        ),
        (
            minimal_and("web: {basicAuth: true, existingSecret: a}\nserviceMonitor: {enabled: true}"),
            &["serviceMonitor.basicAuth.secretName is missing"],
        ),
        (
            minimal_and("serviceMonitor: {enabled: true, job: other}\nprometheusRule: {enabled: true}"),
            &["serviceMonitor.job is other", "--set common.job=other"],
        ),
        (
            minimal_and("dashboards: {grafanaOperator: {enabled: true}}"),
            &["dashboards.grafanaOperator needs dashboards.enabled"],
        ),
        (
            minimal_and("prometheusRule: {enabled: true, rules: 'some: text'}"),
            &["prometheusRule.rules has no groups"],
        ),
    ]);
}

#[test]
fn all_conflicts_are_reported_together() {
    refused(&[(
        values(
            "web: {basicAuth: true, tls: {enabled: true}}\ndashboards: {grafanaOperator: {enabled: true}}",
        ),
        &["config.targets", "web.basicAuth", "web.tls.enabled", "dashboards.grafanaOperator"],
    )]);
}
