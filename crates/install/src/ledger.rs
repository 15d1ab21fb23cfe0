//! Reading and writing the two copies of a product's record.
//!
//! The record is written first, the copy second; both before the link `current` is replaced. Committing an event
//! writes only the record. So the copy is never newer, and at any time it knows all generations and the floor of
//! every installation that was acknowledged.

use std::path::{Path, PathBuf};

use countersign_base::name::ProductName;
use countersign_store::{Disk, StoreError, durable};

use crate::error::{InstallError, Repair};
use crate::layout::{Layout, Link, entries, is_folder};
use crate::record::{MAX_RECORD_BYTES, decode, encode};
use crate::state::State;

/// What was found where a record should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Absent,
    Damaged(String),
    Whole(State),
}

/// Reads one copy.
pub(crate) fn read(path: &Path, product: &ProductName) -> Result<Found, InstallError> {
    match durable::read(path, MAX_RECORD_BYTES) {
        Ok(None) => Ok(Found::Absent),
        Ok(Some(bytes)) => Ok(decode(&bytes, product).map_or_else(Found::Damaged, Found::Whole)),
        Err(StoreError::TooLarge { .. }) => Ok(Found::Damaged("it is too large".to_owned())),
        // ELOOP, or what `durable::read` says of folders and devices: something was planted.
        Err(StoreError::Io { source, .. })
            if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
                || source.kind() == std::io::ErrorKind::InvalidInput
                || source.kind() == std::io::ErrorKind::NotADirectory =>
        {
            Ok(Found::Damaged("it is not a regular file".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The record of a product, checked against its copy. `None` if nothing of the product is here.
pub(crate) fn load(layout: &Layout, product: &ProductName) -> Result<Option<State>, InstallError> {
    // The copy first: read after it, the record cannot be the older one while somebody is writing.
    let copy = read(&layout.record_copy(product), product)?;
    let record = read(&layout.record(product), product)?;
    let damaged = |reason: &str, repair| {
        Err(InstallError::StateDamaged { path: layout.record(product), reason: reason.to_owned(), repair })
    };
    match (record, copy) {
        (Found::Whole(state), Found::Whole(copy)) => {
            if copy.serial > state.serial {
                return damaged("its copy is newer", Repair::FromCopy);
            }
            if copy.serial == state.serial && copy != state {
                return damaged("it differs from its copy", Repair::Reinstall);
            }
            Ok(Some(state))
        }
        (Found::Whole(state), _) => Ok(Some(state)),
        (Found::Absent, Found::Absent) if !anything_installed(layout, product)? => Ok(None),
        (Found::Absent, Found::Whole(_)) => damaged("it is missing", Repair::FromCopy),
        (Found::Absent, _) => damaged("it is missing, and something is installed", Repair::Reinstall),
        (Found::Damaged(reason), Found::Whole(_)) => damaged(&reason, Repair::FromCopy),
        (Found::Damaged(reason), _) => damaged(&reason, Repair::Reinstall),
    }
}

fn anything_installed(layout: &Layout, product: &ProductName) -> Result<bool, InstallError> {
    if !is_folder(&layout.product(product))? {
        return Ok(false);
    }
    let generations = entries(&layout.generations(product))?;
    Ok(layout.link(product)? != Link::Absent || generations.iter().any(|name| !name.starts_with('.')))
}

/// Writes the record and its copy, with the next serial number.
pub(crate) fn save(disk: &dyn Disk, layout: &Layout, state: &mut State) -> Result<(), InstallError> {
    let bytes = save_record(disk, layout, state)?;
    write(disk, layout.record_copy(&state.product), &bytes)
}

/// Writes the copy of a record that is on disk.
pub(crate) fn save_copy(disk: &dyn Disk, layout: &Layout, state: &State) -> Result<(), InstallError> {
    write(disk, layout.record_copy(&state.product), &encode(state))
}

/// Writes the record alone, with the next serial number.
pub(crate) fn save_record(
    disk: &dyn Disk,
    layout: &Layout,
    state: &mut State,
) -> Result<Vec<u8>, InstallError> {
    state.serial += 1;
    let bytes = encode(state);
    if bytes.len() as u64 > MAX_RECORD_BYTES {
        let (count, max) = (bytes.len(), MAX_RECORD_BYTES as usize);
        return Err(InstallError::Limit { what: "bytes in the record of what is installed", count, max });
    }
    write(disk, layout.record(&state.product), &bytes)?;
    Ok(bytes)
}

fn write(disk: &dyn Disk, path: PathBuf, bytes: &[u8]) -> Result<(), InstallError> {
    Ok(durable::write_atomic(disk, &path, bytes, 0o644)?)
}

/// The products that have a record, a copy of one, or generations.
pub(crate) fn products(layout: &Layout) -> Result<Vec<ProductName>, InstallError> {
    let mut products = Vec::new();
    if is_folder(&layout.products())? {
        let names = entries(&layout.products())?;
        products.extend(names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()));
    }
    for name in if is_folder(&layout.root).unwrap_or(true) { entries(&layout.root)? } else { Vec::new() } {
        let Ok(product) = name.parse::<ProductName>() else { continue };
        let own = layout.record_copy(&product).exists() || layout.generations(&product).exists();
        if own && !products.contains(&product) {
            products.push(product);
        }
    }
    products.sort();
    Ok(products)
}
