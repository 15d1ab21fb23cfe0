//! A page of instructions: who types what, and what they see.
//!
//! What is run stands in fenced blocks of the kind `console`. A line `alice$ command` is typed by alice, on her own
//! machine; `\` at its end goes on in the next line, after `> `. The lines below, up to the next command, are what she
//! sees, standard error included; a line `...` stands for any lines, and no line at all for whatever it is. A command
//! ends with exit status 0 unless an `error[` is to be seen. Blocks of other kinds are not run.
//!
//! Comments give the player stage directions: `<!-- test: begins after start.md -->`, `<!-- test: needs tokens -->`,
//! `<!-- test: needs a clock -->`, `<!-- test: needs versitygw -->`, `<!-- test: needs cosign -->`, and in their place between blocks `<!-- test: 11 days later -->`,
//! `<!-- test: left running -->` before a server, of which the lines in the block are the first ones, and later
//! `<!-- test: alice presses Ctrl-C -->`.

use std::collections::BTreeSet;

/// What the page needs before its first command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// What `start.md` leaves.
    Start,
    /// A PKCS#11 token each.
    Tokens,
    /// A clock that can be set.
    Clock,
    /// A server for buckets.
    Versitygw,
    /// Sigstore's client.
    Cosign,
}

/// A page in its order.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) needs: Vec<Need>,
    pub(crate) steps: Vec<Step>,
}

/// What happens next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Somebody types a command.
    Typed(Typed),
    /// Days go by.
    Later(u32),
    /// Somebody ends the server that they left running.
    Interrupted(String),
}

/// A command, and what is seen.
#[derive(Debug)]
pub(crate) struct Typed {
    /// Where it stands in the page.
    pub(crate) line: usize,
    pub(crate) who: String,
    pub(crate) command: String,
    pub(crate) seen: Vec<String>,
    /// It goes on while others are typed.
    pub(crate) left_running: bool,
}

impl Page {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut page = Self { needs: Vec::new(), steps: Vec::new() };
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let mut left_running = false;
        while let Some((at, line)) = lines.next() {
            if let Some(direction) =
                line.strip_prefix("<!-- test: ").and_then(|rest| rest.strip_suffix(" -->"))
            {
                left_running |= direction == "left running";
                page.direct(direction).map_err(|error| format!("line {at}: {error}"))?;
            } else if line == "```console" {
                let block: Vec<_> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
                page.block(&block, core::mem::take(&mut left_running))?;
            } else if line.starts_with("```") {
                lines.by_ref().find(|(_, line)| *line == "```");
            }
        }
        if page.steps.is_empty() { Err("it has no commands".to_owned()) } else { Ok(page) }
    }

    /// Everyone who types something.
    pub(crate) fn people(&self) -> BTreeSet<String> {
        let typed = self.steps.iter().filter_map(|step| match step {
            Step::Typed(typed) => Some(typed.who.clone()),
            Step::Later(_) | Step::Interrupted(_) => None,
        });
        typed.collect()
    }

    fn direct(&mut self, direction: &str) -> Result<(), String> {
        if let Some(days) = direction.strip_suffix(" days later") {
            self.steps.push(Step::Later(days.parse().map_err(|_| format!("`{days}` is no number"))?));
        } else if let Some(who) = direction.strip_suffix(" presses Ctrl-C") {
            self.steps.push(Step::Interrupted(who.to_owned()));
        } else if direction != "left running" {
            self.needs.push(match direction {
                "begins after start.md" => Need::Start,
                "needs tokens" => Need::Tokens,
                "needs a clock" => Need::Clock,
                "needs versitygw" => Need::Versitygw,
                "needs cosign" => Need::Cosign,
                other => return Err(format!("`{other}` is no stage direction")),
            });
        }
        Ok(())
    }

    fn block(&mut self, lines: &[(usize, &str)], left_running: bool) -> Result<(), String> {
        let mut going_on = false;
        for (at, line) in lines {
            let last = self.steps.last_mut();
            if going_on {
                let more =
                    line.strip_prefix("> ").ok_or_else(|| format!("line {at}: the command goes on"))?;
                if let Some(Step::Typed(typed)) = last {
                    typed.command.push('\n');
                    typed.command.push_str(more);
                }
                going_on = more.ends_with('\\');
            } else if let Some((who, command)) = prompt(line) {
                let (who, command) = (who.to_owned(), command.to_owned());
                going_on = command.ends_with('\\');
                self.steps.push(Step::Typed(Typed {
                    line: *at,
                    who,
                    command,
                    seen: Vec::new(),
                    left_running,
                }));
            } else {
                match last {
                    Some(Step::Typed(typed)) if *at > lines[0].0 => typed.seen.push((*line).to_owned()),
                    _ => return Err(format!("line {at}: a block begins with a command")),
                }
            }
        }
        Ok(())
    }
}

/// `alice$ command`.
fn prompt(line: &str) -> Option<(&str, &str)> {
    let (who, command) = line.split_once("$ ")?;
    let is_name = !who.is_empty() && who.bytes().all(|byte| byte.is_ascii_lowercase());
    is_name.then_some((who, command))
}

#[test]
fn a_page_is_read_in_its_order() {
    let text = "<!-- test: begins after start.md -->\nWords.\n```console\nalice$ one \\\n> two\nseen\n...\nbob$ three\n```\n\
        <!-- test: 11 days later -->\n```sh\n$ not run\n```\n";
    let page = Page::parse(text).unwrap();
    assert_eq!(page.needs, [Need::Start]);
    assert_eq!(page.people().into_iter().collect::<Vec<_>>(), ["alice", "bob"]);
    let [Step::Typed(one), Step::Typed(two), Step::Later(11)] = &page.steps[..] else {
        panic!("{:?}", page.steps)
    };
    assert_eq!((one.line, one.command.as_str(), one.seen.len()), (4, "one \\\ntwo", 2));
    assert_eq!((two.who.as_str(), two.command.as_str()), ("bob", "three"));
    for wrong in
        ["no commands", "```console\nseen\n```", "<!-- test: dance -->", "```console\na$ b \\\nc\n```"]
    {
        Page::parse(wrong).unwrap_err();
    }
}
