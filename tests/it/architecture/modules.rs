//! The modules of a crate, as its sources declare them, and which of them refer to which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A module's path from the root of its crate; empty for the root.
type ModulePath = Vec<String>;

/// How many imports a name is followed through.
const MAX_REEXPORTS: u8 = 16;

/// The production code of a crate.
#[derive(Debug, Default)]
pub(crate) struct CrateModules {
    modules: BTreeMap<ModulePath, Module>,
}

#[derive(Debug, Default)]
struct Module {
    /// Names of functions, types and constants that are defined here.
    items: BTreeSet<String>,
    /// Names that are imported here, with their paths as written.
    imports: BTreeMap<String, Vec<String>>,
    /// Paths whose names are all imported here.
    globs: Vec<Vec<String>>,
    /// Paths that occur here, as written.
    references: BTreeSet<Vec<String>>,
    /// Identifiers and literals.
    words: BTreeSet<String>,
}

impl CrateModules {
    /// Reads the sources that `entry_point` consists of.
    pub(crate) fn read(entry_point: &Path) -> Self {
        let mut reader = Reader {
            modules: BTreeMap::new(),
            path: Vec::new(),
            directory: entry_point.parent().unwrap().to_owned(),
        };
        reader.file(entry_point);
        Self { modules: reader.modules }
    }

    /// The number of modules.
    pub(crate) fn len(&self) -> usize {
        self.modules.len()
    }

    /// Every identifier and literal outside of comments, with its module.
    pub(crate) fn words(&self) -> impl Iterator<Item = (String, &String)> {
        self.modules
            .iter()
            .flat_map(|(path, module)| module.words.iter().map(move |word| (path.join("::"), word)))
    }

    /// Every pair of neighbouring modules that can reach each other, with the references that connect them.
    pub(crate) fn cycles(&self) -> Vec<String> {
        let edges = self.edges();
        let reaches = |from: &ModulePath, to: &ModulePath| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
            while let Some(at) = open.pop() {
                for (_, next) in edges.keys().filter(|(source, _)| *source == at) {
                    if next == to {
                        return true;
                    }
                    if seen.insert(next.clone()) {
                        open.push(next.clone());
                    }
                }
            }
            false
        };
        let cyclic = edges.iter().filter(|((from, to), _)| reaches(to, from));
        cyclic
            .map(|((from, to), examples)| {
                let examples: Vec<&str> = examples.iter().take(5).map(String::as_str).collect();
                format!("{} uses {} by {}", from.join("::"), to.join("::"), examples.join(", "))
            })
            .collect()
    }

    /// References between sibling modules on every level, each including the modules below it.
    fn edges(&self) -> BTreeMap<(ModulePath, ModulePath), BTreeSet<String>> {
        let mut edges: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for (from, module) in &self.modules {
            for reference in &module.references {
                let Some(to) = self.resolve(from, reference, MAX_REEXPORTS) else { continue };
                let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
                // A parent and its children may know each other.
                if shared < from.len() && shared < to.len() {
                    edges
                        .entry((from[..=shared].to_vec(), to[..=shared].to_vec()))
                        .or_default()
                        .insert(format!("`{}` in {}", reference.join("::"), from.join("::")));
                }
            }
        }
        edges
    }

    /// The module that defines what `path` names in `from`; `None` if it is not of this crate.
    fn resolve(&self, from: &ModulePath, path: &[String], fuel: u8) -> Option<ModulePath> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.descend(Vec::new(), rest, fuel),
            "self" => self.descend(from.clone(), rest, fuel),
            "super" => {
                let levels = path.iter().take_while(|part| *part == "super").count();
                self.descend(from[..from.len().checked_sub(levels)?].to_vec(), &path[levels..], fuel)
            }
            name => {
                let child = joined(from, name);
                if self.modules.contains_key(&child) {
                    return self.descend(child, rest, fuel);
                }
                let import = self.modules[from].imports.get(name)?;
                // `use name::...` of an external crate refers to nothing here.
                if import.first().map(String::as_str) == Some(name) {
                    return None;
                }
                self.resolve(from, &[import, rest].concat(), fuel.checked_sub(1)?)
            }
        }
    }

    /// The module that defines `path`, seen from `at`.
    fn descend(&self, at: ModulePath, path: &[String], fuel: u8) -> Option<ModulePath> {
        match path.split_first() {
            None => Some(at),
            Some((name, rest)) => match self.find(&at, name, rest, fuel) {
                Found::Here(module) => Some(module),
                Found::Elsewhere => None,
                // Defined by a macro.
                Found::Nowhere => Some(at),
            },
        }
    }

    fn find(&self, at: &ModulePath, name: &str, rest: &[String], fuel: u8) -> Found {
        let found = |module: Option<ModulePath>| module.map_or(Found::Elsewhere, Found::Here);
        let child = joined(at, name);
        if self.modules.contains_key(&child) {
            return found(self.descend(child, rest, fuel));
        }
        let module = &self.modules[at];
        if module.items.contains(name) {
            return Found::Here(at.clone());
        }
        let Some(fuel) = fuel.checked_sub(1) else { return Found::Elsewhere };
        if let Some(import) = module.imports.get(name) {
            return found(self.resolve(at, &[import, rest].concat(), fuel));
        }
        for glob in &module.globs {
            if let Some(source) = self.resolve(at, glob, fuel).filter(|source| source != at) {
                match self.find(&source, name, rest, fuel) {
                    Found::Nowhere => {}
                    other @ (Found::Here(_) | Found::Elsewhere) => return other,
                }
            }
        }
        Found::Nowhere
    }
}

/// The place that defines a name.
enum Found {
    Here(ModulePath),
    /// In another crate.
    Elsewhere,
    Nowhere,
}

fn joined(path: &ModulePath, name: &str) -> ModulePath {
    let mut path = path.clone();
    path.push(name.to_owned());
    path
}

/// Walks the sources of a crate, except for its tests.
struct Reader {
    modules: BTreeMap<ModulePath, Module>,
    /// The module that is being read.
    path: ModulePath,
    /// The directory with the files of its children.
    directory: PathBuf,
}

impl Reader {
    fn file(&mut self, file: &Path) {
        let text =
            std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.modules.entry(self.path.clone()).or_default();
        if !is_test(&parsed.attrs) {
            parsed.items.iter().for_each(|item| self.visit_item(item));
        }
    }

    fn module(&mut self) -> &mut Module {
        self.modules.get_mut(&self.path).unwrap()
    }

    fn refer(&mut self, path: Vec<String>) {
        if path.len() > 1 {
            self.module().references.insert(path);
        }
    }

    /// Notes what a tree of `use` imports.
    fn import(&mut self, tree: &syn::UseTree, prefix: &[String]) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.import(item, prefix)),
            syn::UseTree::Glob(_) => {
                self.refer(prefix.to_vec());
                self.module().globs.push(prefix.to_vec());
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.imported(prefix.last().cloned(), prefix.to_vec());
            }
            syn::UseTree::Name(name) => self.imported(Some(name.ident.to_string()), with(&name.ident)),
            syn::UseTree::Rename(rename) if rename.ident == "self" => {
                self.imported(Some(rename.rename.to_string()), prefix.to_vec());
            }
            syn::UseTree::Rename(rename) => {
                self.imported(Some(rename.rename.to_string()), with(&rename.ident));
            }
        }
    }

    fn imported(&mut self, name: Option<String>, path: Vec<String>) {
        self.refer(path.clone());
        if let Some(name) = name.filter(|name| name != "_") {
            self.module().imports.insert(name, path);
        }
    }

    /// Notes paths and words in the tokens of a macro or an attribute.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.refer(std::mem::take(&mut path));
                    }
                    colons = 0;
                    self.module().words.insert(ident.to_string());
                    path.push(ident.to_string());
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Punct(_) => {}
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => self.literal(&literal.to_string()),
            }
            colons = 0;
            self.refer(std::mem::take(&mut path));
        }
        self.refer(path);
    }

    /// A literal may be a path, as in `#[serde(with = "crate::duration")]`.
    fn literal(&mut self, literal: &str) {
        self.module().words.insert(literal.to_owned());
        let parts: Vec<String> = literal.trim_matches('"').split("::").map(str::to_owned).collect();
        if ["crate", "super", "self"].contains(&parts[0].as_str()) {
            self.refer(parts);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (attributes, name) = described(item);
        if is_test(attributes) {
            return;
        }
        if let Some(name) = name {
            self.module().items.insert(name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        let directory = self.directory.clone();
        self.path.push(name.clone());
        self.directory = directory.join(&name);
        match &module.content {
            Some((_, items)) => {
                self.modules.entry(self.path.clone()).or_default();
                items.iter().for_each(|item| self.visit_item(item));
            }
            None => {
                let beside = directory.join(format!("{name}.rs"));
                let within = self.directory.join("mod.rs");
                self.file(if beside.is_file() { &beside } else { &within });
            }
        }
        self.path.pop();
        self.directory = directory;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[]);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.refer(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.tokens(item.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        match &attribute.meta {
            syn::Meta::List(list) => self.tokens(list.tokens.clone()),
            syn::Meta::NameValue(pair) if !pair.path.is_ident("doc") => {
                visit::visit_meta_name_value(self, pair);
            }
            syn::Meta::Path(_) | syn::Meta::NameValue(_) => {}
        }
    }

    fn visit_ident(&mut self, ident: &'ast proc_macro2::Ident) {
        self.module().words.insert(ident.to_string());
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.literal(&literal.value());
    }
}

/// The attributes of an item, and the name that it defines unless it is a module.
#[expect(clippy::wildcard_enum_match_arm, reason = "other kinds of items define no name")]
fn described(item: &syn::Item) -> (&[syn::Attribute], Option<&syn::Ident>) {
    match item {
        syn::Item::Const(item) => (&item.attrs, Some(&item.ident)),
        syn::Item::Enum(item) => (&item.attrs, Some(&item.ident)),
        syn::Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
        syn::Item::Impl(item) => (&item.attrs, None),
        syn::Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
        syn::Item::Mod(item) => (&item.attrs, None),
        syn::Item::Static(item) => (&item.attrs, Some(&item.ident)),
        syn::Item::Struct(item) => (&item.attrs, Some(&item.ident)),
        syn::Item::Trait(item) => (&item.attrs, Some(&item.ident)),
        syn::Item::Type(item) => (&item.attrs, Some(&item.ident)),
        syn::Item::Union(item) => (&item.attrs, Some(&item.ident)),
        syn::Item::Use(item) => (&item.attrs, None),
        _ => (&[], None),
    }
}

/// Whether these attributes say that something is compiled for tests only.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let mut words = Vec::new();
            idents(list.tokens.clone(), &mut words);
            words.iter().any(|word| word == "test") && !words.iter().any(|word| word == "not")
        }
        syn::Meta::Path(path) => path.segments.last().is_some_and(|segment| segment.ident == "test"),
        syn::Meta::List(_) | syn::Meta::NameValue(_) => false,
    })
}

fn idents(tokens: TokenStream, found: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => found.push(ident.to_string()),
            TokenTree::Group(group) => idents(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The cycles of a crate with these files.
fn cycles_in(files: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = directory.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    CrateModules::read(&directory.path().join("lib.rs")).cycles()
}

#[test]
fn import_cycle_is_found_in_any_spelling() {
    for back in [
        "use crate::a::Thing;",
        "use super::a::Thing;",
        "use super::a as other; type T = other::Thing;",
        "use super::a::*;",
        "use crate::Reexported;",
        "use crate::{a::{self}};",
        "fn f() -> crate::a::Thing { loop {} }",
        "fn f() { println!(\"{:?}\", crate::a::thing()) }",
        "#[serde(with = \"crate::a\")] struct S;",
    ] {
        let lib = "mod a; mod b; pub use a::Thing as Reexported;";
        let cycles = cycles_in(&[
            ("lib.rs", lib),
            ("a.rs", "use crate::b; pub struct Thing;"),
            ("b/mod.rs", "mod c;"),
            ("b/c.rs", &back.replace("super::", "super::super::")),
        ]);
        assert_eq!(cycles.len(), 2, "{back}: {cycles:?}");
        assert!(cycles[0].starts_with("a uses b by ") && cycles[1].starts_with("b uses a by "), "{cycles:?}");
    }
}

#[test]
fn import_without_cycle_is_accepted() {
    for other in [
        "#[cfg(test)] mod tests { use crate::a::Thing; }",
        "#[cfg(test)] use crate::a::Thing;",
        "use std::fmt; use crate::Own;",
        "/// Like [`crate::a::Thing`].\nstruct S;",
        "use crate::a_but_longer::X;",
        "fn f() { let crate_a = 1; }",
    ] {
        let cycles = cycles_in(&[
            ("lib.rs", "mod a; mod b; mod a_but_longer; struct Own; use a::Thing;"),
            ("a.rs", "use crate::b; pub struct Thing;"),
            ("a_but_longer.rs", "pub struct X;"),
            ("b.rs", other),
        ]);
        assert!(cycles.is_empty(), "{other}: {cycles:?}");
    }
}
