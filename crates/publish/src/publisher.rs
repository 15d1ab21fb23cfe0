//! The publisher: one repository, one keys directory, one instant.

use std::path::Path;
use std::sync::Arc;

use countersign_base::Timestamp;
use countersign_keys::Asker;
use countersign_store::{Disk, RealDisk};
use countersign_tuf::Role as _;
use countersign_tuf::metadata::{ROOT, TARGETS};

use crate::act::{self, Act, Change, Publication, Site};
use crate::current::Current;
use crate::error::PublishError;
use crate::expiry::{Expiries, is_near};
use crate::keyring::Keyring;
use crate::layout::Layout;
use crate::online::Online;
use crate::witnesses::Connect;

/// Changes a repository directory.
///
/// Each method is one act: it takes the lock, does all of it or nothing that a client sees, and lets go. After an
/// error the same call can be made again.
pub struct Publisher<'a> {
    pub(crate) site: Site,
    pub(crate) ask: &'a mut (dyn Asker + 'a),
    pub(crate) connect: &'a mut Connect<'a>,
}

impl<'a> Publisher<'a> {
    /// A publisher of the repository at `repository`, with the keys in `keys`, at the time `now`.
    ///
    /// `ask` is called for the passphrase of each sealed key that is used, once a key and act; `connect` for each
    /// witness of the policy that has a URL.
    pub fn new(
        repository: &Path,
        keys: &Path,
        now: Timestamp,
        ask: &'a mut (dyn Asker + 'a),
        connect: &'a mut Connect<'a>,
    ) -> Self {
        let site = Site {
            layout: Layout::new(repository),
            keys: keys.to_owned(),
            disk: Arc::new(RealDisk),
            expiries: Expiries::default(),
            now,
            clock_was_ahead: false,
        };
        Self { site, ask, connect }
    }

    /// Writes the repository, the log and the local witness's state through `disk`; keys go to the real one.
    #[must_use]
    pub fn on_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.site.disk = disk;
        self
    }

    /// Says that this machine's clock is right now and was ahead when something was published: [`Publisher::renew`] then
    /// makes anew the proofs from the future, and the timestamp may expire before the one in force. The times of
    /// witnesses elsewhere are still held against the clock.
    pub const fn clock_was_ahead(&mut self) {
        self.site.clock_was_ahead = true;
    }

    /// Signs the timestamp again, for as long again; and the snapshot when less than a third of its time is left. Before
    /// that it mends what can be mended without people: a change of root that was interrupted is completed, and proofs
    /// that clients refuse are made anew; those from the future only after [`Publisher::clock_was_ahead`].
    ///
    /// To be run by a timer, every day or so: clients refuse a repository whose timestamp has expired. What takes people
    /// is told by [`Publisher::due`].
    ///
    /// # Errors
    /// `publish-repo-missing`, `publish-repo-damaged`, `publish-locked`, codes of keys, log and witnesses;
    /// `tuf-expired` for root or targets, whose renewal takes people; `log-cosignature-time` and `clock-behind-evidence`
    /// if this machine's clock is behind what was published.
    pub fn renew(&mut self) -> Result<Publication, PublishError> {
        let site = &self.site;
        let lock = act::lock(&site.layout)?;
        let current = Current::read_to_mend(site)?;
        let mut keyring = Keyring::open(&site.keys, &mut *self.ask, site.now)?.because("renewal");
        let online = Online::of(site, &current);
        let mut act = Act::on(site, lock, &current, &mut keyring)?;
        let unfinished = act.unfinished(&current)?;
        if unfinished.is_none() {
            // An interrupted change may be the one that renews them.
            current.check_fresh(&[ROOT, TARGETS], site.now)?;
            online.check_keys(&keyring)?;
        }
        act.mend(&current);
        let expires = current.snapshot()?.expires();
        let renew_snapshot = is_near(expires, site.expiries.snapshot_days, site.now);
        let documents = unfinished.unwrap_or_default();
        let change = Change { documents, renew_snapshot, ..Change::default() };
        act.publish(change, &online, &mut keyring, &mut *self.connect)
    }
}
