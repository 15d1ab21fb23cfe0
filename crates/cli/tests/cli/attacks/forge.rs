//! Metadata as an honest publisher makes it, but for one thing.

use std::collections::BTreeMap;

use countersign_base::json::Json;
use countersign_base::{Code, canonical};
use countersign_testkit::sim::Sim;
use countersign_testkit::sim::{member, object};

use super::{honest_update, installed_from};
use crate::lab::{Lab, first_release, second_release};

/// Something done to a repository, with its letter or a word for it.
pub(super) type Case<'a> = (&'a str, Box<dyn Fn(&mut Sim) + 'a>);

/// A case from a closure.
pub(super) fn case<'a>(name: &'a str, attack: impl Fn(&mut Sim) + 'a) -> Case<'a> {
    (name, Box::new(attack))
}

/// Plays cases of one code on one machine: each is refused and changes nothing, then the honest update succeeds.
///
/// Each attack gets the repository with 1.1.0 added but not published. That the machine's state is byte for byte
/// what it was makes one honest update stand for one after each.
#[track_caller]
pub(super) fn refuse_all(code: Code, cases: &[Case<'_>]) {
    refuse_all_of(&first_release(), code, cases);
}

/// The same from an honest repository of one's own making.
#[track_caller]
pub(super) fn refuse_all_of(first: &Sim, code: Code, cases: &[Case<'_>]) {
    let lab = installed_from(first);
    for (name, attack) in cases {
        let mut evil = second_release(first);
        attack(&mut evil);
        refuse_case(&lab, &evil, code, name);
    }
    honest_update(&lab, first);
}

/// `update` from what is served is refused with exactly this code, and changes nothing. Gives the JSON document.
#[track_caller]
pub(super) fn refuse_case(lab: &Lab, evil: &Sim, code: Code, name: &str) -> serde_json::Value {
    let (before, program) = (lab.state(), lab.installed());
    lab.serve(evil);
    let run = lab.node("update");
    assert_eq!(run.json()["code"], code.name(), "case {name}: {}", run.text());
    let run = run.refused(code);
    let after = lab.state();
    let changed = before.iter().chain(&after).find(|(path, text)| {
        before.get(*path).is_none_or(|before| before != *text)
            || after.get(*path).is_none_or(|after| after != *text)
    });
    assert!(changed.is_none(), "case {name}: a refused update changes nothing, but {changed:?}");
    assert_eq!(lab.installed(), program, "case {name}");
    run.json()
}

/// Publishes 1.1.0 where the signed part of `role` passes through `edit` before its keys sign it.
///
/// What lists `role`, and the log, are of the result, so that nothing else is wrong.
pub(super) fn publish_edited(sim: &mut Sim, role: &str, edit: impl FnOnce(&mut Json)) {
    publish_forged(sim, role, |sim| edit(sim.role(role)), |sim| sim.envelope(role));
}

/// Publishes 1.1.0 where the file of `role` is what `seal` gives.
pub(super) fn publish_sealed(sim: &mut Sim, role: &str, seal: impl FnOnce(&Sim) -> Vec<u8>) {
    publish_forged(sim, role, |_| {}, seal);
}

/// Publishes 1.1.0 as an honest publisher does, with `role` edited by `edit` and put into an envelope by `seal`.
///
/// Root and targets get a next version; the other roles have one anyway.
pub(super) fn publish_forged(
    sim: &mut Sim,
    role: &str,
    edit: impl FnOnce(&mut Sim),
    seal: impl FnOnce(&Sim) -> Vec<u8>,
) {
    let (mut edit, mut seal) = (Some(edit), Some(seal));
    let mut forge = |sim: &mut Sim| {
        if let (Some(edit), Some(seal)) = (edit.take(), seal.take()) {
            edit(sim);
            let bytes = seal(sim);
            sim.bytes.insert(role.to_owned(), bytes);
        }
    };
    let mut roles = vec!["node"];
    if matches!(role, "root" | "targets") {
        roles.insert(0, role);
    }
    for one in &roles {
        let next = sim.version(one) + 1;
        sim.set_version(one, next);
        if *one == role {
            forge(sim);
        } else {
            let bytes = sim.envelope(one);
            sim.bytes.insert((*one).to_owned(), bytes);
        }
    }
    sim.point_snapshot();
    if role == "snapshot" {
        forge(sim);
    }
    roles.push("snapshot");
    sim.log_and_serve(&roles);
    sim.point_timestamp();
    if role == "timestamp" {
        forge(sim);
    }
    sim.serve_timestamp();
}

/// Logs and serves next top-level targets of this content; the publication after it lists them.
pub(super) fn next_targets(sim: &mut Sim, edit: impl FnOnce(&mut Json)) {
    let next = sim.version("targets") + 1;
    sim.set_version("targets", next);
    edit(sim.role("targets"));
    let bytes = sim.envelope("targets");
    sim.bytes.insert("targets".to_owned(), bytes);
    sim.log_and_serve(&["targets"]);
}

/// The file of `role` with the text of its signed part changed, signed as it then stands.
pub(super) fn resigned(sim: &Sim, role: &str, change: impl FnOnce(String) -> String) -> Vec<u8> {
    let text = change(String::from_utf8(canonical::olpc(&sim.signed[role])).unwrap());
    let signatures = sim.signers[role].iter().map(|name| {
        let signature = sim.keys[name].sign(text.as_bytes()).unwrap();
        Json::object([("keyid", Json::from(sim.key_id(name))), ("sig", Json::from(hex(&signature)))])
    });
    let signatures = canonical::olpc(&Json::Array(signatures.collect()));
    format!(r#"{{"signatures":{},"signed":{text}}}"#, String::from_utf8(signatures).unwrap()).into_bytes()
}

/// An envelope of these signatures.
pub(super) fn envelope(signed: &Json, signatures: Vec<Json>) -> Vec<u8> {
    canonical::rfc8785(&Json::object([("signatures", Json::Array(signatures)), ("signed", signed.clone())]))
}

/// The key table of a targets file's delegations.
pub(super) fn delegated_keys(targets: &mut Json) -> &mut BTreeMap<String, Json> {
    object(member(targets, "delegations").get_mut("keys").unwrap())
}

/// The roles of a targets file's delegations.
pub(super) fn delegations(targets: &mut Json) -> &mut Vec<Json> {
    match member(targets, "delegations").get_mut("roles") {
        Some(Json::Array(roles)) => roles,
        _ => panic!("targets delegates"),
    }
}

/// The delegation to node.
pub(super) fn delegation(targets: &mut Json) -> &mut Json {
    &mut delegations(targets)[0]
}

/// Sets a member of an object.
pub(super) fn set(value: &mut Json, key: &str, to: impl Into<Json>) {
    object(value).insert(key.to_owned(), to.into());
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
