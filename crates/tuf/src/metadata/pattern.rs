//! Path patterns of delegations (specification 4.5, `PATHPATTERN`).
//!
//! `*` any run, `?` any one character, `[abc]`, `[a-z]`, `[!a]` one of or none of a set; none of them crosses `/`.
//! As python-tuf does with `fnmatch`, both sides are split at `/` and matched part by part. `^` in a set is itself, as
//! in `fnmatch` and POSIX, where Go negates with it (attack M15): a set that begins with `^` or is never closed
//! matches nothing at all here, so that no two clients disagree about it.

/// Whether `pattern` covers `path`. Both are compared character by character, case counts.
pub fn matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) => {
                if !matches_part(pattern, part) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// Whether every client reads `pattern` alike; one that is not read so matches nothing.
pub fn is_pattern(pattern: &str) -> bool {
    pattern.split('/').all(|part| read(part).is_some())
}

/// One element of a pattern's part.
enum Element {
    Run,
    Any,
    Exactly(char),
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Element {
    fn accepts(&self, character: char) -> bool {
        match self {
            Self::Run | Self::Any => true,
            Self::Exactly(wanted) => *wanted == character,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|&(low, high)| (low..=high).contains(&character)) != *negated
            }
        }
    }
}

/// Matches with one point to go back to, so the work is at most the product of the lengths.
fn matches_part(pattern: &str, part: &str) -> bool {
    let Some(elements) = read(pattern) else {
        return false;
    };
    let characters: Vec<char> = part.chars().collect();
    let (mut element, mut character) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while character < characters.len() {
        match elements.get(element) {
            Some(Element::Run) => {
                back = Some((element + 1, character));
                element += 1;
            }
            Some(wanted) if wanted.accepts(characters[character]) => {
                element += 1;
                character += 1;
            }
            _ => match back {
                Some((after_run, from)) => {
                    back = Some((after_run, from + 1));
                    (element, character) = (after_run, from + 1);
                }
                None => return false,
            },
        }
    }
    elements[element..].iter().all(|element| matches!(element, Element::Run))
}

/// The elements of one part; `None` for a set that clients would read differently.
fn read(pattern: &str) -> Option<Vec<Element>> {
    let characters: Vec<char> = pattern.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        match characters[at] {
            '*' => out.push(Element::Run),
            '?' => out.push(Element::Any),
            '[' => {
                let (set, end) = read_set(&characters, at + 1)?;
                out.push(set);
                at = end;
            }
            // An escape to POSIX and Go, itself to fnmatch.
            '\\' => return None,
            other => out.push(Element::Exactly(other)),
        }
        at += 1;
    }
    Some(out)
}

/// The set that begins after `[`, and where its `]` is.
fn read_set(characters: &[char], start: usize) -> Option<(Element, usize)> {
    let negated = characters.get(start) == Some(&'!');
    let first = start + usize::from(negated);
    // A `]` right here is a member to POSIX and the end to Go; `^` here negates for Go only.
    if matches!(characters.get(first), Some(']' | '^')) {
        return None;
    }
    let end = first + characters.get(first..)?.iter().position(|&character| character == ']')?;
    let mut ranges = Vec::new();
    let mut at = first;
    while at < end {
        let low = characters[at];
        if matches!(low, '[' | '\\') {
            return None;
        }
        if at + 2 < end && characters[at + 1] == '-' {
            ranges.push((low, characters[at + 2]));
            at += 3;
        } else {
            ranges.push((low, low));
            at += 1;
        }
    }
    Some((Element::Set { negated, ranges }, end))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn examples_of_the_specification() {
        for (pattern, yes, no) in [
            ("targets/*.tgz", &["targets/foo.tgz", "targets/bar.tgz"][..], &["targets/foo.txt"][..]),
            (
                "foo-version-?.tgz",
                &["foo-version-2.tgz", "foo-version-a.tgz"],
                &["foo-version-alpha.tgz", "foo-version-.tgz"],
            ),
            ("*.tgz", &["foo.tgz", "bar.tgz", ".tgz"], &["targets/foo.tgz"]),
            ("foo.tgz", &["foo.tgz"], &["foo.tgz/", "Foo.tgz", "foo_tgz", "/foo.tgz"]),
            ("node/*/*/*", &["node/1.0.0/linux-amd64/node"], &["node/1/x/y/z", "node/1/x", "other/1/x/y"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "x", "-x"]),
            ("[!a]x", &["bx"], &["ax", "/x", "x"]),
            ("a*b*c", &["abc", "aXbYc", "abbc"], &["ab", "acb"]),
            ("*", &["a", ""], &["a/b", "/"]),
            ("dir/*", &["dir/foo"], &["dir/../foo", "dir", "dir/a/b"]),
        ] {
            for path in yes {
                assert!(matches(pattern, path), "{pattern} {path}");
            }
            for path in no {
                assert!(!matches(pattern, path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn what_clients_read_differently_matches_nothing() {
        for pattern in ["[^a]x", "[ax", "[]x", "[]a]x", "a\\*", "[[a]x", "[!^a]x"] {
            for path in ["ax", "bx", "^x", "]x", "a*", "a\\*", "[ax", pattern] {
                assert!(!matches(pattern, path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn many_runs_end_soon() {
        let (pattern, path) = ("*a".repeat(300), "a".repeat(1000));
        assert!(matches(&pattern, &path));
        assert!(!matches(&format!("{pattern}b"), &path));
    }
}
