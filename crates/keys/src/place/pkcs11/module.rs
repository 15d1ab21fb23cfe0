//! PKCS#11 modules: loaded once a process, because their state is the process's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use crate::place::error::PlaceError;
use crate::place::settings::Settings;
use crate::place::uri::Pkcs11Uri;

/// Never finalised: another signer of this process may still have a session.
static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// The module that `uri` names, or else `settings`.
pub(super) fn load(uri: &Pkcs11Uri, settings: &Settings) -> Result<Pkcs11, PlaceError> {
    let path = uri.module_path.as_deref().or(settings.pkcs11_module.as_deref());
    let path = path.ok_or(PlaceError::ModuleUnknown)?;
    let failed = |reason: &str| PlaceError::Module { path: path.to_owned(), reason: reason.to_owned() };
    // A bare name would be looked for in folders that the loader's environment names.
    if !path.is_absolute() {
        return Err(failed("its path is not absolute"));
    }
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(path) {
        return Ok(module.clone());
    }
    let module = start(path).map_err(|error| failed(&said(&error)))?;
    loaded.insert(path.to_owned(), module.clone());
    Ok(module)
}

fn start(path: &Path) -> Result<Pkcs11, Error> {
    let module = Pkcs11::new(path)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(error),
    }
}

/// What a module said, in a line: cryptoki's own texts quote the specification by the paragraph.
pub(super) fn said(error: &Error) -> String {
    match error {
        Error::Pkcs11(value, function) => format!("{function:?} gave {value:?}"),
        other => other.to_string(),
    }
}
