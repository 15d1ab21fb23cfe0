//! Content store, generations, activation and rollback: verified releases in, running programs out.
//!
//! [`Installer`] is the one process that changes a root: it holds the lock. [`View`] looks, and needs none.
//! Only a `Verified<Release>` gets in ([`Installer::receive`], [`Installer::activate`]). A generation is a folder
//! of hard links; the link `current` says which one is active and is replaced in one rename, so at any moment, also
//! after a power loss, what is active is one whole generation. Module `activate` tells the order of steps,
//! `layout` where everything is.
//!
//! Two rules guard against going back: nothing below a product's floor becomes active by any way, and an older
//! version than the active one only if the caller says that it is meant.
//!
//! Who can write below the root can replace a program after it was checked; [`View::open_verified`] therefore hashes
//! the very descriptor that is then executed. Not here: where bytes come from (`client`), what they must be (`verify`).
#![forbid(unsafe_code)]

mod activate;
mod content;
mod error;
mod fsck;
mod gc;
mod installer;
mod layout;
mod ledger;
mod receive;
mod record;
mod run;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use activate::{Activated, Request};
pub use error::{InstallError, Repair};
pub use fsck::{Finding, Problem};
pub use gc::{Collected, DEFAULT_KEPT_GENERATIONS};
pub use installer::{Installer, Recovered, Recovery};
pub use receive::Incoming;
pub use run::OpenFile;
pub use state::{Event, EventKind, Generation, InstalledFile, MAX_EVENTS, MAX_FILES};
pub use view::{History, Listed, Look, Status, View};
