//! The repository's text files, read once.

use std::path::Path;
use std::process::Command;

use super::source;
use crate::sh;

/// Every text file that is or would be committed, by path.
pub(super) struct Tree {
    files: Vec<File>,
}

/// One file.
pub(super) struct File {
    /// Below the root, with `/`.
    pub(super) path: String,
    /// As it is.
    pub(super) text: String,
    /// Rust without comments and contents of literals, same lines; empty for other files.
    pub(super) code: String,
    /// `code` without what only tests compile.
    pub(super) product: String,
}

impl Tree {
    /// Reads what git tracks and what it would track; binary files are left out.
    pub(super) fn load(root: &Path) -> Result<Self, String> {
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let names = sh::output(Command::new("git").current_dir(root).args(list))?;
        let mut files = Vec::new();
        for name in names.split_terminator('\0') {
            // A file deleted but not yet committed is listed and absent.
            if let Ok(bytes) = std::fs::read(root.join(name))
                && let Ok(text) = String::from_utf8(bytes)
            {
                files.push(File::new(name, text));
            }
        }
        Ok(Self { files })
    }

    /// A tree of these files.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| File::new(path, (*text).to_owned())).collect() }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// The Rust files.
    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Writes a file to the disk and to this tree.
    pub(super) fn write(&mut self, root: &Path, path: &str, text: String) -> Result<(), String> {
        std::fs::write(root.join(path), &text).map_err(|error| format!("{path}: {error}"))?;
        self.files.retain(|file| file.path != path);
        self.files.push(File::new(path, text));
        Ok(())
    }
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let code = if path.ends_with(".rs") { source::code(&text) } else { String::new() };
        let product = if is_test(path) { source::blank(&code) } else { source::without_tests(&code) };
        Self { path: path.to_owned(), text, code, product }
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The folder below `crates/`, where it is in one.
    pub(super) fn crate_folder(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split_once('/').map(|(folder, _)| folder)
    }

    /// Lines with their number, from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Whether a whole file is compiled for tests only.
fn is_test(path: &str) -> bool {
    let folder = path.split('/').rev().skip(1).any(|part| matches!(part, "tests" | "benches" | "examples"));
    folder || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_files_have_no_product_code() {
        for path in ["crates/a/tests/a/main.rs", "crates/a/src/b/tests.rs", "crates/a/src/b/tests/c.rs"] {
            assert_eq!(File::new(path, "fn a() {}\n".to_owned()).product.trim(), "", "{path}");
        }
        assert_eq!(File::new("crates/a/src/contests.rs", "fn a() {}\n".to_owned()).product, "fn a() {}\n");
    }
}
