//! Rules, dashboards and scrape configuration in the chart.

use std::collections::BTreeMap;
use std::process::Command;

use polyai_exporter::alert_rules::{Format, Source, Values, render};
use yaml_rust2::Yaml;

use super::chart::{Scenario, minimal_and, project, read, scenario, yaml};
use super::engine::{NAMESPACE, RELEASE, one, present, rendered};
use super::object::{Object, items, of, selects, sorted, texts, the};

/// The groups of the one PrometheusRule that `scenario` makes.
fn groups(scenario: Scenario) -> Option<Yaml> {
    let rendered = one(scenario)?;
    Some(the(&rendered.objects, "PrometheusRule").yaml["spec"]["groups"].clone())
}

#[test]
fn prometheus_rule_has_repository_rules() {
    let Some(found) = groups(scenario("ephemeral")) else { return };
    let source = yaml(&read(&project().join("alerts/prometheusrule.yaml")));
    assert!(found.as_vec().unwrap().len() > 5);
    same(&found, &source["spec"]["groups"]);
}

/// The same, whatever the order of keys.
fn same(one: &Yaml, other: &Yaml) {
    assert_eq!(sorted(one), sorted(other));
}

#[test]
fn configured_urls_replace_example_urls() {
    let Some(plain) = groups(scenario("ephemeral")) else { return };
    let (text, linked) = (format!("{plain:?}"), format!("{:?}", groups(scenario("full")).unwrap()));
    for (example, given) in [
        (
            "https://github.com/polyai-exporter/polyai-exporter/blob/main/docs/runbooks/",
            "https://wiki.example.org/polyai/",
        ),
        ("https://grafana.example.com/d/", "https://grafana.example.org/d/"),
    ] {
        assert!(text.matches(example).count() > 10, "{example} is not in the rules");
        assert_eq!(linked.matches(example).count(), 0);
        assert_eq!(linked.matches(given).count(), text.matches(example).count(), "{given}");
    }
}

#[test]
fn promtool_accepts_the_rules() {
    if !present(Command::new("promtool").arg("--version"), "promtool") {
        return;
    }
    let Some(rendered) = rendered(&[scenario("ephemeral"), scenario("full")]) else { return };
    for one in rendered {
        let (_, spec) = the(&one.objects, "PrometheusRule").text.split_once("\nspec:\n").unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let groups: String =
            spec.lines().map(|line| format!("{}\n", line.get(2..).unwrap_or_default())).collect();
        std::fs::write(file.path(), groups).unwrap();
        let output = Command::new("promtool").args(["check", "rules"]).arg(file.path()).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("SUCCESS"), "{}: {said}", one.name);
    }
}

/// Rules with thresholds of one's own, in both forms in which the exporter prints them.
#[test]
fn custom_rules_replace_default_rules() {
    let own =
        Values::load(&[Source::Assignment("alerts.PolyAIHandoffRateHigh.ratio=0.6".to_owned())]).unwrap();
    for format in [Format::Prometheus, Format::Operator] {
        let text = render(&own, format).unwrap();
        let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
        let more = format!("prometheusRule:\n  enabled: true\n  rules: |\n{indented}");
        let Some(found) = groups(minimal_and(&more)) else { return };
        same(&found, &yaml(&render(&own, Format::Prometheus).unwrap())["groups"]);
    }
}

#[test]
fn dashboards_are_copied_unchanged() {
    let Some(all) = rendered(&[scenario("full"), scenario("openshift")]) else { return };
    for one in all {
        let mut found = BTreeMap::new();
        for map in of(&one.objects, "ConfigMap") {
            for (name, text) in map.yaml["data"].as_hash().unwrap() {
                let (name, text) = (name.as_str().unwrap(), text.as_str().unwrap());
                if name.ends_with(".json") {
                    assert_eq!(map.labels()["grafana_dashboard"].as_str(), Some("1"));
                    let folder = &map.yaml["metadata"]["annotations"]["grafana_folder"];
                    assert_eq!(folder.as_str(), Some("PolyAI"));
                    assert_eq!(text, read(&project().join("dashboards").join(name)), "{name}");
                    found.insert(name.to_owned(), map.name().to_owned());
                }
            }
        }
        assert_eq!(found.len(), 5, "{found:?}");
        let objects: Vec<&Object> = of(&one.objects, "GrafanaDashboard").collect();
        assert_eq!(objects.len(), if one.name == "full" { 5 } else { 0 });
        for object in objects {
            let source = &object.yaml["spec"]["configMapRef"];
            assert_eq!(
                source["name"].as_str(),
                found.get(source["key"].as_str().unwrap()).map(String::as_str)
            );
            assert_eq!(
                object.yaml["metadata"]["namespace"].as_str(),
                Some("grafana"),
                "that of its ConfigMap"
            );
        }
    }
}

/// Two Services lead to the pod, and found through both it would be scraped twice.
#[test]
fn pod_is_scraped_by_one_monitor() {
    let Some(all) = rendered(&["full", "tls", "client-certificates", "tuned"].map(scenario)) else { return };
    for one in all {
        let spec = &the(&one.objects, "ServiceMonitor").yaml["spec"];
        let selector = &spec["selector"]["matchLabels"];
        let found: Vec<&Object> =
            of(&one.objects, "Service").filter(|service| selects(selector, service.labels())).collect();
        assert_eq!(found.len(), 1, "{}", one.name);
        assert_eq!(texts(&spec["namespaceSelector"]["matchNames"]), [NAMESPACE]);
        let port = spec["endpoints"][0]["port"].as_str();
        assert_eq!(found[0].yaml["spec"]["ports"][0]["name"].as_str(), port);
        assert_eq!(found[0].yaml["spec"]["publishNotReadyAddresses"].as_bool(), Some(true));
    }
}

/// `up` and the process metrics are selected by job.
#[test]
fn job_label_matches_rules() {
    let Some(rendered) = one(scenario("full")) else { return };
    let relabelings = &the(&rendered.objects, "ServiceMonitor").yaml["spec"]["endpoints"][0]["relabelings"];
    let last = items(relabelings).last().unwrap();
    let thresholds = yaml(&read(&project().join("alerts/thresholds.yml")));
    assert_eq!(last["targetLabel"].as_str(), Some("job"));
    assert_eq!(last["replacement"], thresholds["common"]["job"]);
}

#[test]
fn service_monitor_matches_port_and_authentication() {
    let Some(all) = rendered(&["full", "tls", "client-certificates"].map(scenario)) else { return };
    let monitor = |index: usize| &the(&all[index].objects, "ServiceMonitor").yaml["spec"];
    let endpoint = |index: usize| &monitor(index)["endpoints"][0];
    for index in 0..all.len() {
        assert_eq!(endpoint(index)["scheme"].as_str(), Some("https"));
        assert_eq!(endpoint(index)["honorLabels"].as_bool(), Some(true));
    }
    assert_eq!(endpoint(0)["basicAuth"]["password"]["key"].as_str(), Some("password"));
    assert_eq!(monitor(0)["scrapeNativeHistograms"].as_bool(), Some(true));
    assert_eq!(monitor(0)["scrapeClassicHistograms"].as_bool(), Some(true), "the rules need them");
    assert_eq!(monitor(0)["scrapeProtocols"][0].as_str(), Some("PrometheusProto"));
    let service = format!("{RELEASE}-polyai-exporter.{NAMESPACE}.svc");
    assert_eq!(endpoint(0)["tlsConfig"]["serverName"].as_str(), Some(service.as_str()));
    assert_eq!(endpoint(1)["tlsConfig"]["serverName"].as_str(), Some("metrics.example.com"));
    assert!(monitor(1)["scrapeProtocols"].is_badvalue(), "Prometheus knows best");
    assert_eq!(endpoint(2)["tlsConfig"]["keySecret"]["name"].as_str(), Some("prometheus-client"));
    // What the chart writes for TLS alone names the files that are mounted.
    let web =
        of(&all[1].objects, "ConfigMap").find_map(|map| map.yaml["data"]["web.config.yml"].as_str()).unwrap();
    let pod = the(&all[1].objects, "StatefulSet").pod().unwrap();
    let mounts: Vec<_> =
        items(&pod.exporter()["volumeMounts"]).map(|one| one["mountPath"].as_str().unwrap()).collect();
    for key in ["cert_file", "key_file"] {
        let path = yaml(web)["tls_server_config"][key].as_str().unwrap().to_owned();
        assert!(mounts.iter().any(|mount| path.rsplit_once('/').unwrap().0 == *mount), "{path}: {mounts:?}");
    }
}

#[test]
fn operator_objects_are_off_by_default() {
    let Some(rendered) = one(scenario("minimal")) else { return };
    let others: Vec<&str> =
        rendered.objects.iter().filter(|object| !object.is_native()).map(Object::kind).collect();
    assert!(others.is_empty(), "{others:?}");
    let rules = one(minimal_and("prometheusRule: {enabled: true}")).unwrap();
    // Runbooks are on GitHub unless said otherwise; where Grafana is, nobody knows.
    assert!(rules.notes.contains("Alerts link to dashboards at an example address"), "{}", rules.notes);
    assert!(!rules.notes.contains("runbook"), "{}", rules.notes);
    assert!(rendered.notes.contains("Nothing scrapes it yet"), "{}", rendered.notes);
    assert!(rendered.notes.contains("Nobody is paged yet"), "{}", rendered.notes);
}
