//! How often something may be asked for: an allowance for each log, or each address, that grows with time.
//!
//! Seconds are fine enough, so the time that a cosignature bears will do.

use std::collections::HashMap;
use std::hash::Hash;

use countersign_base::Timestamp;

const SECONDS_PER_DAY: u64 = 86_400;

/// An allowance that grows with time up to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_day: u64,
    burst: u64,
}

impl Rate {
    /// So many a second, and ten seconds' worth at once.
    pub const fn per_second(count: u32) -> Self {
        Self { per_day: count as u64 * SECONDS_PER_DAY, burst: (count as u64).saturating_mul(10) }
    }

    /// So many a day, and an hour's worth at once, or 60 if that is more.
    pub const fn per_day(count: u32) -> Self {
        let hour = count as u64 / 24;
        Self { per_day: count as u64, burst: if hour < 60 { 60 } else { hour } }
    }
}

/// What is left of an allowance.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// In parts of which [`SECONDS_PER_DAY`] are one.
    parts: u64,
    at: u64,
}

impl Bucket {
    /// Adds what has grown until the second `now`. A clock that goes back gives nothing.
    fn grow(&mut self, rate: Rate, now: u64) {
        let grown = now.saturating_sub(self.at).saturating_mul(rate.per_day);
        self.parts = self.parts.saturating_add(grown).min(rate.burst.saturating_mul(SECONDS_PER_DAY));
        self.at = now;
    }

    fn is_full(mut self, rate: Rate, now: u64) -> bool {
        self.grow(rate, now);
        self.parts == rate.burst.saturating_mul(SECONDS_PER_DAY)
    }

    /// Takes one at the second `now`, or says in how many seconds there is one.
    fn take(&mut self, rate: Rate, now: u64) -> Result<(), u64> {
        self.grow(rate, now);
        match self.parts.checked_sub(SECONDS_PER_DAY) {
            Some(left) => {
                self.parts = left;
                Ok(())
            }
            None => Err((SECONDS_PER_DAY - self.parts).div_ceil(rate.per_day.max(1))),
        }
    }
}

/// The allowances of all who ask.
#[derive(Debug)]
pub struct Rates<K> {
    buckets: HashMap<K, Bucket>,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self { buckets: HashMap::new() }
    }
}

impl<K: Hash + Eq> Rates<K> {
    /// Takes one of the allowance of `who`, or says in how many seconds to ask again.
    ///
    /// # Errors
    /// The number of seconds, at least 1.
    pub fn take(&mut self, who: K, rate: Rate, now: Timestamp) -> Result<(), u64> {
        let now = now.as_unix();
        let full = Bucket { parts: rate.burst.saturating_mul(SECONDS_PER_DAY), at: now };
        self.buckets.entry(who).or_insert(full).take(rate, now)
    }

    /// Forgets those of whom `wanted` says no.
    pub fn keep_only(&mut self, wanted: impl Fn(&K) -> bool) {
        self.buckets.retain(|who, _| wanted(who));
    }

    /// Forgets those who could take all that there can be: they lose nothing by it.
    pub fn forget_idle(&mut self, rate: Rate, now: Timestamp) {
        self.buckets.retain(|_, bucket| !bucket.is_full(rate, now.as_unix()));
    }

    /// Whether this one is known.
    pub fn knows(&self, who: &K) -> bool {
        self.buckets.contains_key(who)
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_unix(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn an_allowance_is_spent_and_grows_again() {
        let mut rates = Rates::default();
        let mut take = |second| rates.take("log", Rate::per_second(2), at(second));
        assert!((0..20).all(|_| take(0).is_ok()), "ten seconds' worth at once");
        assert_eq!(take(0), Err(1));
        assert_eq!((take(1), take(1), take(1)), (Ok(()), Ok(()), Err(1)), "two a second");
        assert!((0..20).all(|_| take(1_000).is_ok()));
        assert_eq!(take(1_000), Err(1), "what is not used is not kept for ever");
        assert_eq!(take(0), Err(1), "a clock that goes back gives nothing");
    }

    #[test]
    fn everyone_has_an_allowance_of_their_own() {
        let (mut rates, rate) = (Rates::default(), Rate::per_day(24));
        assert!((0..60).all(|_| rates.take("one", rate, at(0)).is_ok()));
        assert_eq!(rates.take("one", rate, at(0)), Err(3600));
        assert_eq!(rates.take("two", rate, at(0)), Ok(()));
        rates.forget_idle(rate, at(3_600));
        assert_eq!(rates.len(), 1, "who has taken one an hour ago has lost nothing");
        rates.keep_only(|who| *who == "two");
        assert_eq!(rates.take("one", rate, at(0)), Ok(()));
    }
}
