//! A rendered object, with accessors.

use std::collections::BTreeMap;

use yaml_rust2::Yaml;

use super::chart::yaml;

/// An object that Kubernetes would get.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// As rendered.
    pub(crate) text: String,
    pub(crate) yaml: Yaml,
}

impl Object {
    /// The objects in a rendered file.
    pub(crate) fn all_in(text: &str) -> Vec<Self> {
        let is_empty = |document: &str| {
            document.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
        };
        let documents = text.split("\n---\n").map(|document| document.trim_start_matches("---\n"));
        let full = documents.filter(|document| !is_empty(document));
        full.map(|document| Self { text: document.to_owned(), yaml: yaml(document) }).collect()
    }

    pub(crate) fn kind(&self) -> &str {
        self.yaml["kind"].as_str().unwrap_or_else(|| panic!("no kind: {}", self.text))
    }

    pub(crate) fn name(&self) -> &str {
        self.yaml["metadata"]["name"].as_str().unwrap_or_else(|| panic!("no name: {}", self.text))
    }

    /// The labels of the object.
    pub(crate) fn labels(&self) -> &Yaml {
        &self.yaml["metadata"]["labels"]
    }

    /// Whether it is one that Kubernetes knows without an operator.
    pub(crate) fn is_native(&self) -> bool {
        !["ServiceMonitor", "PrometheusRule", "GrafanaDashboard"].contains(&self.kind())
    }

    /// The pod that it makes, if it makes one.
    pub(crate) fn pod(&self) -> Option<Pod<'_>> {
        match self.kind() {
            "StatefulSet" => {
                let template = &self.yaml["spec"]["template"];
                Some(Pod { labels: &template["metadata"]["labels"], spec: &template["spec"] })
            }
            "Pod" => Some(Pod { labels: self.labels(), spec: &self.yaml["spec"] }),
            _ => None,
        }
    }
}

/// A pod, or what it is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod<'a> {
    pub(crate) labels: &'a Yaml,
    pub(crate) spec: &'a Yaml,
}

impl<'a> Pod<'a> {
    /// All its containers.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &'a Yaml> {
        ["initContainers", "containers"].into_iter().flat_map(|list| items(&self.spec[list]))
    }

    /// The exporter's own container.
    pub(crate) fn exporter(&self) -> &'a Yaml {
        &self.spec["containers"][0]
    }
}

/// The items of a list; none where there is none.
pub(crate) fn items(list: &Yaml) -> impl Iterator<Item = &Yaml> {
    list.as_vec().into_iter().flatten()
}

/// The texts of a list.
pub(crate) fn texts(list: &Yaml) -> Vec<&str> {
    items(list).map(|item| item.as_str().unwrap_or_else(|| panic!("{item:?} is no text"))).collect()
}

/// Whether `labels` has all that `selector` asks for.
pub(crate) fn selects(selector: &Yaml, labels: &Yaml) -> bool {
    let wanted = selector.as_hash().unwrap_or_else(|| panic!("{selector:?} selects everything"));
    assert!(!wanted.is_empty());
    wanted.iter().all(|(name, value)| labels[name.as_str().unwrap()] == *value)
}

/// The one object of this kind.
pub(crate) fn the<'a>(objects: &'a [Object], kind: &str) -> &'a Object {
    let mut found = objects.iter().filter(|object| object.kind() == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    first
}

/// The objects of this kind.
pub(crate) fn of<'a>(objects: &'a [Object], kind: &'a str) -> impl Iterator<Item = &'a Object> {
    objects.iter().filter(move |object| object.kind() == kind)
}

/// The same value with the keys of all tables sorted, as Helm writes them.
pub(crate) fn sorted(value: &Yaml) -> Yaml {
    match value {
        Yaml::Array(list) => Yaml::Array(list.iter().map(sorted).collect()),
        Yaml::Hash(table) => {
            let sorted: BTreeMap<_, _> =
                table.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            Yaml::Hash(sorted.into_iter().collect())
        }
        Yaml::Null
        | Yaml::Boolean(_)
        | Yaml::Integer(_)
        | Yaml::Real(_)
        | Yaml::String(_)
        | Yaml::Alias(_)
        | Yaml::BadValue => value.clone(),
    }
}
