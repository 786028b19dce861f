//! The list `targets`: one complete target per project, region and client environment.

use std::collections::BTreeMap;
use std::path::Path;

use exporter_schema::{FromNode, Node, Report, Section, TrackedFiles, quoted};
use polyai_api::CaBundle;

use super::Context;
use super::api_key::api_key;
use super::base_url::base_url;
use super::layers::has_quickstart;
use super::sections::setting;
use super::settings::{CaFile, Target};
use polyai_domain::target::{ApiVersion, ClientEnv, LatencyUnit, Region, TargetKey};

/// A bundle of all public roots has some 250 KiB.
const MAX_CA_BYTES: u64 = 4 << 20;

/// All targets, sorted by key. Those with an error are left out.
pub(super) fn targets(
    report: &mut Report,
    files: &mut TrackedFiles,
    root: &Node,
    context: &Context<'_>,
) -> Vec<Target> {
    let top = Section::root(root);
    // An empty list, or none; anything else is checked by the schema.
    if root.get("targets").is_none_or(Node::is_empty) {
        report.errors.push(top.diagnostic("targets", no_targets(context)));
    }
    let mut found: BTreeMap<TargetKey, (Target, Section<'_>)> = BTreeMap::new();
    for section in top.sections("targets") {
        for target in target(report, files, &section, context).unwrap_or_default() {
            if let Some((_, first)) = found.get(&target.key) {
                let text = format!(
                    "the same name, region and client_env as {} ({}), which is {}; change one, or remove one",
                    first.path(),
                    first.location(),
                    quoted(&target.key.to_string())
                );
                report.errors.push(section.error(text));
            } else {
                found.insert(target.key.clone(), (target, section.clone()));
            }
        }
    }
    let mut lists = BTreeMap::new();
    for (target, section) in found.values() {
        let list = (&target.base_url, &target.account_id, &target.project_id, target.key.client_env);
        if let Some(first) = lists.insert(list, section) {
            let text = format!(
                "the same account, project and client_env as {} ({}) under another name: every conversation counts in both; \
                 remove one",
                first.path(),
                first.location()
            );
            report.warnings.push(section.error(text));
        }
    }
    found.into_values().map(|(target, _)| target).collect()
}

fn no_targets(context: &Context<'_>) -> String {
    let mut text =
        "there are none; list at least one, with region, account_id, project_id and api_key_env".to_owned();
    if has_quickstart(context.env) && context.has_file {
        text.push_str(
            ". The variables POLYAI_API_KEY, POLYAI_BASE_URL, POLYAI_ACCOUNT_ID and POLYAI_PROJECT_ID configure a \
             target only where there is no file: start without --config, or write a target with \
             api_key_env: POLYAI_API_KEY",
        );
    }
    text
}

fn target(
    report: &mut Report,
    files: &mut TrackedFiles,
    section: &Section<'_>,
    context: &Context<'_>,
) -> Option<Vec<Target>> {
    let text = |name| section.get::<String>(name);
    let trimmed = |name| text(name).map(|text| text.trim().to_owned());
    let region = text("region").and_then(|region| Region::parse(&region));
    let base_url = base_url_or_host(report, section, region);
    let api_version = setting(section, "api_version", |node| ApiVersion::parse(node.as_text()?));
    if api_version == ApiVersion::V1 {
        let text = "PolyAI ended its support of v1 on 31 August 2026; use v3";
        report.warnings.push(section.diagnostic("api_version", text));
    }
    let latency_unit = setting(section, "latency_unit", |node| LatencyUnit::parse(node.as_text()?));
    let api_key = api_key(report, files, section, context);
    let ca_file =
        text("ca_file").and_then(|path| ca_file(report, files, section, &context.directory.join(path)));
    if report.has_errors_in(section.path()) {
        return None;
    }
    let (account_id, project_id) = (trimmed("account_id")?, trimmed("project_id")?);
    let (region, base_url, api_key) = (region?, base_url?, api_key?);
    let project = text("name").unwrap_or_else(|| project_id.clone());
    let client_envs = setting(section, "client_env", Vec::<String>::from_node);
    let channels = setting(section, "channels", Vec::from_node);
    let targets = client_envs.iter().filter_map(|env| ClientEnv::parse(env)).map(|client_env| Target {
        key: TargetKey { project: project.clone(), region, client_env },
        account_id: account_id.clone(),
        project_id: project_id.clone(),
        api_version,
        latency_unit,
        api_key: api_key.clone(),
        base_url: base_url.clone(),
        ca_file: ca_file.clone(),
        channels: channels.clone(),
    });
    Some(targets.collect())
}

/// The base URL as written, or the host of the region.
fn base_url_or_host(report: &mut Report, section: &Section<'_>, region: Option<Region>) -> Option<String> {
    let Some(url) = section.get::<String>("base_url") else {
        let host = region?.conversations_base_url();
        if host.is_none() {
            let text = "found \"studio\", which has no list of conversations in version 3; its Data API is not read by \
                        this version. Use another region, or give base_url";
            report.errors.push(section.diagnostic("region", text));
        }
        return host.map(str::to_owned);
    };
    if report.has_errors_in(&format!("{}.base_url", section.path())) {
        return None;
    }
    let url = base_url(&url).map_err(|text| report.errors.push(section.diagnostic("base_url", text))).ok()?;
    if url.is_exposed {
        let text = "http to another machine sends the API key and all data unencrypted; use https";
        report.warnings.push(section.diagnostic("base_url", text));
    }
    if let (Some(region), Some(other)) = (region, url.region)
        && region != other
    {
        let text = format!("found \"{region}\", but base_url is the host of {other}; make the two agree");
        report.errors.push(section.diagnostic("region", text));
    }
    Some(url.text)
}

/// The bundle at `path`, in which each certificate is valid, so that no client fails later.
fn ca_file(
    report: &mut Report,
    files: &mut TrackedFiles,
    section: &Section<'_>,
    path: &Path,
) -> Option<CaFile> {
    let read = files.read(path, MAX_CA_BYTES).and_then(|pem| CaBundle::parse(&pem));
    match read {
        Ok(bundle) => Some(CaFile { path: path.to_owned(), bundle }),
        Err(text) => {
            report.errors.push(section.diagnostic("ca_file", format!("{}: {text}", path.display())));
            None
        }
    }
}
