//! Enough of Rust's grammar to tell code from comments, literals and tests, and to read paths.
//!
//! Not a parser: it never fails, and on text that is not Rust it returns something of the same lines.

/// `text` with comments and the contents of literals as spaces, newlines kept.
pub(super) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if !at
                .checked_sub(1)
                .is_some_and(|before| is_word(bytes[before]) && !is_prefix(bytes, before)) =>
            {
                raw_string_end(bytes, at)
            }
            b'\'' => char_end(bytes, at),
            _ => at,
        };
        if end == at {
            out.push(bytes[at]);
            at += 1;
        } else {
            out.extend(bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        }
    }
    // Only whole characters were replaced, each by as many spaces as it has bytes.
    String::from_utf8_lossy(&out).into_owned()
}

/// `code` with every item under `#[cfg(test)]` as spaces.
pub(super) fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(found) = out[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = item_end(out.as_bytes(), start + "#[cfg(test)]".len());
        let blanked = blank(&out[start..end]);
        out.replace_range(start..end, &blanked);
        from = end;
    }
    out
}

/// As many spaces, with the newlines kept.
pub(super) fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// A path such as `std::fs::read`, or a macro's name with `!`, and its line from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) line: usize,
    pub(super) path: Vec<String>,
}

/// Every path in `code`; groups of `use` are spread out, names after a dot are left out.
pub(super) fn mentions(code: &str) -> Vec<Mention> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = is_name(&tokens[at]) && (at == 0 || tokens[at - 1].text != ".");
        at = if begins { path(&tokens, at, &mut Vec::new(), &mut found) } else { at + 1 };
    }
    found
}

struct Token<'a> {
    line: usize,
    text: &'a str,
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                _ => word,
            };
            tokens.push(Token { line: index + 1, text: &rest[..length] });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

fn is_name(token: &Token<'_>) -> bool {
    token.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one path (or one branch of a `use` tree) from `at`; returns where it ends.
fn path(tokens: &[Token<'_>], mut at: usize, before: &mut Vec<String>, found: &mut Vec<Mention>) -> usize {
    let outer = before.len();
    let line = tokens[at].line;
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    let mut group = false;
    loop {
        before.push(tokens[at].text.to_owned());
        at += 1;
        if !is(at, "::") {
            break;
        }
        if tokens.get(at + 1).is_some_and(is_name) {
            at += 1;
            continue;
        }
        if is(at + 1, "{") {
            group = true;
            at += 2;
            while at < tokens.len() && !is(at, "}") {
                at = if is_name(&tokens[at]) { path(tokens, at, before, found) } else { at + 1 };
            }
        }
        at += 1;
        break;
    }
    if !group {
        let mut path = before.clone();
        if is(at, "!")
            && !is(at + 1, "=")
            && let Some(last) = path.last_mut()
        {
            last.push('!');
        }
        found.push(Mention { line, path });
    }
    before.truncate(outer);
    at
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether the byte at `at` is the `b` or `c` of a literal such as `br"..."`.
fn is_prefix(bytes: &[u8], at: usize) -> bool {
    matches!(bytes[at], b'b' | b'c') && !at.checked_sub(1).is_some_and(|before| is_word(bytes[before]))
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => depth += 1,
            Some(b"*/") => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at.min(bytes.len())
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a raw string that begins at the `r` of `start`, or `start` where none does.
fn raw_string_end(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(start + 1 + hashes) != Some(&b'"') {
        return start;
    }
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let body = start + 2 + hashes;
    let found = bytes[body..].windows(close.len()).position(|window| window == close);
    found.map_or(bytes.len(), |length| body + length + close.len())
}

/// The end of a character literal at `start`, or `start` where it is a lifetime.
fn char_end(bytes: &[u8], start: usize) -> usize {
    if bytes.get(start + 1) == Some(&b'\\') {
        let close = bytes[(start + 3).min(bytes.len())..].iter().position(|byte| *byte == b'\'');
        return close.map_or(bytes.len(), |length| start + 4 + length);
    }
    let width = match bytes.get(start + 1) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        _ => 1,
    };
    if bytes.get(start + 1 + width) == Some(&b'\'') { start + 2 + width } else { start }
}

/// Where the item after `at` ends: its first `;`, or the brace that closes its first block.
fn item_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            b';' if depth == 0 => return index + 1,
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_go_lines_stay() {
        let text =
            "a(\"x\\\"y\"); // c\n/* d /* e */ \n f */ let r = r#\"g\"h\"#; 'é'; '\\''; b'z'; &'a str\n";
        let code = code(text);
        assert_eq!(code.lines().count(), text.lines().count());
        assert_eq!(
            code.split_whitespace().collect::<Vec<_>>(),
            ["a(", ");", "let", "r", "=", ";", ";", ";", "b", ";", "&'a", "str"]
        );
    }

    #[test]
    fn only_test_items_go() {
        let text = "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n fn b() {}\n}\n#[cfg(test)]\nuse c;\nfn d() {}\n";
        assert_eq!(without_tests(&code(text)).split_whitespace().collect::<String>(), "fna(){}fnd(){}");
    }

    #[test]
    fn paths_are_spread_out() {
        let of = |text: &str| -> Vec<String> {
            mentions(&code(text)).into_iter().map(|mention| mention.path.join("::")).collect()
        };
        assert_eq!(
            of("use std::{fs, io::{self, Read}};"),
            ["use", "std::fs", "std::io::self", "std::io::Read"]
        );
        assert_eq!(of("::std::env::var(x)"), ["std::env::var", "x"]);
        assert_eq!(of("println!(a); b != c; d.stdout()"), ["println!", "a", "b", "c", "d"]);
        assert_eq!(of("Vec::<u8>::new()"), ["Vec", "u8", "new"]);
    }

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(mentions("\na::b\n"), [Mention { line: 2, path: vec!["a".into(), "b".into()] }]);
    }
}
