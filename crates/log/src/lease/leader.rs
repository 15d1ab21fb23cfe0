//! The value of the cell that says who leads.
//!
//! ```text
//! countersign-leader 1
//! log <32 hex digits, drawn when the log was made>
//! epoch <number, from 1>
//! journal <epoch whose batches go on from the signed tree>
//! beat <number of changes so far>
//! owner <32 hex digits, drawn for the epoch>
//! state leads | released
//! url <where the leader takes submissions, or ->
//!
//! <signed checkpoint, a note>
//! ```
//!
//! Numbers are decimal without leading zeros. What does not read back as the very same bytes is refused.

use countersign_base::text::escape;

use crate::error::{LogError, random};

use super::SharedPlace;

/// Largest value, in bytes: the note is a checkpoint with the signatures of the log's keys.
const MAX_LEADER_BYTES: usize = 64 * 1024;
/// Longest URL, in bytes.
pub(super) const MAX_URL_BYTES: usize = 2048;
const MAGIC: &str = "countersign-leader 1";

/// Who leads, and what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leader {
    /// Tells this log from another one that was at the same place.
    pub(crate) log: u128,
    pub(crate) epoch: u64,
    pub(crate) journal: u64,
    pub(super) beat: u64,
    pub(super) owner: u128,
    pub(super) released: bool,
    pub(super) url: Option<String>,
    /// The signed checkpoint.
    pub(crate) note: Vec<u8>,
}

impl Leader {
    /// Of a log that is being made.
    pub(super) fn first(url: Option<String>, note: Vec<u8>) -> Result<Self, LogError> {
        let (log, owner) = (u128::from_be_bytes(random()?), u128::from_be_bytes(random()?));
        Ok(Self { log, epoch: 1, journal: 1, beat: 1, owner, released: false, url, note })
    }

    /// Who takes over from this one.
    pub(super) fn successor(&self, url: Option<String>) -> Result<Self, LogError> {
        let ended = || damaged("it counts no further");
        let epoch = self.epoch.checked_add(1).ok_or_else(ended)?;
        let beat = self.beat.checked_add(1).ok_or_else(ended)?;
        let next = self.clone();
        Ok(Self { epoch, beat, owner: u128::from_be_bytes(random()?), released: false, url, ..next })
    }

    /// Whether both are words of one leader in one epoch.
    pub(super) const fn is_led_as(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.owner == other.owner && self.log == other.log
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { log, epoch, journal, beat, owner, released, url, note } = self;
        let state = if *released { "released" } else { "leads" };
        let url = url.as_deref().unwrap_or("-");
        let mut bytes = format!(
            "{MAGIC}\nlog {log:032x}\nepoch {epoch}\njournal {journal}\nbeat {beat}\nowner {owner:032x}\n\
             state {state}\nurl {url}\n\n"
        )
        .into_bytes();
        bytes.extend_from_slice(note);
        bytes
    }

    /// Reads a value. The note is not looked at.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, LogError> {
        if bytes.len() > MAX_LEADER_BYTES {
            return Err(damaged("it is too long"));
        }
        let leader = Self::fields(bytes).ok_or_else(|| damaged("it does not read"))?;
        if leader.encode() != bytes || leader.journal > leader.epoch || leader.epoch == 0 {
            return Err(damaged("it does not read"));
        }
        if let Some(why) = leader.url.as_deref().and_then(refused_url) {
            return Err(damaged(why));
        }
        Ok(leader)
    }

    fn fields(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(2).position(|two| two == b"\n\n")?;
        let mut lines = core::str::from_utf8(&bytes[..end]).ok()?.split('\n');
        if lines.next()? != MAGIC {
            return None;
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        Some(Self {
            log: u128::from_str_radix(field("log")?, 16).ok()?,
            epoch: field("epoch")?.parse().ok()?,
            journal: field("journal")?.parse().ok()?,
            beat: field("beat")?.parse().ok()?,
            owner: u128::from_str_radix(field("owner")?, 16).ok()?,
            released: field("state")? == "released",
            url: Some(field("url")?).filter(|url| *url != "-").map(str::to_owned),
            note: bytes[end + 2..].to_vec(),
        })
    }
}

/// Why a URL cannot stand in the cell. Whether anybody is there is not our concern.
pub(super) fn refused_url(url: &str) -> Option<&'static str> {
    if url.is_empty() || url == "-" || url.len() > MAX_URL_BYTES {
        return Some("the leader's URL is empty or too long");
    }
    url.bytes().any(|byte| !byte.is_ascii_graphic()).then_some("the leader's URL has a byte that no URL has")
}

pub(super) fn damaged(why: &str) -> LogError {
    LogError::StorageCorrupt(format!("`{}`: {}", SharedPlace::LEADER, escape(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(url: Option<&str>) -> Leader {
        Leader {
            log: 7,
            epoch: 12,
            journal: 11,
            beat: 345,
            owner: u128::MAX,
            released: false,
            url: url.map(str::to_owned),
            note: b"log.example\n0\n\n\xe2\x80\x94 sig\n".to_vec(),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for url in [None, Some("https://log-2.example:8443/add")] {
            let mut written = leader(url);
            for released in [false, true] {
                written.released = released;
                assert_eq!(Leader::parse(&written.encode()).unwrap(), written);
            }
        }
        let next = leader(None).successor(Some("http://b".to_owned())).unwrap();
        assert_eq!((next.epoch, next.journal, next.beat, next.log), (13, 11, 346, 7));
        assert!(!next.is_led_as(&leader(None)));
    }

    #[test]
    fn what_differs_in_one_way_is_refused() {
        let good = String::from_utf8(leader(Some("https://a")).encode()).unwrap();
        assert!(Leader::parse(good.as_bytes()).is_ok());
        let long = format!("url https://{}", "a".repeat(MAX_URL_BYTES));
        for (from, to) in [
            ("leader 1", "leader 2"),
            ("epoch 12", "epoch 012"),
            ("epoch 12", "epoch 10"),
            ("epoch 12", "epoch +12"),
            ("journal 11", "journal 13"),
            ("beat 345", "beat 18446744073709551616"),
            ("log 0", "log "),
            ("ffff\n", "fffF\n"),
            ("state leads", "state Leads"),
            ("state leads", "state leads "),
            ("url https://a", "url https://a b"),
            ("url https://a", "url https://é"),
            ("url https://a", "url "),
            ("url https://a", &long),
            ("url https://a\n", ""),
            ("epoch 12\n", "epoch 12\nepoch 12\n"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(Leader::parse(bad.as_bytes()).is_err(), "{from} -> {to}");
        }
        let mut large = good.into_bytes();
        large.resize(MAX_LEADER_BYTES + 1, b'x');
        assert!(Leader::parse(&large).is_err());
        assert!(Leader::parse(b"").is_err());
    }
}
