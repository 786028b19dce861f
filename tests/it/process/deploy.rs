//! The files in `deploy/` are consistent. No image is pulled and no container is run.

use std::path::{Path, PathBuf};

use yaml_rust2::{Yaml, YamlLoader};

use super::daemon::{command, run};
use super::prometheus::installed;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

fn yaml(file: &str) -> Yaml {
    let text = std::fs::read_to_string(Path::new(DEPLOY).join(file)).unwrap();
    let mut documents = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(documents.len(), 1, "{file}");
    documents.remove(0)
}

fn texts<'a>(list: &'a Yaml) -> impl Iterator<Item = &'a str> + 'a {
    list.as_vec()
        .into_iter()
        .flatten()
        .map(|item| item.as_str().unwrap_or_else(|| panic!("{item:?} is no text")))
}

/// The services with their names.
fn services(compose: &Yaml) -> Vec<(&str, &Yaml)> {
    let services = compose["services"].as_hash().unwrap();
    services.iter().map(|(name, service)| (name.as_str().unwrap(), service)).collect()
}

#[test]
fn compose_pins_images_and_binds_loopback() {
    let compose = yaml("compose.yml");
    assert_eq!(services(&compose).len(), 5);
    for (name, service) in services(&compose) {
        let image = service["image"].as_str().unwrap();
        // `name:${VARIABLE:-version}`
        let version =
            image.rsplit_once(":-").map(|(_, version)| version.trim_end_matches('}')).unwrap_or_default();
        assert!(version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()), "{name}: {image}");
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
}

#[test]
fn compose_mounts_existing_files() {
    let compose = yaml("compose.yml");
    let volumes: Vec<&str> = compose["volumes"].as_hash().unwrap().keys().filter_map(Yaml::as_str).collect();
    let mut files = 0;
    for (name, service) in services(&compose) {
        for mount in texts(&service["volumes"]) {
            let source = mount.split(':').next().unwrap();
            if volumes.contains(&source) {
                continue;
            }
            assert!(mount.ends_with(":ro"), "{name}: {mount} is not read-only");
            assert!(Path::new(DEPLOY).join(source).exists(), "{name}: {source} is not there");
            files += 1;
        }
    }
    assert_eq!(files, 6);
}

/// The names of the files in a directory beside `deploy`.
fn beside(dir: &str) -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(DEPLOY).join("..").join(dir)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn prometheus_config_loads_only_rule_files() {
    let (compose, prometheus) = (yaml("compose.yml"), yaml("prometheus/prometheus.yml"));
    let pattern = prometheus["rule_files"][0].as_str().unwrap();
    let (dir, pattern) = pattern.rsplit_once('/').unwrap();
    let mount = format!("../alerts:{dir}:ro");
    assert!(texts(&compose["services"]["prometheus"]["volumes"]).any(|volume| volume == mount), "{mount}");
    let parts: Vec<&str> = pattern.split('*').collect();
    let [before, within, after] = parts[..] else { panic!("{pattern}") };
    let is_loaded = |name: &String| {
        name.strip_prefix(before)
            .and_then(|name| name.strip_suffix(after))
            .is_some_and(|name| name.contains(within))
    };
    let loaded: Vec<String> = beside("alerts").into_iter().filter(is_loaded).collect();
    assert_eq!(loaded, ["polyai-rules.yml"], "of the forms of the rules, the one for Prometheus");
}

#[test]
fn compose_builds_image_and_drops_privileges() {
    let compose = yaml("compose.yml");
    let exporter = &compose["services"]["exporter"];
    let image = format!("polyai-exporter:${{POLYAI_EXPORTER_VERSION:-{}}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(exporter["image"].as_str(), Some(&*image));
    assert_eq!(exporter["build"]["context"].as_str(), Some(".."));
    assert!(exporter["build"]["dockerfile"].is_badvalue(), "the one that is found without a name");
    assert_eq!(exporter["read_only"].as_bool(), Some(true));
    // The image's own volume, which its user may write to, has the history.
    assert!(texts(&exporter["volumes"]).any(|volume| volume == "history:/data"));
    for (name, service) in services(&compose) {
        assert!(texts(&service["cap_drop"]).any(|capability| capability == "ALL"), "{name}");
        assert!(texts(&service["security_opt"]).any(|option| option == "no-new-privileges:true"), "{name}");
    }
}

#[test]
fn compose_services_refer_to_existing_names() {
    let (compose, prometheus) = (yaml("compose.yml"), yaml("prometheus/prometheus.yml"));
    let names: Vec<&str> = services(&compose).into_iter().map(|(name, _)| name).collect();
    let mut addresses: Vec<String> = Vec::new();
    let scraped = prometheus["scrape_configs"].as_vec().unwrap().iter();
    let alerting = prometheus["alerting"]["alertmanagers"].as_vec().unwrap().iter();
    for group in scraped.chain(alerting) {
        addresses.extend(texts(&group["static_configs"][0]["targets"]).map(str::to_owned));
    }
    let source = yaml("grafana/provisioning/datasources/prometheus.yml");
    let url = source["datasources"][0]["url"].as_str().unwrap();
    addresses.push(url.trim_start_matches("http://").to_owned());
    for address in &addresses {
        let host = address.split(':').next().unwrap();
        assert!(host == "localhost" || names.contains(&host), "{address} is none of {names:?}");
    }
    assert_eq!(addresses.len(), 5);
    // The history is labelled as Prometheus is going to label what it scrapes.
    let demo = compose["services"]["exporter"]["command"].as_str().unwrap();
    let job = &prometheus["scrape_configs"][0];
    let target = job["static_configs"][0]["targets"][0].as_str().unwrap();
    assert!(demo.contains(&format!("--history.instance {target}")), "{demo}");
    assert_eq!(job["job_name"].as_str(), Some("polyai"), "the default of --history.job");
}

#[test]
fn exemplar_links_cover_each_region() {
    let (compose, source) = (yaml("compose.yml"), yaml("grafana/provisioning/datasources/prometheus.yml"));
    let environment = &compose["services"]["grafana"]["environment"];
    let links = &source["datasources"][0]["jsonData"]["exemplarTraceIdDestinations"];
    let mut regions = 0;
    for link in links.as_vec().unwrap() {
        assert_eq!(link["name"].as_str(), Some("conversation_id"));
        let url = link["url"].as_str().unwrap();
        let (variable, rest) = url.trim_start_matches("${").split_once('}').unwrap();
        assert_eq!(rest, "$${__value.raw}", "{url}");
        let default = environment[variable].as_str().unwrap_or_else(|| panic!("{variable} is not set"));
        assert!(default.contains("https://studio.") && default.contains(".poly.ai/"), "{default}");
        regions += 1;
    }
    assert_eq!(regions, 3);
}

#[test]
fn grafana_reads_mounted_dashboards() {
    let (compose, provider) = (yaml("compose.yml"), yaml("grafana/provisioning/dashboards/polyai.yml"));
    let path = provider["providers"][0]["options"]["path"].as_str().unwrap();
    let mount = format!("../dashboards:{path}:ro");
    assert!(texts(&compose["services"]["grafana"]["volumes"]).any(|volume| volume == mount), "{mount}");
    // The page to begin with is one of them.
    let home = &compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    let home = home.as_str().unwrap().strip_prefix(path).unwrap().trim_start_matches('/');
    assert!(beside("dashboards").iter().any(|name| name == home), "{home}");
    assert_eq!(beside("dashboards").iter().filter(|name| name.ends_with(".json")).count(), 5);
}

/// Versions of Prometheus that reject the key for native histograms get the configuration without it, and all get the flag.
#[cfg(unix)]
#[tokio::test]
async fn compose_keeps_native_histograms_with_each_prometheus() {
    use std::os::unix::fs::PermissionsExt as _;
    let compose = yaml("compose.yml");
    let script = compose["services"]["prometheus"]["command"][0].as_str().unwrap();
    for (version, has_key) in [
        ("3.0.1", false),
        ("3.5.3+ds1", false),
        ("3.7.3", false),
        ("3.8.0", true),
        ("3.9.1", true),
        ("3.13.3", true),
        ("3.70.0", true),
        ("4.0.0", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (stub, written) = (dir.path().join("prometheus"), dir.path().join("written.yml"));
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && echo 'prometheus, version {version} (branch: HEAD)' || echo \"$@\"\n"
        );
        std::fs::write(&stub, text).unwrap();
        std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o755)).unwrap();
        let script = script
            .replace("$$", "$")
            .replace("/etc/prometheus/prometheus.yml", &format!("{DEPLOY}/prometheus/prometheus.yml"))
            .replace("/tmp/prometheus.yml", &written.display().to_string());
        let mut shell = command("sh");
        shell.arg("-ec").arg(script).env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()));
        let ended = run(shell).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stdout.contains("--enable-feature=exemplar-storage,native-histograms"), "{ended:?}");
        let config = std::fs::read_to_string(written).unwrap();
        assert_eq!(config.contains("\n    scrape_native_histograms: true\n"), has_key, "{version}");
        assert!(config.contains("always_scrape_classic_histograms: true"), "{version}");
    }
}

#[tokio::test]
async fn promtool_and_amtool_accept_configuration() {
    if !installed().await {
        return;
    }
    let file = |name: &str| -> PathBuf { Path::new(DEPLOY).join(name) };
    // The image is newer than the promtool of some distributions, which does not know these keys yet.
    let mut text = std::fs::read_to_string(file("prometheus/prometheus.yml")).unwrap();
    for newer in ["always_scrape_classic_histograms: true\n", "scrape_native_histograms: true\n"] {
        assert_eq!(text.matches(newer).count(), 1, "{text}");
        text = text.replace(newer, "\n");
    }
    let dir = tempfile::tempdir().unwrap();
    let older = dir.path().join("prometheus.yml");
    std::fs::write(&older, text).unwrap();
    let mut promtool = command("promtool");
    promtool.args(["check", "config"]).arg(older);
    let mut amtool = command("amtool");
    amtool.arg("check-config").arg(file("alertmanager/alertmanager.yml"));
    for tool in [promtool, amtool] {
        let ended = run(tool).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    }
}
