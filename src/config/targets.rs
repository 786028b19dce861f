//! The list `targets`: from the raw tree to one complete target per project, region and client environment.
//!
//! Owns: what a target must have, and that no two are the same. Never: whether the API agrees.

use std::collections::BTreeMap;
use std::path::Path;

use super::address::{BaseUrl, base_url};
use super::credential::{ConfigContext, api_key};
use super::environment::{has_quickstart, variable_of};
use super::reader::{Reader, Section};
use super::settings::{CaFile, Target};
use crate::target::{ApiVersion, ClientEnv, Region, TargetKey};
use exporter_schema::{Location, Node, quoted};

/// A bundle of all public roots has some 250 KiB.
const MOST_CA_BYTES: u64 = 4 << 20;

/// Reads all targets, sorted by key. Those with a problem are left out.
pub(super) fn targets(reader: &mut Reader, root: &Node, around: &ConfigContext<'_>) -> Vec<Target> {
    let items = root.get("targets").and_then(Node::items).unwrap_or_default();
    // Anything but a list, or nothing at all, is complained of elsewhere.
    if items.is_empty() && root.get("targets").is_none_or(|node| node.is_empty()) {
        let place = root.get("targets").map_or_else(|| root.location.clone(), |node| node.location.clone());
        reader.complain(&place, "targets", no_targets(around));
    }
    let mut found: BTreeMap<TargetKey, (Target, Location, String)> = BTreeMap::new();
    for (index, item) in items.iter().enumerate().filter(|(_, item)| item.entries().is_some()) {
        let section = Section::target(item, index);
        for target in target(reader, &section, around).unwrap_or_default() {
            if let Some((_, place, path)) = found.get(&target.key) {
                let sentence = format!(
                    "the same name, region and client_env as {path} ({place}), which is {}; change one, or remove one",
                    quoted(&target.key.to_string())
                );
                reader.complain(&section.place(), &section.path, sentence);
            } else {
                found.insert(target.key.clone(), (target, section.place(), section.path.clone()));
            }
        }
    }
    found.into_values().map(|(target, ..)| target).collect()
}

fn no_targets(around: &ConfigContext<'_>) -> String {
    let mut sentence =
        "there are none; list at least one, with region, account_id, project_id and api_key_env".to_owned();
    if has_quickstart(around.env) && !around.without_file {
        sentence.push_str(
            ". The variables POLYAI_API_KEY, POLYAI_BASE_URL, POLYAI_ACCOUNT_ID and POLYAI_PROJECT_ID give a target \
             only where there is no file: start without --config, or write a target with api_key_env: POLYAI_API_KEY",
        );
    }
    sentence
}

fn target(reader: &mut Reader, section: &Section<'_>, around: &ConfigContext<'_>) -> Option<Vec<Target>> {
    let before = reader.complaints.len();
    let account_id = required(reader, section, "account_id");
    let project_id = required(reader, section, "project_id");
    let name = reader.text(section, "name");
    let address = address(reader, section);
    let region = region(reader, section, address.as_ref(), around);
    let base_url = host(reader, section, region, address);
    let client_envs = client_envs(reader, section);
    let api_version = version(reader, section);
    let key = api_key(reader, section, around);
    let ca_file =
        reader.text(section, "ca_file").and_then(|text| ca_file(reader, section, &around.folder.join(text)));
    let channels = reader.texts(section, "channels").unwrap_or_else(|| vec!["VOICE-SIP".to_owned()]);
    reader.some_of(section, "collectors", |text| (text == "conversations").then_some(()));
    if reader.complaints.len() > before {
        return None;
    }
    let (account_id, project_id, region, base_url, api_key) =
        (account_id?, project_id?, region?, base_url?, key?);
    let project = name.unwrap_or_else(|| project_id.clone());
    let targets = client_envs.into_iter().map(|client_env| Target {
        key: TargetKey { project: project.clone(), region, client_env },
        account_id: account_id.clone(),
        project_id: project_id.clone(),
        api_version,
        api_key: api_key.clone(),
        base_url: base_url.clone(),
        ca_file: ca_file.clone(),
        channels: channels.clone(),
    });
    Some(targets.collect())
}

fn missing(reader: &mut Reader, section: &Section<'_>, name: &str) {
    let path = format!("{}.{name}", section.path);
    let place = section.place();
    let cure = if place == Location::Environment {
        let index = section.path.trim_start_matches("targets[").trim_end_matches(']');
        format!("; set {}", variable_of(&format!("targets.{index}.{name}")))
    } else {
        format!("; every target needs {name}")
    };
    reader.complain(&place, &path, format!("is missing{cure}"));
}

fn required(reader: &mut Reader, section: &Section<'_>, name: &str) -> Option<String> {
    if section.entry(name).is_none() {
        missing(reader, section, name);
    }
    reader.text(section, name).map(|text| text.trim().to_owned())
}

fn address(reader: &mut Reader, section: &Section<'_>) -> Option<BaseUrl> {
    let text = reader.text(section, "base_url")?;
    let entry = section.entry("base_url")?;
    let address = base_url(&text)
        .map_err(|sentence| reader.complain(&entry.node.location, &entry.path, sentence))
        .ok()?;
    if address.is_exposed {
        let sentence = "http to another machine sends the API key and all data unencrypted; use https";
        reader.warn(&entry.node.location, &entry.path, sentence);
    }
    Some(address)
}

/// As written; without a file, as the address tells, or `us-1`.
fn region(
    reader: &mut Reader,
    section: &Section<'_>,
    address: Option<&BaseUrl>,
    around: &ConfigContext<'_>,
) -> Option<Region> {
    if let Some(entry) = section.entry("region") {
        let region = reader.one_of(section, "region", Region::parse)?;
        if let Some(other) = address.and_then(|address| address.region).filter(|other| *other != region) {
            let sentence =
                format!("found \"{region}\", but base_url is the host of {other}; let the two agree");
            reader.complain(&entry.node.location, &entry.path, sentence);
        }
        return Some(region);
    }
    if !around.without_file || section.entry("base_url").is_none() {
        missing(reader, section, "region");
        return None;
    }
    Some(address.and_then(|address| address.region).unwrap_or(Region::Us1))
}

/// The address as given, or the host of the region.
fn host(
    reader: &mut Reader,
    section: &Section<'_>,
    region: Option<Region>,
    address: Option<BaseUrl>,
) -> Option<String> {
    if let Some(address) = address {
        return Some(address.text);
    }
    let known = region?.conversations_base_url();
    if known.is_none()
        && section.entry("base_url").is_none()
        && let Some(entry) = section.entry("region")
    {
        let right = "studio has no list of conversations in version 3; its Data API is not read in this version. \
                     Use another region, or give base_url";
        reader.error(&entry, right);
    }
    known.map(str::to_owned)
}

fn client_envs(reader: &mut Reader, section: &Section<'_>) -> Vec<ClientEnv> {
    let envs = reader.some_of(section, "client_env", ClientEnv::parse);
    if envs.as_ref().is_some_and(Vec::is_empty)
        && let Some(entry) = section.entry("client_env")
    {
        reader.complain(
            &entry.node.location,
            &entry.path,
            "found an empty list; write at least one, such as [live]",
        );
    }
    envs.unwrap_or_else(|| vec![ClientEnv::Live])
}

fn version(reader: &mut Reader, section: &Section<'_>) -> ApiVersion {
    let version = reader.one_of(section, "api_version", ApiVersion::parse).unwrap_or(ApiVersion::V3);
    if version == ApiVersion::V1
        && let Some(entry) = section.entry("api_version")
    {
        let sentence = "v1 is not supported by PolyAI since 31 August 2026; use v3";
        reader.warn(&entry.node.location, &entry.path, sentence);
    }
    version
}

/// A bundle that holds nothing is found now, and not when a client is made of it.
fn ca_file(reader: &mut Reader, section: &Section<'_>, path: &Path) -> Option<CaFile> {
    let marker = b"-----BEGIN CERTIFICATE-----";
    let sentence = match reader.sources.read(path, MOST_CA_BYTES) {
        Ok(bytes) if bytes.windows(marker.len()).any(|window| window == marker) => {
            return Some(CaFile { path: path.to_owned(), pem: bytes.into() });
        }
        Ok(_) => "there is no certificate in it; write a PEM bundle".to_owned(),
        Err(sentence) => sentence,
    };
    let entry = section.entry("ca_file")?;
    reader.complain(&entry.node.location, &entry.path, format!("{}: {sentence}", path.display()));
    None
}
