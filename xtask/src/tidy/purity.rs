//! Pure crates: no file, socket, clock, thread, environment, randomness or terminal in product code.
//!
//! Bytes and `now` go in, values come out; an edge crate reads and writes. Tests may do as they like.

use super::Finding;
use super::edges::PURE;
use super::source::mentions;
use super::tree::Tree;

/// Paths that begin so.
const PREFIXES: &[(&[&str], &str)] = &[
    (&["std", "fs"], "take bytes as an argument; reading and writing belong to an edge crate"),
    (&["std", "net"], "take bytes as an argument; sockets belong to `client` and `server`"),
    (&["std", "env"], "take the value as an argument; `cli` reads the environment"),
    (&["std", "process"], "return an error; only `cli` ends the process or starts one"),
    (&["std", "thread"], "be a function of the arguments; an edge crate may run it on a thread"),
    (&["std", "os"], "leave what depends on the operating system to an edge crate"),
    (&["std", "io", "stdin"], "take bytes as an argument"),
    (&["std", "io", "stdout"], "return the text; the printer of `cli` writes it"),
    (&["std", "io", "stderr"], "return the text; the printer of `cli` writes it"),
    (&["tokio"], "be synchronous; async belongs to the socket"),
    (&["rustix"], "leave system calls to an edge crate"),
    (&["getrandom"], "take the bytes as an argument; `keys` draws them"),
    (&["rand"], "take the bytes as an argument; `keys` draws them"),
    (&["aws_lc_rs", "rand"], "take the bytes as an argument; `keys` draws them"),
];

/// Names that are wrong wherever they stand in a path.
const NAMES: &[(&str, &str)] = &[
    ("SystemTime", "take `now: Timestamp` as an argument; `cli` reads the clock once"),
    ("Instant", "take `now: Timestamp` as an argument; time nothing here"),
    ("SystemRandom", "take the bytes as an argument; `keys` draws them"),
    ("println!", "return the text; the printer of `cli` writes it"),
    ("print!", "return the text; the printer of `cli` writes it"),
    ("eprintln!", "return an error; the printer of `cli` writes it"),
    ("eprint!", "return an error; the printer of `cli` writes it"),
    ("dbg!", "remove it"),
];

/// What a crate may use all the same, with the reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "crypto",
        "SystemRandom",
        "the provider draws ECDSA and ML-DSA signing nonces itself; there is no other way",
    ),
    ("crypto", "rand", "as above"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let Some(folder) = file.crate_folder().filter(|folder| PURE.contains(folder)) else { continue };
        for mention in mentions(&file.product) {
            let path: Vec<&str> = mention.path.iter().map(String::as_str).collect();
            let excepted = EXCEPTIONS.iter().any(|(of, name, _)| *of == folder && path.contains(name));
            if let Some(remedy) = remedy(&path).filter(|_| !excepted) {
                let what = format!("`{}` in the pure crate `{folder}`", path.join("::"));
                findings.push(Finding::new(&file.path, mention.line, what, remedy));
            }
        }
    }
    findings
}

fn remedy(path: &[&str]) -> Option<&'static str> {
    let prefix = PREFIXES.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, remedy)| *remedy);
    prefix.or_else(|| NAMES.iter().find(|(name, _)| path.contains(name)).map(|(_, remedy)| *remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn the_world_is_refused_in_a_pure_crate() {
        for line in [
            "std::fs::read(x);",
            "use std::{fmt, fs};",
            "use std::net::TcpStream;",
            "std::env::var(x);",
            "std::process::exit(1);",
            "std::thread::spawn(x);",
            "let now = SystemTime::now();",
            "let t = std::time::Instant::now();",
            "println!(x);",
            "getrandom::fill(x);",
        ] {
            assert_eq!(found("crates/tlog/src/a.rs", &format!("\n{line}\n")), [2], "{line}");
        }
    }

    #[test]
    fn tests_comments_and_edges_may() {
        assert_eq!(
            found("crates/tlog/src/a.rs", "// std::fs\n#[cfg(test)]\nmod tests { use std::fs; }\n"),
            [0_usize; 0]
        );
        assert_eq!(found("crates/tlog/tests/tlog/main.rs", "use std::fs;\n"), [0_usize; 0]);
        assert_eq!(found("crates/store/src/a.rs", "use std::fs;\n"), [0_usize; 0]);
        assert_eq!(found("crates/tlog/src/a.rs", "use std::time::Duration; my::fs::read();\n"), [0_usize; 0]);
    }

    #[test]
    fn an_exception_holds_for_its_crate_only() {
        assert_eq!(found("crates/crypto/src/a.rs", "aws_lc_rs::rand::SystemRandom::new();\n"), [0_usize; 0]);
        assert_eq!(found("crates/tuf/src/a.rs", "aws_lc_rs::rand::SystemRandom::new();\n"), [1]);
    }
}
