//! The file format of policies and its rules.

use std::collections::BTreeMap;

use super::rule::{Group, Member};
use super::{
    MAX_GROUPS, MAX_LOGS, MAX_POLICY_BYTES, MAX_WITNESSES, Policy, PolicyError, PolicyLog, PolicyName,
    PolicyProblem, PolicyWitness,
};
use crate::note::VerifierKey;
use crate::text::{decimal, excerpt};

const LOG_FORM: &str = "log <vkey> [<url>]";
const WITNESS_FORM: &str = "witness <name> <vkey> [<url>]";
const GROUP_FORM: &str = "group <name> <k>|all|any <name>...";
const QUORUM_FORM: &str = "quorum <name>";

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// `log-policy-invalid`, with the line. An empty text has no quorum line and is an error too.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let invalid = |line, problem| PolicyError::Invalid { line, problem };
        if bytes.len() > MAX_POLICY_BYTES {
            return Err(invalid(None, PolicyProblem::TooLarge));
        }
        if let Some(at) = bytes.iter().position(|octet| !is_allowed(*octet)) {
            let line = bytes[..at].iter().filter(|octet| **octet == b'\n').count() + 1;
            return Err(invalid(Some(line), PolicyProblem::Octet { octet: bytes[at] }));
        }
        if bytes.last().is_some_and(|last| *last != b'\n') {
            return Err(invalid(None, PolicyProblem::Unterminated));
        }
        let mut builder = Builder::default();
        for (index, line) in bytes.split(|octet| *octet == b'\n').enumerate() {
            builder.line(line).map_err(|problem| invalid(Some(index + 1), problem))?;
        }
        builder.finish()
    }
}

/// A policy as far as it has been read; each method holds the rules of one kind of line.
#[derive(Default)]
pub(super) struct Builder {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// Every name that is defined, and whether it is a member of a group.
    names: BTreeMap<PolicyName, (Member, bool)>,
    /// The outer option says whether there was a quorum line.
    quorum: Option<Option<Member>>,
}

impl Builder {
    fn line(&mut self, line: &[u8]) -> Result<(), PolicyProblem> {
        let fields: Vec<&[u8]> =
            line.split(|octet| matches!(octet, b' ' | b'\t')).filter(|field| !field.is_empty()).collect();
        let Some((keyword, fields)) = fields.split_first() else { return Ok(()) };
        if keyword.starts_with(b"#") {
            return Ok(());
        }
        match *keyword {
            b"log" => match fields {
                [key] => self.log(PolicyLog { key: vkey(key)?, url: None }),
                [key, url] => self.log(PolicyLog { key: vkey(key)?, url: Some(name(url)?) }),
                _ => Err(PolicyProblem::Form { form: LOG_FORM }),
            },
            b"witness" => match fields {
                [own, key] => self.witness(PolicyWitness { name: name(own)?, key: vkey(key)?, url: None }),
                [own, key, url] => {
                    self.witness(PolicyWitness { name: name(own)?, key: vkey(key)?, url: Some(name(url)?) })
                }
                _ => Err(PolicyProblem::Form { form: WITNESS_FORM }),
            },
            b"group" => match fields {
                [own, threshold, members @ ..] if !members.is_empty() => {
                    let members = members.iter().map(|member| name(member)).collect::<Result<Vec<_>, _>>()?;
                    self.group(name(own)?, read_threshold(threshold, members.len())?, &members)
                }
                _ => Err(PolicyProblem::Form { form: GROUP_FORM }),
            },
            b"quorum" => match fields {
                [own] => self.quorum(&name(own)?),
                _ => Err(PolicyProblem::Form { form: QUORUM_FORM }),
            },
            _ => Err(PolicyProblem::Keyword { keyword: name(keyword)? }),
        }
    }

    pub(super) fn log(&mut self, log: PolicyLog) -> Result<(), PolicyProblem> {
        let name = || excerpt(log.key.name());
        if self.logs.len() == MAX_LOGS {
            return Err(PolicyProblem::TooMany);
        }
        if !log.key.kind().is_for_logs() {
            return Err(PolicyProblem::LogKeyType { name: name() });
        }
        if self.logs.iter().any(|other| other.key.public_key() == log.key.public_key()) {
            return Err(PolicyProblem::DuplicateLog { name: name() });
        }
        self.check_key_id(&log.key)?;
        self.logs.push(log);
        Ok(())
    }

    pub(super) fn witness(&mut self, witness: PolicyWitness) -> Result<(), PolicyProblem> {
        let name = || witness.name.clone();
        if self.witnesses.len() == MAX_WITNESSES {
            return Err(PolicyProblem::TooMany);
        }
        if !witness.key.kind().is_for_witnesses() {
            return Err(PolicyProblem::WitnessKeyType { name: name() });
        }
        if self.witnesses.iter().any(|other| other.key.public_key() == witness.key.public_key()) {
            return Err(PolicyProblem::DuplicateWitness { name: name() });
        }
        self.check_key_id(&witness.key)?;
        self.define(name(), Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(witness);
        Ok(())
    }

    pub(super) fn group(
        &mut self,
        name: PolicyName,
        threshold: usize,
        members: &[PolicyName],
    ) -> Result<(), PolicyProblem> {
        if self.groups.len() == MAX_GROUPS {
            return Err(PolicyProblem::TooMany);
        }
        if threshold == 0 || threshold > members.len() {
            return Err(PolicyProblem::Threshold { members: members.len() });
        }
        let members = members.iter().map(|member| self.take_member(member)).collect::<Result<_, _>>()?;
        self.define(name.clone(), Member::Group(self.groups.len()))?;
        self.groups.push(Group { name, threshold, members });
        Ok(())
    }

    pub(super) fn quorum(&mut self, name: &PolicyName) -> Result<(), PolicyProblem> {
        if self.quorum.is_some() {
            return Err(PolicyProblem::QuorumTwice);
        }
        let member = match self.names.get(name) {
            Some((member, _)) => Some(*member),
            None if name.as_bytes() == b"none" => None,
            None => return Err(PolicyProblem::Undefined { name: name.clone() }),
        };
        self.quorum = Some(member);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Policy, PolicyError> {
        let missing = PolicyError::Invalid { line: None, problem: PolicyProblem::QuorumMissing };
        let quorum = self.quorum.ok_or(missing)?;
        Ok(Policy { logs: self.logs, witnesses: self.witnesses, groups: self.groups, quorum })
    }

    fn define(&mut self, name: PolicyName, member: Member) -> Result<(), PolicyProblem> {
        if name.as_bytes() == b"none" {
            return Err(PolicyProblem::NoneReserved);
        }
        if self.names.contains_key(&name) {
            return Err(PolicyProblem::DuplicateName { name });
        }
        self.names.insert(name, (member, false));
        Ok(())
    }

    /// Each name can be a member once, so that each witness counts in only one way.
    fn take_member(&mut self, name: &PolicyName) -> Result<Member, PolicyProblem> {
        if name.as_bytes() == b"none" {
            return Err(PolicyProblem::NoneReserved);
        }
        let Some((member, taken)) = self.names.get_mut(name) else {
            return Err(PolicyProblem::Undefined { name: name.clone() });
        };
        if core::mem::replace(taken, true) {
            return Err(PolicyProblem::AlreadyMember { name: name.clone() });
        }
        Ok(*member)
    }

    /// Signature lines name a key by name and id, so no two may share both.
    fn check_key_id(&self, key: &VerifierKey) -> Result<(), PolicyProblem> {
        let mut keys = self.logs.iter().map(|log| &log.key).chain(self.witnesses.iter().map(|w| &w.key));
        if keys.any(|other| other.id() == key.id() && other.name() == key.name()) {
            return Err(PolicyProblem::DuplicateKeyId { name: excerpt(key.name()) });
        }
        Ok(())
    }
}

/// The octets of the specification's section "Character set".
const fn is_allowed(octet: u8) -> bool {
    matches!(octet, b'\t' | b'\n' | 0x20..=0x7e | 0x80..=0xff)
}

fn name(field: &[u8]) -> Result<PolicyName, PolicyProblem> {
    PolicyName::new(field).ok_or(PolicyProblem::NameInvalid)
}

fn vkey(field: &[u8]) -> Result<VerifierKey, PolicyProblem> {
    let text = core::str::from_utf8(field).map_err(|_| PolicyProblem::KeyText)?;
    Ok(text.parse()?)
}

fn read_threshold(field: &[u8], members: usize) -> Result<usize, PolicyProblem> {
    match field {
        b"all" => Ok(members),
        b"any" => Ok(1),
        _ => core::str::from_utf8(field)
            .ok()
            .and_then(decimal)
            .and_then(|number| usize::try_from(number).ok())
            .ok_or(PolicyProblem::Threshold { members }),
    }
}
