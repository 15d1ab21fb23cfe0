//! What cargo says about the workspace: its packages, their dependencies, everybody's licence.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::sh;

/// The part of `cargo metadata` that the chores read.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// Members and every package they need.
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
}

/// One package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) manifest_path: String,
    #[serde(default)]
    pub(crate) license: Option<String>,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    #[serde(default)]
    pub(crate) kind: Option<String>,
    /// Set where the dependency is a folder of this workspace.
    #[serde(default)]
    pub(crate) path: Option<String>,
}

impl Workspace {
    /// Asks cargo. Needs the registry's files of the lock file, not a build.
    pub(crate) fn load(root: &Path) -> Result<Self, String> {
        let json = sh::output(sh::cargo(root).args(["metadata", "--format-version", "1"]))?;
        Self::parse(&json)
    }

    /// Reads `cargo metadata --format-version 1`.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| format!("cargo metadata is not what it was: {error}"))
    }

    /// The packages of this repository.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The name of each outside package that a member depends on directly, with its licence expression.
    pub(crate) fn direct_dependencies(&self) -> BTreeMap<&str, &str> {
        let outside = self.members().flat_map(|member| &member.dependencies).filter(|dep| dep.path.is_none());
        outside.map(|dep| (dep.name.as_str(), self.licence(&dep.name))).collect()
    }

    fn licence(&self, name: &str) -> &str {
        let found = self.packages.iter().find(|package| package.name == name);
        found.and_then(|package| package.license.as_deref()).unwrap_or("unknown")
    }
}

impl Package {
    /// The folder below `crates/` of a member, `None` for others such as `xtask`.
    pub(crate) fn crate_folder(&self) -> Option<&str> {
        let folder = self.manifest_path.strip_suffix("/Cargo.toml")?;
        let (parent, name) = folder.rsplit_once('/')?;
        parent.ends_with("/crates").then_some(name)
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! Makes the JSON that cargo would print.

    use super::Workspace;

    /// A folder of `crates/` and its dependencies: name, kind ("" is normal), whether it is ours.
    pub(crate) type Crate<'a> = (&'a str, &'a [(&'a str, &'a str, bool)]);

    pub(crate) fn workspace(crates: &[Crate<'_>]) -> Workspace {
        let packages: Vec<serde_json::Value> = crates
            .iter()
            .map(|(folder, dependencies)| {
                let name =
                    if *folder == "cli" { "countersign".to_owned() } else { format!("countersign-{folder}") };
                let dependencies: Vec<_> = dependencies
                    .iter()
                    .map(|(name, kind, ours)| {
                        serde_json::json!({
                            "name": name,
                            "kind": (!kind.is_empty()).then_some(kind),
                            "path": ours.then_some("here"),
                        })
                    })
                    .collect();
                serde_json::json!({
                    "id": name,
                    "name": name,
                    "manifest_path": format!("/p/crates/{folder}/Cargo.toml"),
                    "license": "MIT",
                    "dependencies": dependencies,
                })
            })
            .collect();
        let members: Vec<_> = packages.iter().map(|package| package["id"].clone()).collect();
        let json = serde_json::json!({ "packages": packages, "workspace_members": members });
        Workspace::parse(&json.to_string()).unwrap()
    }
}
