//! Which entries are in the log already: from a leaf hash to the first index that has it.
//!
//! Entries are looked at in generations of 65,536, the leaves below one tile of level 1. The latest
//! generations are maps in memory. A generation that is complete, and in tiles, becomes a *run*: a sorted
//! file ([`run`]) that is never changed. Sixteen runs side by side are merged into one of the next level, as
//! tiles are. A filter of fixed size in memory ([`filter`]) says of almost every new entry that no run has
//! it. So memory does not grow with the log, and a log of fewer than 65,536 entries has no file of this kind
//! at all.
//!
//! Runs are derived from the tiles and trusted for nothing but where to look: a candidate counts only if the
//! tile has the very leaf hash there. One that is missing is made again at opening. One that lies can only
//! hide a duplicate, which then gets an index of its own.

mod filter;
mod run;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use countersign_store::{Dir, StoreError};
use countersign_tlog::merkle::Hash;

use crate::tree::SPAN;
use filter::Filter;
use run::Run;

/// The index, as whoever gives indices uses it.
#[derive(Debug)]
pub(crate) struct Dedup {
    /// The latest generations, in order; the last one takes new entries.
    recent: VecDeque<Arc<Generation>>,
    runs: Arc<Runs>,
}

/// Entries `number * SPAN ..` of the log, as far as there are.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    number: u64,
    /// Where each leaf hash is first, counted from the generation's beginning.
    places: HashMap<Hash, u32>,
}

impl Generation {
    fn new(number: u64) -> Self {
        Self { number, places: HashMap::new() }
    }

    /// Index after its last entry, when it is complete.
    pub(crate) const fn end(&self) -> u64 {
        (self.number + 1) * SPAN
    }
}

impl Dedup {
    /// The first index of a leaf hash. `holds` says whether a leaf that is in tiles has it.
    pub(crate) fn find<E: From<StoreError>>(
        &self,
        leaf: &Hash,
        holds: impl Fn(u64) -> Result<bool, E>,
    ) -> Result<Option<u64>, E> {
        if let Some(index) = self.runs.find(leaf, holds)? {
            return Ok(Some(index));
        }
        let place = |generation: &Arc<Generation>| {
            let place = generation.places.get(leaf)?;
            Some(generation.number * SPAN + u64::from(*place))
        };
        Ok(self.recent.iter().find_map(place))
    }

    /// Takes the next entry of the log. Returns a generation that is complete by it: give it to [`Runs::add`]
    /// once all of it is in tiles.
    pub(crate) fn insert(&mut self, leaf: Hash, index: u64) -> Option<Arc<Generation>> {
        let number = index / SPAN;
        if self.recent.back().is_none_or(|last| last.number != number) {
            self.recent.push_back(Arc::new(Generation::new(number)));
        }
        let last = self.recent.back_mut()?;
        Arc::make_mut(last).places.entry(leaf).or_insert((index % SPAN) as u32);
        (index % SPAN == SPAN - 1).then(|| Arc::clone(last))
    }

    /// Forgets the generations that are runs by now.
    pub(crate) fn forget(&mut self) {
        let end = self.runs.end();
        while self.recent.front().is_some_and(|first| first.end() <= end) {
            self.recent.pop_front();
        }
    }

    /// The runs, to be added to from another thread.
    pub(crate) fn runs(&self) -> &Arc<Runs> {
        &self.runs
    }
}

/// Makes the index of a log that is being opened, from what its tiles say.
#[derive(Debug)]
pub(crate) struct Opening {
    runs: Runs,
    last: Mutex<Generation>,
}

impl Opening {
    /// Of a log of `size` entries, with its runs in the private folder.
    pub(crate) fn new(private: &Dir, size: u64) -> Result<Self, StoreError> {
        let last = Mutex::new(Generation::new(size / SPAN));
        Ok(Self { runs: Runs::open(private, size)?, last })
    }

    /// Takes the leaf hashes from `first` on: a whole generation, or the last ones. In any order, from any
    /// thread.
    pub(crate) fn see(&self, first: u64, leaves: &[Hash]) -> Result<(), StoreError> {
        let number = first / SPAN;
        if leaves.len() as u64 == SPAN {
            return self.runs.see(number, leaves);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, leaf) in (0..).zip(leaves) {
            last.places.entry(*leaf).or_insert(place);
        }
        Ok(())
    }

    /// The index, once all leaves were seen.
    pub(crate) fn finish(self) -> Result<Dedup, StoreError> {
        self.runs.merge_all()?;
        let last = self.last.into_inner().unwrap_or_else(PoisonError::into_inner);
        let recent = if last.places.is_empty() { VecDeque::new() } else { VecDeque::from([Arc::new(last)]) };
        Ok(Dedup { recent, runs: Arc::new(self.runs) })
    }
}

/// The runs of a log, in its private folder.
#[derive(Debug)]
pub(crate) struct Runs {
    private: Dir,
    /// In the order of the log. They reach from the first entry on without a gap, once the log is open.
    list: RwLock<Vec<Arc<Run>>>,
    /// Has every leaf hash of every run. Made for the first run.
    filter: OnceLock<Filter>,
}

impl Runs {
    fn open(private: &Dir, size: u64) -> Result<Self, StoreError> {
        let list = run::list(private, size)?;
        Ok(Self { private: private.clone(), list: RwLock::new(list), filter: OnceLock::new() })
    }

    /// Index after the last entry of the last run.
    pub(crate) fn end(&self) -> u64 {
        self.read().last().map_or(0, |last| last.end())
    }

    fn read(&self) -> Vec<Arc<Run>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn find<E: From<StoreError>>(
        &self,
        leaf: &Hash,
        holds: impl Fn(u64) -> Result<bool, E>,
    ) -> Result<Option<u64>, E> {
        if !self.filter.get().is_some_and(|filter| filter.may_have(leaf)) {
            return Ok(None);
        }
        for run in self.read() {
            for index in run.candidates(leaf)? {
                if holds(index)? {
                    return Ok(Some(index));
                }
            }
        }
        Ok(None)
    }

    /// Makes a complete generation, all of which is in tiles, a run.
    pub(crate) fn add(&self, generation: &Generation) -> Result<(), StoreError> {
        let places = generation.places.iter().map(|(leaf, place)| (*leaf, *place)).collect();
        self.add_run(generation.number, places)?;
        self.merge_all()
    }

    /// Takes a whole generation of a log that is being opened.
    fn see(&self, number: u64, leaves: &[Hash]) -> Result<(), StoreError> {
        let first = number * SPAN;
        if self.read().iter().any(|run| (run.first()..run.end()).contains(&first)) {
            leaves.iter().for_each(|leaf| self.filter().add(leaf));
            return Ok(());
        }
        self.add_run(number, leaves.iter().copied().zip(0..).collect())
    }

    fn filter(&self) -> &Filter {
        self.filter.get_or_init(Filter::new)
    }

    fn add_run(&self, number: u64, places: Vec<(Hash, u32)>) -> Result<(), StoreError> {
        // Whoever sees the run's generation forgotten must find it by filter and list.
        places.iter().for_each(|(leaf, _)| self.filter().add(leaf));
        let run = Run::make(&self.private, number, places)?;
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.push(Arc::new(run));
        list.sort_by_key(|run| run.first());
        Ok(())
    }

    /// Merges runs as long as there are enough of one level side by side.
    fn merge_all(&self) -> Result<(), StoreError> {
        while let Some(parts) = run::mergeable(&self.read()) {
            let merged = Arc::new(Run::merge(&self.private, &parts)?);
            let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
            list.retain(|run| run.end() <= merged.first() || run.first() >= merged.end());
            list.push(merged);
            list.sort_by_key(|run| run.first());
            drop(list);
            for part in parts {
                part.remove(&self.private)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use countersign_tlog::merkle::leaf_hash;

    use super::*;

    /// A few leaves of each generation, at its beginning and end.
    const PLACES: [u32; 4] = [0, 1, 1000, 65_535];

    fn leaf(number: u64, place: u32) -> Hash {
        leaf_hash(&[number.to_be_bytes().as_slice(), &place.to_be_bytes()].concat())
    }

    fn generation(number: u64) -> Generation {
        Generation { number, places: PLACES.iter().map(|place| (leaf(number, *place), *place)).collect() }
    }

    fn find(runs: &Runs, wanted: &Hash) -> Option<u64> {
        let holds = |index: u64| Ok::<_, StoreError>(leaf(index / SPAN, (index % SPAN) as u32) == *wanted);
        runs.find(wanted, holds).unwrap()
    }

    fn check(runs: &Runs, generations: u64) {
        assert_eq!(runs.end(), generations * SPAN);
        for number in 0..generations {
            for place in PLACES {
                assert_eq!(find(runs, &leaf(number, place)), Some(number * SPAN + u64::from(place)));
            }
            assert_eq!(find(runs, &leaf(number, 2)), None);
        }
    }

    fn names(private: &Dir) -> Vec<String> {
        use countersign_store::Objects as _;
        private.list("index").unwrap()
    }

    #[test]
    fn runs_are_merged_by_sixteen_and_found_in_whatever_level() {
        let temp = tempfile::tempdir().unwrap();
        let private = Dir::open(temp.path()).unwrap();
        let runs = Runs::open(&private, 0).unwrap();
        for number in 0..35 {
            runs.add(&generation(number)).unwrap();
            check(&runs, number + 1);
        }
        let whole = ["index/0/32", "index/0/33", "index/0/34", "index/1/0", "index/1/1"];
        assert_eq!(names(&private), whole);
        // A crash before a replaced run was removed, and one of another history.
        let part = private.path("index/0/31").unwrap();
        std::fs::copy(private.path("index/0/32").unwrap(), part).unwrap();
        std::fs::copy(private.path("index/0/32").unwrap(), private.path("index/0/90").unwrap()).unwrap();
        std::fs::write(private.path("index/0/x").unwrap(), b"not ours").unwrap();
        let opened = Runs::open(&private, 35 * SPAN + 5).unwrap();
        for number in 0..35 {
            PLACES.iter().for_each(|place| opened.filter().add(&leaf(number, *place)));
        }
        check(&opened, 35);
        assert_eq!(names(&private), [&whole[..3], &["index/0/x"], &whole[3..]].concat());
    }

    #[test]
    fn of_equal_leaves_the_first_index_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let private = Dir::open(temp.path()).unwrap();
        let runs = Runs::open(&private, 0).unwrap();
        let twice = leaf(7, 7);
        for number in 0..20 {
            let places = HashMap::from([(twice, 5), (leaf(number, 9), 9)]);
            runs.add(&Generation { number, places }).unwrap();
        }
        let holds = |index: u64| Ok::<_, StoreError>(index % SPAN == 5 && index / SPAN >= 3);
        assert_eq!(runs.find(&twice, holds).unwrap(), Some(3 * SPAN + 5));
    }
}
