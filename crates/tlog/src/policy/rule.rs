//! Groups and quorum: which sets of witnesses are enough.

use super::{Policy, PolicyName};

/// A witness or a group, by its place in the policy's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// In [`Policy::witnesses`].
    Witness(usize),
    /// In [`Policy::groups`].
    Group(usize),
}

/// A group: it has witnessed a checkpoint if at least `threshold` of its members have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub(super) name: PolicyName,
    pub(super) threshold: usize,
    pub(super) members: Vec<Member>,
}

impl Group {
    /// Name within the policy.
    pub const fn name(&self) -> &PolicyName {
        &self.name
    }

    /// From 1 to the number of members.
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// Witnesses and groups defined before it.
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

impl Policy {
    /// Whether the quorum is met if the witnesses for which `cosigned` is true have cosigned.
    ///
    /// `quorum none` is met by anything; [`Policy::require_witnesses`] refuses it before.
    pub fn is_met(&self, cosigned: impl Fn(usize) -> bool) -> bool {
        let Some(quorum) = self.quorum else { return true };
        // A group comes after its members, so one walk in order settles all of them.
        let mut witnessed = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let count = group.members.iter().filter(|member| holds(**member, &cosigned, &witnessed)).count();
            witnessed.push(count >= group.threshold);
        }
        holds(quorum, &cosigned, &witnessed)
    }

    /// The witnesses that the quorum is about, in the order of the text.
    pub(super) fn quorum_witnesses(&self) -> Vec<usize> {
        let mut found = Vec::new();
        let mut pending: Vec<Member> = self.quorum.into_iter().collect();
        while let Some(member) = pending.pop() {
            match member {
                Member::Witness(index) => found.push(index),
                Member::Group(index) => {
                    pending.extend(self.groups.get(index).into_iter().flat_map(|group| &group.members));
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// The quorum in words: `2 of w1, w2, (1 of a, b)`.
    pub(super) fn describe(&self) -> String {
        // Groups come after their members, so their words are ready when needed.
        let mut words: Vec<String> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let members: Vec<String> = group
                .members
                .iter()
                .map(|member| match member {
                    Member::Witness(_) => self.name_of(*member).to_string(),
                    Member::Group(index) => {
                        format!("({})", words.get(*index).map_or("", String::as_str))
                    }
                })
                .collect();
            words.push(format!("{} of {}", group.threshold, members.join(", ")));
        }
        match self.quorum {
            None => "nothing".to_owned(),
            Some(Member::Group(index)) => words.get(index).cloned().unwrap_or_default(),
            Some(witness) => self.name_of(witness).to_string(),
        }
    }

    /// The name of a member. Members are made by the parser alone, so their indices are in range.
    pub(super) fn name_of(&self, member: Member) -> &PolicyName {
        match member {
            Member::Witness(index) => &self.witnesses[index].name,
            Member::Group(index) => &self.groups[index].name,
        }
    }
}

fn holds(member: Member, cosigned: &impl Fn(usize) -> bool, groups: &[bool]) -> bool {
    match member {
        Member::Witness(index) => cosigned(index),
        Member::Group(index) => groups.get(index).copied().unwrap_or(false),
    }
}
