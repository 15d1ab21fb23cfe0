//! What waits between two threads: bounded, and taken all at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A queue that holds so much and no more.
#[derive(Debug)]
pub(super) struct Bounded<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    emptied: Condvar,
    max: Load,
}

/// How much something is, or how much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct State<T> {
    items: Vec<T>,
    load: Load,
    closed: bool,
    poked: bool,
}

/// Why nothing was put into a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

/// What came out of a queue.
#[derive(Debug)]
pub(super) enum Taken<T> {
    /// All that was in it, in order.
    Items(Vec<T>),
    /// Nothing in time, or [`Bounded::poke`] was called.
    Nothing,
    /// Nothing, and nothing will come.
    Closed,
}

impl<T> Bounded<T> {
    pub(super) fn new(max: Load) -> Self {
        let state = State { items: Vec::new(), load: Load::default(), closed: false, poked: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), emptied: Condvar::new(), max }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, load: Load, state: &State<T>) -> bool {
        // What is too large alone goes in alone.
        state.items.is_empty()
            || (state.load.entries + load.entries <= self.max.entries
                && state.load.bytes + load.bytes <= self.max.bytes)
    }

    fn put(&self, item: T, load: Load, mut state: MutexGuard<'_, State<T>>) {
        let waiting = state.items.is_empty();
        state.items.push(item);
        state.load.entries += load.entries;
        state.load.bytes += load.bytes;
        drop(state);
        if waiting {
            self.filled.notify_one();
        }
    }

    /// Puts something in, or gives it back.
    pub(super) fn try_push(&self, item: T, load: Load) -> Result<(), (T, Refused)> {
        let state = self.lock();
        if state.closed {
            return Err((item, Refused::Closed));
        }
        if !self.has_room(load, &state) {
            return Err((item, Refused::Full));
        }
        self.put(item, load, state);
        Ok(())
    }

    /// Puts something in, waiting for room; drops it if the queue is closed.
    pub(super) fn push(&self, item: T, load: Load) {
        let full = |state: &mut State<T>| !state.closed && !self.has_room(load, state);
        let state = self.emptied.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if !state.closed {
            self.put(item, load, state);
        }
    }

    /// Takes all there is, waiting for something.
    pub(super) fn take(&self, until: Option<Instant>) -> Taken<T> {
        let mut state = self.lock();
        loop {
            if !state.items.is_empty() {
                state.load = Load::default();
                let items = core::mem::take(&mut state.items);
                drop(state);
                self.emptied.notify_all();
                return Taken::Items(items);
            }
            if state.closed {
                return Taken::Closed;
            }
            if core::mem::take(&mut state.poked) {
                return Taken::Nothing;
            }
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Taken::Nothing,
                Some(left) => self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// Wakes who waits in [`Bounded::take`], though nothing came.
    pub(super) fn poke(&self) {
        self.lock().poked = true;
        self.filled.notify_one();
    }

    /// Takes no more; what is in it can be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    pub(super) fn load(&self) -> Load {
        self.lock().load
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    fn queue() -> Bounded<u32> {
        Bounded::new(Load { entries: 3, bytes: 100 })
    }

    const ONE: Load = Load { entries: 1, bytes: 10 };

    #[test]
    fn it_is_full_by_number_or_bytes() {
        let queue = queue();
        for item in 0..3 {
            queue.try_push(item, ONE).unwrap();
        }
        assert_eq!(queue.try_push(3, ONE), Err((3, Refused::Full)));
        assert!(matches!(queue.take(None), Taken::Items(items) if items == [0, 1, 2]));
        queue.try_push(4, Load { entries: 1, bytes: 1000 }).unwrap();
        assert_eq!(queue.try_push(5, ONE), Err((5, Refused::Full)));
        assert_eq!(queue.load(), Load { entries: 1, bytes: 1000 });
    }

    #[test]
    fn who_waits_for_room_gets_it() {
        let queue = Arc::new(queue());
        let other = Arc::clone(&queue);
        let pushing = thread::spawn(move || (0..100).for_each(|item| other.push(item, ONE)));
        let mut got = Vec::new();
        while got.len() < 100 {
            let Taken::Items(items) = queue.take(None) else { panic!("nothing") };
            assert!(items.len() <= 3);
            got.extend(items);
        }
        pushing.join().unwrap();
        assert!(got.into_iter().eq(0..100));
    }

    #[test]
    fn a_closed_one_can_be_emptied() {
        let queue = queue();
        queue.try_push(1, ONE).unwrap();
        queue.close();
        assert_eq!(queue.try_push(2, ONE), Err((2, Refused::Closed)));
        queue.push(3, ONE);
        assert!(matches!(queue.take(None), Taken::Items(items) if items == [1]));
        assert!(matches!(queue.take(None), Taken::Closed));
    }

    #[test]
    fn a_poke_wakes_once() {
        let queue = queue();
        queue.poke();
        assert!(matches!(queue.take(None), Taken::Nothing));
        assert!(matches!(queue.take(Some(Instant::now())), Taken::Nothing));
    }
}
