//! Links between pages: what a Markdown file points at in this repository is there, and so is the heading.

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files().filter(|file| file.path.ends_with(".md")) {
        let mut fenced = false;
        for (number, line) in file.lines() {
            fenced ^= line.trim_start().starts_with("```");
            if fenced {
                continue;
            }
            for link in links(line) {
                if let Some(what) = broken(tree, &file.path, link) {
                    let remedy = "name a file of this repository, and a heading as it stands there";
                    findings.push(Finding::new(&file.path, number, what, remedy));
                }
            }
        }
    }
    findings
}

/// The targets of `[text](target)` in a line that are not elsewhere.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

fn broken(tree: &Tree, from: &str, link: &str) -> Option<String> {
    let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
    let path = if path.is_empty() { from.to_owned() } else { resolve(from, path) };
    let folder = format!("{}/", path.trim_end_matches('/'));
    let Some(file) = tree.get(&path) else {
        let is_folder = tree.files().any(|file| file.path.starts_with(&folder));
        return (!is_folder).then(|| format!("it links `{link}`, which is not there"));
    };
    let heading = heading.filter(|_| path.ends_with(".md"))?;
    let found =
        file.lines().filter(|(_, line)| line.starts_with('#')).any(|(_, line)| anchor(line) == heading);
    (!found).then(|| format!("it links `{link}`, and there is no such heading"))
}

/// A path as it is meant in the folder of `from`.
fn resolve(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What a heading is called in a link, as GitHub does it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_somewhere() {
        let found = |link: &str| {
            let text = format!("See [it]({link}).\n```text\n[not](a-link.md)\n```\n");
            let tree =
                Tree::of(&[("docs/a.md", &text), ("docs/b/c.md", "# What a *thing*, `x-y`\n"), ("d.rs", "")]);
            check(&tree).len()
        };
        for good in [
            "b/c.md",
            "./b/c.md#what-a-thing-x-y",
            "../d.rs",
            "../docs/b/",
            "b",
            "#",
            "https://example.com/x.md",
            "a.md",
        ] {
            assert_eq!(found(good), usize::from(good == "#"), "{good}");
        }
        for bad in ["c.md", "b/c.md#what", "../../d.rs/x", "/d.rs/", "#nothing"] {
            assert_eq!(found(bad), 1, "{bad}");
        }
    }
}
