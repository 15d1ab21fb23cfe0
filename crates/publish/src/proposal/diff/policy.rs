//! The transparency policy: its lines that come and go, and in words how many witnesses are enough.

use countersign_base::Json;
use countersign_base::text::escape;
use countersign_tlog::policy::{Member, Policy};
use countersign_verify::EXTENSION;

use super::Differences;

/// The member of `x-countersign` with the lines of the policy.
const POLICY: &str = "policy";

/// What changes in the policy.
pub(super) fn policy(differences: &mut Differences<'_>) -> Vec<String> {
    let at = [EXTENSION, POLICY];
    let (old, new) = differences.at(&at);
    let (Some(before), Some(after)) = (text(old), text(new)) else { return Vec::new() };
    if before == after {
        return Vec::new();
    }
    let mut lines = vec![quorum(&before, &after)];
    for line in after.iter().filter(|line| !before.contains(line)) {
        lines.push(format!("adds to the transparency policy: {}", escape(line)));
    }
    for line in before.iter().filter(|line| !after.contains(line)) {
        lines.push(format!("removes from the transparency policy: {}", escape(line)));
    }
    if lines.len() == 1 {
        lines.push(format!("writes the transparency policy anew: {}", escape(&after.join(" / "))));
    }
    differences.take(&at);
    lines
}

fn text(value: Option<&Json>) -> Option<Vec<String>> {
    value?.as_array()?.iter().map(|line| line.as_str().map(str::to_owned)).collect()
}

/// How few witnesses a policy is content with: its lines alone do not say so, for groups stand in groups and a witness
/// that is listed need not be asked.
fn quorum(before: &[String], after: &[String]) -> String {
    let counted = |lines: &[String]| Policy::parse((lines.join("\n") + "\n").as_bytes()).ok().map(counts);
    let Some((least, all)) = counted(after) else {
        return "the transparency policy is none that clients can use".to_owned();
    };
    let was = match counted(before) {
        Some(was) if was == (least, all) => "; that is as before".to_owned(),
        Some((least, all)) => format!("; it was {least} of {all}"),
        None => String::new(),
    };
    match (least, all) {
        (0, _) => format!("no witness has to cosign{was}"),
        (least, all) if least == all => format!("all {all} of {all} witnesses must cosign{was}"),
        _ => format!("as few as {least} of {all} witnesses suffice to cosign{was}"),
    }
}

/// The least number of witnesses that satisfies the policy, and how many it counts at all.
///
/// No witness and no group stands in two groups (C2SP tlog-policy), so the cheapest members of each add up.
fn counts(policy: Policy) -> (usize, usize) {
    let mut groups: Vec<(usize, usize)> = Vec::with_capacity(policy.groups().len());
    let of = |member: &Member, groups: &[(usize, usize)]| match member {
        Member::Witness(_) => (1, 1),
        Member::Group(at) => groups.get(*at).copied().unwrap_or_default(),
    };
    // A group comes after its members.
    for group in policy.groups() {
        let members: Vec<_> = group.members().iter().map(|member| of(member, &groups)).collect();
        let mut least: Vec<usize> = members.iter().map(|(least, _)| *least).collect();
        least.sort_unstable();
        let all = members.iter().map(|(_, all)| all).sum();
        groups.push((least.iter().take(group.threshold()).sum(), all));
    }
    policy.quorum().map_or((0, 0), |quorum| of(&quorum, &groups))
}
