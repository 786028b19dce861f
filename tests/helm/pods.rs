//! Pods: security settings, secrets, volumes, ports and probes.

use std::collections::BTreeSet;

use yaml_rust2::Yaml;

use super::chart::{minimal_and, scenario, scenarios};
use super::engine::{Rendered, one, rendered};
use super::object::{Object, Pod, items, of, selects, texts, the};

/// All scenarios, and the pods of each.
fn all() -> Option<Vec<Rendered>> {
    rendered(&scenarios())
}

fn pods(one: &Rendered) -> impl Iterator<Item = (String, Pod<'_>)> {
    one.objects.iter().filter_map(|object| {
        object.pod().map(|pod| (format!("{}: {} {}", one.name, object.kind(), object.name()), pod))
    })
}

/// The restricted Pod Security Standard, and a read-only root file system.
#[test]
fn containers_meet_restricted_policy() {
    let Some(all) = all() else { return };
    for (place, pod) in all.iter().flat_map(pods) {
        let of_pod = &pod.spec["securityContext"];
        assert_eq!(of_pod["runAsNonRoot"].as_bool(), Some(true), "{place}");
        assert_eq!(of_pod["seccompProfile"]["type"].as_str(), Some("RuntimeDefault"), "{place}");
        for name in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod.spec[name].is_badvalue(), "{place}: {name}");
        }
        for container in pod.containers() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"].as_bool(), Some(false), "{place}");
            assert_eq!(texts(&context["capabilities"]["drop"]), ["ALL"], "{place}");
            assert!(
                context["capabilities"]["add"].is_badvalue() && context["privileged"].is_badvalue(),
                "{place}"
            );
        }
        assert_eq!(
            pod.exporter()["securityContext"]["readOnlyRootFilesystem"].as_bool(),
            Some(true),
            "{place}"
        );
        for volume in items(&pod.spec["volumes"]) {
            assert!(volume["hostPath"].is_badvalue(), "{place}");
        }
    }
}

#[test]
fn pods_have_no_service_account_token() {
    let Some(all) = all() else { return };
    for (place, pod) in all.iter().flat_map(pods) {
        assert_eq!(pod.spec["automountServiceAccountToken"].as_bool(), Some(false), "{place}");
        assert_eq!(pod.spec["enableServiceLinks"].as_bool(), Some(false), "{place}");
    }
    for account in all.iter().flat_map(|one| of(&one.objects, "ServiceAccount")) {
        assert_eq!(account.yaml["automountServiceAccountToken"].as_bool(), Some(false));
    }
}

/// The chart knows names of Secrets and nothing that is in them.
#[test]
fn secrets_are_referenced_not_inlined() {
    let Some(all) = all() else { return };
    let mut references = 0;
    for one in &all {
        assert!(of(&one.objects, "Secret").next().is_none(), "{}", one.name);
        for (place, pod) in pods(one) {
            for variable in items(&pod.exporter()["env"]) {
                if variable["name"].as_str().unwrap().contains("API_KEY") {
                    assert!(variable["value"].is_badvalue(), "{place}: {variable:?}");
                    assert!(variable["valueFrom"]["secretKeyRef"]["key"].as_str().is_some(), "{place}");
                    references += 1;
                }
            }
        }
    }
    assert!(references >= 8, "{references}");
}

#[test]
fn selectors_match_only_exporter_pods() {
    let Some(all) = all() else { return };
    for one in &all {
        let set = the(&one.objects, "StatefulSet");
        let exporter = set.pod().unwrap().labels;
        let check = of(&one.objects, "Pod").next().map(Object::labels);
        let mut selectors = vec![&set.yaml["spec"]["selector"]["matchLabels"]];
        selectors.extend(of(&one.objects, "Service").map(|service| &service.yaml["spec"]["selector"]));
        selectors.extend(
            of(&one.objects, "PodDisruptionBudget")
                .map(|budget| &budget.yaml["spec"]["selector"]["matchLabels"]),
        );
        selectors.extend(
            of(&one.objects, "NetworkPolicy")
                .map(|policy| &policy.yaml["spec"]["podSelector"]["matchLabels"]),
        );
        assert!(selectors.len() >= 3);
        for selector in selectors {
            assert!(selects(selector, exporter), "{}: {selector:?}", one.name);
            assert!(check.is_none_or(|labels| !selects(selector, labels)), "{}: {selector:?}", one.name);
        }
    }
}

#[test]
fn named_ports_exist() {
    let Some(all) = all() else { return };
    for one in &all {
        let set = the(&one.objects, "StatefulSet");
        let container = set.pod().unwrap().exporter();
        let ports: Vec<&str> =
            items(&container["ports"]).map(|port| port["name"].as_str().unwrap()).collect();
        assert_eq!(ports, ["metrics"]);
        let port = container["ports"][0]["containerPort"].as_i64().unwrap();
        let listen = variable(container, "POLYAI_EXPORTER__SERVER__LISTEN").unwrap();
        assert!(listen.ends_with(&format!(":{port}")), "{}: {listen} and {port}", one.name);
        for service in of(&one.objects, "Service") {
            for port in items(&service.yaml["spec"]["ports"]) {
                assert_eq!(port["targetPort"].as_str(), Some("metrics"), "{}", one.name);
            }
        }
        for policy in of(&one.objects, "NetworkPolicy") {
            for rule in items(&policy.yaml["spec"]["ingress"]) {
                assert_eq!(rule["ports"][0]["port"].as_str(), Some("metrics"));
                assert!(
                    items(&rule["from"]).next().is_some(),
                    "{}: a rule without peers lets everybody in",
                    one.name
                );
            }
        }
        let headless = set.yaml["spec"]["serviceName"].as_str().unwrap();
        let governing = of(&one.objects, "Service").find(|service| service.name() == headless).unwrap();
        assert_eq!(governing.yaml["spec"]["clusterIP"].as_str(), Some("None"), "{}", one.name);
    }
}

fn variable<'a>(container: &'a Yaml, name: &str) -> Option<&'a str> {
    items(&container["env"])
        .find(|one| one["name"].as_str() == Some(name))
        .and_then(|one| one["value"].as_str())
}

#[test]
fn mounts_and_volumes_correspond() {
    let Some(all) = all() else { return };
    for one in &all {
        let made: BTreeSet<&str> = of(&one.objects, "ConfigMap").map(Object::name).collect();
        for (place, pod) in pods(one) {
            let mut volumes: BTreeSet<&str> =
                items(&pod.spec["volumes"]).map(|volume| volume["name"].as_str().unwrap()).collect();
            let set = the(&one.objects, "StatefulSet");
            if place.contains("StatefulSet") {
                let claims = items(&set.yaml["spec"]["volumeClaimTemplates"]);
                volumes.extend(claims.map(|claim| claim["metadata"]["name"].as_str().unwrap()));
                assert!(volumes.contains("data"), "{place}");
            }
            let mounts = &pod.exporter()["volumeMounts"];
            let mounted: BTreeSet<&str> =
                items(mounts).map(|mount| mount["name"].as_str().unwrap()).collect();
            assert_eq!(mounted, volumes, "{place}");
            for mount in items(mounts) {
                assert!(mount["subPath"].is_badvalue(), "{place}: a file by subPath never changes again");
                let writable = mount["readOnly"].as_bool() != Some(true);
                assert_eq!(writable, mount["mountPath"].as_str() == Some("/data"), "{place}: {mount:?}");
            }
            for volume in items(&pod.spec["volumes"]) {
                if let Some(name) = volume["configMap"]["name"].as_str() {
                    let others = ["polyai-config", "polyai-exporter-web", "corporate-ca"];
                    assert!(made.contains(name) || others.contains(&name), "{place}: {name}");
                }
            }
        }
    }
}

/// Kubernetes refuses to change them, so an upgrade of the chart would fail.
#[test]
fn immutable_fields_have_no_version_label() {
    let Some(all) = all() else { return };
    for one in &all {
        let spec = &the(&one.objects, "StatefulSet").yaml["spec"];
        for fixed in [&spec["selector"], &spec["volumeClaimTemplates"], &spec["serviceName"]] {
            let text = format!("{fixed:?}");
            assert!(!text.contains(env!("CARGO_PKG_VERSION")) && !text.contains("helm.sh/chart"), "{text}");
        }
        assert_eq!(spec["podManagementPolicy"].as_str(), Some("Parallel"));
    }
}

#[test]
fn stateful_set_has_one_replica() {
    let Some(all) = all() else { return };
    for one in &all {
        let replicas = the(&one.objects, "StatefulSet").yaml["spec"]["replicas"].as_i64().unwrap();
        assert!(replicas == 1 || (replicas == 0 && one.name == "ephemeral"), "{}", one.name);
        assert_eq!(one.notes.contains("nothing is polled"), replicas == 0, "{}", one.notes);
    }
}

#[test]
fn notes_warn_without_persistence() {
    let Some(all) = all() else { return };
    for one in &all {
        let set = the(&one.objects, "StatefulSet");
        let in_memory =
            items(&set.pod().unwrap().spec["volumes"]).any(|volume| !volume["emptyDir"].is_badvalue());
        assert_eq!(in_memory, one.name == "ephemeral", "{}", one.name);
        assert_eq!(one.notes.contains("persistence.enabled is off"), in_memory, "{}", one.notes);
    }
}

/// The kubelet has neither a password nor a certificate.
#[test]
fn probes_match_tls_and_authentication() {
    let probe = |name: &str, which: &str| -> Option<Yaml> {
        let rendered = one(scenario(name))?;
        let set = the(&rendered.objects, "StatefulSet");
        Some(set.pod().unwrap().exporter()[which].clone())
    };
    let Some(plain) = probe("minimal", "readinessProbe") else { return };
    assert_eq!(plain["httpGet"]["path"].as_str(), Some("/-/ready"));
    assert_eq!(plain["httpGet"]["scheme"].as_str(), Some("HTTP"));
    let tls = probe("tls", "livenessProbe").unwrap();
    assert_eq!(tls["httpGet"]["path"].as_str(), Some("/-/healthy"));
    assert_eq!(tls["httpGet"]["scheme"].as_str(), Some("HTTPS"));
    let users = probe("full", "readinessProbe").unwrap();
    let command = ["/polyai-exporter", "healthcheck", "--config=/etc/polyai-exporter/polyai.yaml"];
    assert_eq!(texts(&users["exec"]["command"]), command, "with users, only liveness can be checked");
    let asked = probe("text", "readinessProbe").unwrap();
    assert_eq!(texts(&asked["exec"]["command"])[3], "--ready");
    let certificates = probe("client-certificates", "readinessProbe").unwrap();
    assert_eq!(texts(&certificates["exec"]["command"]), command, "and with client certificates");
}

/// It may have only a `rate_limit`, which any peer can use up: the kubelet would get a 429 and kill the container.
#[test]
fn custom_web_config_uses_exec_probes() {
    for web in ["web: {existingSecret: limits}", "web: {existingConfigMap: limits}"] {
        let Some(rendered) = one(minimal_and(web)) else { return };
        let set = the(&rendered.objects, "StatefulSet");
        let exporter = set.pod().unwrap().exporter().clone();
        let command = ["/polyai-exporter", "healthcheck", "--config=/etc/polyai-exporter/polyai.yaml"];
        for which in ["startupProbe", "livenessProbe"] {
            assert_eq!(texts(&exporter[which]["exec"]["command"]), command, "{web}: {which}");
        }
        let ready = [&command[..], &["--ready"]].concat();
        assert_eq!(texts(&exporter["readinessProbe"]["exec"]["command"]), ready, "{web}");
    }
    let asked = one(minimal_and("web: {existingSecret: limits}\nprobes: {type: http}")).unwrap();
    let set = the(&asked.objects, "StatefulSet");
    let liveness = &set.pod().unwrap().exporter()["livenessProbe"];
    assert_eq!(liveness["httpGet"]["path"].as_str(), Some("/-/healthy"), "an explicit probe type is used");
}

/// Else `check --live` would fail where the exporter works.
#[test]
fn helm_test_has_same_node_and_network_settings() {
    let Some(rendered) = one(scenario("full")) else { return };
    let exporter = the(&rendered.objects, "StatefulSet").pod().unwrap().spec;
    let check = the(&rendered.objects, "Pod").pod().unwrap().spec;
    for field in [
        "serviceAccountName",
        "securityContext",
        "imagePullSecrets",
        "priorityClassName",
        "runtimeClassName",
        "nodeSelector",
        "tolerations",
        "affinity",
        "dnsPolicy",
        "dnsConfig",
        "hostAliases",
    ] {
        assert!(!exporter[field].is_badvalue(), "the scenario has no {field}");
        assert_eq!(check[field], exporter[field], "{field}");
    }
}

/// With reload a change needs no new pod, and without it nothing else would take the change over.
#[test]
fn config_change_restarts_pod_only_without_reload() {
    let checksum = |more: &str| -> Option<Option<String>> {
        let rendered = one(minimal_and(more))?;
        let template = &the(&rendered.objects, "StatefulSet").yaml["spec"]["template"];
        let args = texts(&template["spec"]["containers"][0]["args"]).join(" ");
        let sum = template["metadata"]["annotations"]["checksum/config"].as_str().map(str::to_owned);
        assert_eq!(args.contains("--config.auto-reload-interval="), sum.is_none(), "{args}");
        Some(sum)
    };
    let Some(with_reload) = checksum("") else { return };
    assert_eq!(with_reload, None);
    let before = checksum("reload: {enabled: false}").unwrap().unwrap();
    let same = checksum("reload: {enabled: false}\npodLabels: {a: b}").unwrap().unwrap();
    assert_eq!(same, before);
    let rendered = one(scenario("ephemeral")).unwrap();
    let other = &the(&rendered.objects, "StatefulSet").yaml["spec"]["template"]["metadata"]["annotations"];
    assert_ne!(other["checksum/config"].as_str().unwrap(), before);
}

#[test]
fn common_labels_are_added_to_all_objects() {
    let Some(rendered) = one(scenario("full")) else { return };
    for object in &rendered.objects {
        assert_eq!(object.labels()["team"].as_str(), Some("voice"), "{} {}", object.kind(), object.name());
    }
    let hostile = minimal_and(
        "commonLabels: {app.kubernetes.io/name: other}\npodLabels: {app.kubernetes.io/component: other}",
    );
    let rendered = one(hostile).unwrap();
    let set = the(&rendered.objects, "StatefulSet");
    assert!(selects(&set.yaml["spec"]["selector"]["matchLabels"], set.pod().unwrap().labels));
}
