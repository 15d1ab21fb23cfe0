//! A checkpoint against a policy: the log's signature and the quorum of witnesses.

use countersign_base::Timestamp;

use super::{Policy, PolicyError, PolicyName};
use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::note::NoteError;

/// How far in the future of this machine's clock a cosignature may be dated, in seconds.
pub const MAX_FUTURE_SECONDS: u64 = 300;

/// A checkpoint that a log and a quorum of witnesses of a policy vouch for.
///
/// Made by [`Policy::check_checkpoint`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    signed: SignedCheckpoint,
    cosigners: Vec<Cosigner>,
    proven_time: Timestamp,
}

/// A witness that counted toward the quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner {
    /// Name in the policy.
    pub name: PolicyName,
    /// Name of its key in the signature line.
    pub key_name: String,
    /// When it saw this tree as the log's newest; its latest such statement.
    pub time: Timestamp,
}

impl VerifiedCheckpoint {
    /// Origin, size and root.
    pub const fn checkpoint(&self) -> &Checkpoint {
        self.signed.checkpoint()
    }

    /// The signed note, with signatures of unknown keys too.
    pub const fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// Name of the log's key: its origin.
    pub fn log(&self) -> &str {
        self.checkpoint().origin()
    }

    /// Who counted, in the order of the policy. At least one.
    pub fn cosigners(&self) -> &[Cosigner] {
        &self.cosigners
    }

    /// The latest time at which witnesses that meet the quorum had all seen this tree: a machine whose clock is
    /// behind it (by more than [`MAX_FUTURE_SECONDS`]) is wrong.
    pub const fn proven_time(&self) -> Timestamp {
        self.proven_time
    }
}

/// What the cosignatures of one witness are worth.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    /// The latest time that counts.
    good: Option<Timestamp>,
    /// One dated in the future, or older than allowed.
    wrong_time: bool,
    /// One without a time.
    undated: bool,
}

impl Policy {
    /// Checks a signed checkpoint: a log of the policy signed it, and its witnesses meet the quorum.
    ///
    /// Signatures of unknown keys are ignored. A cosignature dated more than [`MAX_FUTURE_SECONDS`] after `now`,
    /// or not dated, does not count.
    ///
    /// # Errors
    /// In this order: `log-policy-invalid` if the policy asks for no log or witness; `log-proof-malformed` or
    /// `limit-exceeded`; `log-origin-mismatch`; `log-signature-invalid` for a broken signature of a known log key,
    /// `log-key-unknown` for none; `log-cosignature-invalid` for a broken one of a known witness; then
    /// `log-cosignature-time`, `log-cosignature-invalid` or `log-quorum-not-met`, whichever is why the quorum is
    /// not met.
    pub fn check_checkpoint(&self, note: &[u8], now: Timestamp) -> Result<VerifiedCheckpoint, PolicyError> {
        self.check_fresh_checkpoint(note, now, None)
    }

    /// As [`Policy::check_checkpoint`]; cosignatures more than `max_age` seconds before `now` do not count either.
    pub fn check_fresh_checkpoint(
        &self,
        note: &[u8],
        now: Timestamp,
        max_age: Option<u64>,
    ) -> Result<VerifiedCheckpoint, PolicyError> {
        self.require_witnesses()?;
        let signed = SignedCheckpoint::parse(note)?;
        signed.checkpoint().check_empty_root()?;
        self.check_log(&signed)?;
        let standings = self.standings(&signed, now, max_age)?;
        self.check_quorum(&standings, now)?;
        let cosigner = |(index, standing): (usize, &Standing)| {
            let witness = &self.witnesses[index];
            let (name, key_name) = (witness.name.clone(), witness.key.name().to_owned());
            standing.good.map(|time| Cosigner { name, key_name, time })
        };
        let cosigners = standings.iter().enumerate().filter_map(cosigner).collect();
        let proven_time = self.proven_time(&standings);
        Ok(VerifiedCheckpoint { signed, cosigners, proven_time })
    }

    /// A log whose name is the checkpoint's origin signed it, and no signature of a known log key is broken.
    fn check_log(&self, signed: &SignedCheckpoint) -> Result<(), PolicyError> {
        let origin = signed.checkpoint().origin();
        if !self.logs.iter().any(|log| log.key.name() == origin) {
            return Err(PolicyError::Origin { origin: origin.to_owned() });
        }
        let verified = signed
            .note()
            .verify_known(self.logs.iter().map(|log| &log.key))
            .map_err(CheckpointError::Note)?;
        if !verified.iter().any(|signature| signature.key.name() == origin) {
            return Err(PolicyError::LogKeyUnknown { origin: origin.to_owned() });
        }
        Ok(())
    }

    fn standings(
        &self,
        signed: &SignedCheckpoint,
        now: Timestamp,
        max_age: Option<u64>,
    ) -> Result<Vec<Standing>, PolicyError> {
        let mut standings = Vec::with_capacity(self.witnesses.len());
        for witness in &self.witnesses {
            let verified =
                signed.note().verify_known(core::iter::once(&witness.key)).map_err(|error| match error {
                    NoteError::Signature { .. } => PolicyError::Cosignature { name: witness.name.clone() },
                    other => CheckpointError::Note(other).into(),
                })?;
            let mut standing = Standing::default();
            for signature in verified {
                match judge(signature.timestamp.unwrap_or(0), now, max_age) {
                    Time::None => standing.undated = true,
                    Time::Wrong => standing.wrong_time = true,
                    Time::Good(time) => standing.good = standing.good.max(Some(time)),
                }
            }
            standings.push(standing);
        }
        Ok(standings)
    }

    fn check_quorum(&self, standings: &[Standing], now: Timestamp) -> Result<(), PolicyError> {
        let good = |index: usize| standings[index].good.is_some();
        if self.is_met(good) {
            return Ok(());
        }
        let select = |wanted: &dyn Fn(&Standing) -> bool| -> Vec<PolicyName> {
            let all = self.quorum_witnesses().into_iter();
            all.filter(|index| wanted(&standings[*index])).map(|i| self.witnesses[i].name.clone()).collect()
        };
        if self.is_met(|index| good(index) || standings[index].wrong_time) {
            let names = select(&|standing| standing.good.is_none() && standing.wrong_time);
            return Err(PolicyError::CosignatureTime { names, now });
        }
        if self.is_met(|index| good(index) || standings[index].wrong_time || standings[index].undated) {
            let names = select(&|standing| standing.good.is_none() && standing.undated);
            return Err(PolicyError::CosignatureUndated { names });
        }
        Err(PolicyError::Quorum {
            rule: self.describe(),
            have: select(&|standing| standing.good.is_some()),
            missing: select(&|standing| standing.good.is_none()),
        })
    }

    /// The latest time such that the cosignatures from then on meet the quorum.
    fn proven_time(&self, standings: &[Standing]) -> Timestamp {
        let mut times: Vec<Timestamp> = standings.iter().filter_map(|standing| standing.good).collect();
        times.sort_unstable();
        let proven = |time: &Timestamp| self.is_met(|index| standings[index].good >= Some(*time));
        times.into_iter().rev().find(proven).unwrap_or(Timestamp::EPOCH)
    }
}

enum Time {
    None,
    Wrong,
    Good(Timestamp),
}

fn judge(seconds: u64, now: Timestamp, max_age: Option<u64>) -> Time {
    if seconds == 0 {
        return Time::None;
    }
    match Timestamp::from_unix(seconds) {
        Some(time) if time.seconds_since(now) > MAX_FUTURE_SECONDS => Time::Wrong,
        Some(time) if max_age.is_some_and(|max_age| now.seconds_since(time) > max_age) => Time::Wrong,
        Some(time) => Time::Good(time),
        None => Time::Wrong,
    }
}
