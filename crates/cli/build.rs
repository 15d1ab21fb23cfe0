//! Puts the pages of `docs/errors/` into the binary, so that `explain` works without network.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let pages = Path::new("../../docs/errors");
    println!("cargo::rerun-if-changed={}", pages.display());
    let mut found: Vec<_> = fs::read_dir(pages)
        .expect("docs/errors is readable")
        .map(|entry| entry.expect("docs/errors is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|path| path.file_stem().is_some_and(|stem| stem != "README"))
        .collect();
    // By name without `.md`, as they are looked up: `a-b.md` comes before `a.md`, and `a` before `a-b`.
    found.sort_by_key(|path| path.file_stem().map(ToOwned::to_owned));
    let mut table = String::from("pub(crate) const PAGES: &[(&str, &str)] = &[\n");
    for page in found {
        let code = page.file_stem().expect("has a stem").to_string_lossy().into_owned();
        let full = fs::canonicalize(&page).expect("page exists");
        writeln!(table, "    ({code:?}, include_str!({full:?})),").expect("writes to memory");
    }
    table.push_str("];\n");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("pages.rs"), table).expect("OUT_DIR is writable");
}
