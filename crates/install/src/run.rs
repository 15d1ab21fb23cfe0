//! Opening an installed file to use it: hashed and used through one descriptor.

use std::fs::File;
use std::path::PathBuf;

use countersign_base::name::ProductName;

use crate::content::{inspect_installed, installed_path};
use crate::error::InstallError;
use crate::state::{Generation, InstalledFile};
use crate::view::View;

/// An active file whose content was verified through the descriptor that is held here.
///
/// Use the descriptor (`/proc/self/fd/N`), not the path: another file may stand there by now (attack D11). The
/// kernel refuses to execute a file that anybody has open for writing.
#[derive(Debug)]
pub struct OpenFile {
    /// The descriptor, at the start of the file. It closes on exec.
    pub file: File,
    /// Where it was opened; for messages.
    pub path: PathBuf,
    /// The generation it belongs to.
    pub generation: Generation,
    /// What it was compared with.
    pub entry: InstalledFile,
}

impl View {
    /// Opens the file `name` of the active generation, and hashes what was opened.
    ///
    /// # Errors
    /// `install-not-installed`, `file-not-found` if the product has no file of that name,
    /// `install-content-changed`, `install-state-damaged`, `install-storage-failed`
    pub fn open_verified(&self, product: &ProductName, name: &str) -> Result<OpenFile, InstallError> {
        loop {
            let (state, link) = self.recorded(product)?;
            let generation = self.active(&state, link)?;
            let generation =
                generation.ok_or_else(|| InstallError::NotInstalled { product: product.clone() })?;
            let entry = generation.files.iter().find(|file| file.name.as_str() == name);
            let entry = entry.ok_or_else(|| InstallError::NoSuchFile {
                product: product.clone(),
                name: name.to_owned(),
                names: generation.files.iter().map(|file| file.name.clone()).collect(),
            })?;
            let path = installed_path(self.layout(), product, generation.number, entry);
            match inspect_installed(self.layout(), product, generation.number, entry)? {
                Ok(file) => {
                    return Ok(OpenFile { file, path, entry: entry.clone(), generation: generation.clone() });
                }
                // Another generation became active meanwhile, and this one may have been collected.
                Err(_) if self.layout().link(product)? != link => {}
                Err(problem) => return Err(InstallError::changed(&path, problem.to_string())),
            }
        }
    }
}
