//! Places for connections: so many in all, so many for one address. Whoever has been idle longest gives way.
//!
//! A connection is idle between its requests, and before its first one. So a crowd of connections that are kept open,
//! from one address or from many, shuts nobody out; only work does, and work has deadlines (`patience`).

use std::collections::HashMap;
use std::future::Future as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Who is counted as one: an IPv4 address, or the 64 bits of an IPv6 address that a site is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        let v6 = |address: Ipv6Addr| {
            let [a, b, c, d, ..] = address.segments();
            Self::V6([a, b, c, d])
        };
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => address.to_ipv4_mapped().map_or_else(|| v6(address), Self::V4),
        }
    }
}

/// A connection as a request knows it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: Address,
    pub(crate) activity: Arc<Activity>,
}

/// What goes on on a connection.
#[derive(Debug)]
pub(crate) struct Activity {
    /// Bytes of a request have come in, and none of its answer has gone out.
    pub(crate) arriving: AtomicBool,
    /// An answer waits for its reader.
    pub(crate) blocked: AtomicBool,
    /// Requests whose bodies are not whole yet.
    receiving: AtomicUsize,
    /// Requests that are worked on, or whose answers are under way.
    answering: AtomicUsize,
    /// Microseconds from `begin` to the last byte or the last answer's end.
    active: AtomicU64,
    begin: Instant,
    /// Told when the connection has become idle.
    changed: Arc<Notify>,
}

impl Activity {
    fn new(begin: Instant, changed: Arc<Notify>) -> Self {
        let activity = Self {
            arriving: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            receiving: AtomicUsize::new(0),
            answering: AtomicUsize::new(0),
            active: AtomicU64::new(0),
            begin,
            changed,
        };
        activity.touch();
        activity
    }

    /// Something has just happened.
    pub(crate) fn touch(&self) {
        let micros = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.active.store(micros, SeqCst);
    }

    /// Whether the server works on a request that it has whole, so that nothing is expected of the peer.
    pub(crate) fn is_working(&self) -> bool {
        self.answering.load(SeqCst) > 0 && self.receiving.load(SeqCst) == 0
    }

    /// When it became idle, if it is.
    fn idle_since(&self) -> Option<u64> {
        let busy = self.arriving.load(SeqCst)
            || self.blocked.load(SeqCst)
            || self.receiving.load(SeqCst) > 0
            || self.answering.load(SeqCst) > 0;
        (!busy).then(|| self.active.load(SeqCst))
    }

    /// A request's body is being received as long as the value lives.
    pub(crate) fn receive(self: &Arc<Self>) -> Count {
        Count::new(self, |activity| &activity.receiving)
    }

    /// A request is worked on and answered as long as the value lives.
    pub(crate) fn answer(self: &Arc<Self>) -> Count {
        Count::new(self, |activity| &activity.answering)
    }
}

/// Counts one as long as it lives.
#[derive(Debug)]
pub(crate) struct Count {
    activity: Arc<Activity>,
    of: fn(&Activity) -> &AtomicUsize,
}

impl Count {
    fn new(activity: &Arc<Activity>, of: fn(&Activity) -> &AtomicUsize) -> Self {
        of(activity).fetch_add(1, SeqCst);
        Self { activity: Arc::clone(activity), of }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        (self.of)(&self.activity).fetch_sub(1, SeqCst);
        self.activity.touch();
        self.activity.changed.notify_one();
    }
}

/// All places.
#[derive(Debug)]
pub(crate) struct Places {
    /// How many there are, and how many of them one address can have.
    most: usize,
    each: usize,
    begin: Instant,
    seats: Mutex<Seats>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: HashMap<u64, Seat>,
    by_address: HashMap<Address, usize>,
    /// Idle connections that were closed for others, and connections that found no place.
    closed: u64,
    refused: u64,
}

#[derive(Debug)]
struct Seat {
    peer: Peer,
    close: oneshot::Sender<()>,
}

/// How many places are taken, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occupancy {
    pub(crate) open: usize,
    pub(crate) closed: u64,
    pub(crate) refused: u64,
}

impl Places {
    pub(crate) fn new(most: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { most, each, begin: Instant::now(), seats: Mutex::default(), changed: Arc::default() })
    }

    /// Waits until a connection can be taken in, if need be instead of an idle one.
    pub(crate) async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let seats = self.lock();
                if seats.taken.len() < self.most || seats.idlest(|_| true).is_some() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// A place for a connection from there; `None` if all places of that address, or all there are, are at work.
    pub(crate) fn take(self: &Arc<Self>, address: Address) -> Option<Place> {
        let mut seats = self.lock();
        let of_address = seats.by_address.get(&address).copied().unwrap_or(0);
        let gives_way = if of_address >= self.each {
            Some(seats.idlest(|other| other == address))
        } else if seats.taken.len() >= self.most {
            Some(seats.idlest(|_| true))
        } else {
            None
        };
        match gives_way {
            Some(None) => {
                seats.refused += 1;
                return None;
            }
            Some(Some(number)) => {
                seats.closed += 1;
                if let Some(seat) = seats.free(number) {
                    // No receiver: it has just gone by itself.
                    let _ = seat.close.send(());
                }
            }
            None => {}
        }
        let (close, closed) = oneshot::channel();
        let activity = Arc::new(Activity::new(self.begin, Arc::clone(&self.changed)));
        let peer = Peer { address, activity };
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Seat { peer: peer.clone(), close });
        *seats.by_address.entry(address).or_default() += 1;
        Some(Place { places: Arc::clone(self), number, peer, closed: Some(closed) })
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        let seats = self.lock();
        Occupancy { open: seats.taken.len(), closed: seats.closed, refused: seats.refused }
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    /// The connection that has been idle longest, of those from an address that counts.
    fn idlest(&self, counts: impl Fn(Address) -> bool) -> Option<u64> {
        let idle = self.taken.iter().filter_map(|(number, seat)| {
            let since = counts(seat.peer.address).then(|| seat.peer.activity.idle_since())??;
            Some((since, *number))
        });
        idle.min().map(|(_, number)| number)
    }

    fn free(&mut self, number: u64) -> Option<Seat> {
        let seat = self.taken.remove(&number)?;
        if let Some(count) = self.by_address.get_mut(&seat.peer.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&seat.peer.address);
            }
        }
        Some(seat)
    }
}

/// A connection's place. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    pub(crate) peer: Peer,
    /// `None` when it was heard.
    closed: Option<oneshot::Receiver<()>>,
}

impl Place {
    /// Whether the connection has to give way. If not, the task is woken when it has to.
    pub(crate) fn poll_closed(&mut self, context: &mut Context<'_>) -> bool {
        let Some(closed) = &mut self.closed else { return true };
        if Pin::new(closed).poll(context).is_ready() {
            self.closed = None;
        }
        self.closed.is_none()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().free(self.number);
        self.places.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Address = Address::V4(Ipv4Addr::new(127, 0, 0, 1));
    const THERE: Address = Address::V4(Ipv4Addr::new(127, 0, 0, 2));

    fn is_closed(place: &mut Place) -> bool {
        place.poll_closed(&mut Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn the_longest_idle_of_an_address_gives_way_to_its_next() {
        let places = Places::new(10, 3);
        let mut taken: Vec<Place> = (0..3).map(|_| places.take(HERE).unwrap()).collect();
        let mut other = places.take(THERE).unwrap();
        // The first has done something since, so the second has been idle longest.
        let at = |place: &Place| place.peer.activity.idle_since().unwrap();
        while at(&taken[0]) <= at(&taken[2]) {
            taken[0].peer.activity.touch();
        }
        let newest = places.take(HERE).unwrap();
        assert_eq!([0, 1, 2].map(|number| is_closed(&mut taken[number])), [false, true, false]);
        assert!(!is_closed(&mut other));
        assert_eq!(places.occupancy(), Occupancy { open: 4, closed: 1, refused: 0 });
        drop((taken, other, newest));
        assert_eq!(places.occupancy().open, 0);
        assert!(places.lock().by_address.is_empty(), "addresses are forgotten");
    }

    #[test]
    fn who_works_does_not_give_way() {
        let places = Places::new(4, 2);
        let here: Vec<Place> = (0..2).map(|_| places.take(HERE).unwrap()).collect();
        let first = here[0].peer.activity.answer();
        here[1].peer.activity.arriving.store(true, SeqCst);
        assert!(places.take(HERE).is_none());
        assert!(places.take(THERE).is_some(), "another address has its places");
        drop(first);
        assert!(places.take(HERE).is_some(), "an answer has ended");
        assert_eq!(places.occupancy().refused, 1);
    }

    #[test]
    fn an_address_is_a_site() {
        let address = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff::9"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_eq!(address("::ffff:127.0.0.1"), HERE);
        assert_ne!(HERE, THERE);
    }
}
