//! Which token is meant, and logging in to it.

use std::sync::{Mutex, PoisonError};

use countersign_base::Sha256Digest;
use countersign_crypto::Sha256;
use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Slot, TokenInfo};

use crate::ask::Asker;
use crate::error::KeysError;
use crate::passphrase::Passphrase;
use crate::place::error::PlaceError;
use crate::place::line_file;
use crate::place::settings::TokenLabel;
use crate::place::uri::Pkcs11Uri;

use super::failure::failure;

/// Most wrong PINs that are remembered; the oldest is forgotten first.
const MAX_REFUSED: usize = 64;

/// Digests of tokens and the PINs that they refused in this process, so that none is sent a second time by itself.
static REFUSED: Mutex<Vec<Sha256Digest>> = Mutex::new(Vec::new());

/// A token that is plugged in.
pub(super) struct Token {
    pub(super) module: Pkcs11,
    pub(super) slot: Slot,
    pub(super) place: String,
}

impl Token {
    /// The one token that fits `uri`.
    ///
    /// # Errors
    /// `signer-token-lost` if there is none, `signer-key-mismatch` if there is more than one.
    pub(super) fn find(module: Pkcs11, uri: &Pkcs11Uri) -> Result<Self, PlaceError> {
        let place = uri.without_query().to_string();
        let slots =
            module.get_slots_with_token().map_err(|error| failure(&place, "look for tokens", &error))?;
        let mut fitting = Vec::new();
        for slot in slots {
            // One that is pulled out at this moment does not fit.
            let Ok(info) = module.get_token_info(slot) else { continue };
            if info.token_initialized() && fits(uri, slot, &info) {
                fitting.push((slot, info.serial_number().to_owned()));
            }
        }
        match fitting.as_slice() {
            [] => Err(PlaceError::TokenAbsent { place }),
            [(slot, _)] => Ok(Self { slot: *slot, module, place }),
            _ => {
                let serials = fitting.into_iter().map(|(_, serial)| serial).collect();
                Err(PlaceError::TokenAmbiguous { place, serials })
            }
        }
    }

    /// A session; one that writes is for making keys.
    pub(super) fn session(&self, writes: bool) -> Result<Session, PlaceError> {
        let opened = if writes {
            self.module.open_rw_session(self.slot)
        } else {
            self.module.open_ro_session(self.slot)
        };
        opened.map_err(|error| failure(&self.place, "open a session", &error))
    }

    /// Logs in with a PIN that is asked for, unless the token needs none or this process is logged in to it already.
    ///
    /// One PIN is sent, once.
    pub(super) fn log_in(
        &self,
        session: &Session,
        uri: &Pkcs11Uri,
        ask: &mut dyn Asker,
    ) -> Result<(), KeysError> {
        let failed = |error: Error| failure(&self.place, "log in", &error);
        let info = self.module.get_token_info(self.slot).map_err(failed)?;
        let state = session.get_session_info().map_err(failed)?.session_state();
        if !info.login_required() || matches!(state, SessionState::RoUser | SessionState::RwUser) {
            return Ok(());
        }
        let label = label_of(&info);
        if info.user_pin_locked() {
            return Err(PlaceError::PinLocked { token: label.label }.into());
        }
        if info.protected_authentication_path() {
            return session.login(UserType::User, None).or_else(|error| self.log_in_failed(&label, &error));
        }
        if !info.user_pin_initialized() {
            return Err(PlaceError::PinNotSet { token: label.label }.into());
        }
        let pin = pin(uri, &label, ask)?;
        let refused_before = refusal(&label, &pin);
        if remembered().contains(&refused_before) {
            return Err(PlaceError::PinRefusedBefore { token: label.label }.into());
        }
        session.login(UserType::User, Some(&pin.secret())).or_else(|error| {
            if is_wrong_pin(&error) {
                let mut remembered = remembered();
                if remembered.len() == MAX_REFUSED {
                    remembered.remove(0);
                }
                remembered.push(refused_before);
            }
            self.log_in_failed(&label, &error)
        })
    }

    fn log_in_failed(&self, label: &TokenLabel, error: &Error) -> Result<(), KeysError> {
        let token = label.label.clone();
        let why = match error {
            Error::Pkcs11(RvError::UserAlreadyLoggedIn, _) => return Ok(()),
            Error::Pkcs11(RvError::PinLocked, _) => PlaceError::PinLocked { token },
            Error::Pkcs11(RvError::FunctionCanceled | RvError::Cancel, _) => {
                let reason = "the PIN was not entered".to_owned();
                PlaceError::Refused { place: self.place.clone(), reason }
            }
            error if is_wrong_pin(error) => {
                // What is left is asked of the token anew: the flags of before the try are old.
                let info = self.module.get_token_info(self.slot).ok();
                if info.as_ref().is_some_and(TokenInfo::user_pin_locked) {
                    PlaceError::PinLocked { token }
                } else {
                    let final_try = info.as_ref().is_some_and(TokenInfo::user_pin_final_try);
                    PlaceError::PinRefused { token, final_try }
                }
            }
            error => failure(&self.place, "log in", error),
        };
        Err(why.into())
    }
}

fn fits(uri: &Pkcs11Uri, slot: Slot, info: &TokenInfo) -> bool {
    let same = |wanted: &Option<String>, found: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted == found.trim_end_matches(['\0', ' ']))
    };
    same(&uri.token, info.label())
        && same(&uri.manufacturer, info.manufacturer_id())
        && same(&uri.model, info.model())
        && same(&uri.serial, info.serial_number())
        && uri.slot_id.is_none_or(|id| id == slot.id())
}

fn label_of(info: &TokenInfo) -> TokenLabel {
    TokenLabel {
        label: info.label().trim_end().to_owned(),
        serial: info.serial_number().trim_end().to_owned(),
        count_low: info.user_pin_count_low(),
        final_try: info.user_pin_final_try(),
    }
}

fn pin(uri: &Pkcs11Uri, label: &TokenLabel, ask: &mut dyn Asker) -> Result<Passphrase, KeysError> {
    let Some(path) = &uri.pin_source else { return ask.pin(label) };
    // Nobody looks at what a file has before it is sent; the last try is for a person.
    if label.final_try {
        return Err(PlaceError::PinFinalTry { token: label.label.clone() }.into());
    }
    let line =
        line_file::first_line(path).map_err(|reason| PlaceError::PinFile { path: path.clone(), reason })?;
    Passphrase::new(line.to_string())
}

fn is_wrong_pin(error: &Error) -> bool {
    let Error::Pkcs11(value, _) = error else { return false };
    matches!(value, RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange)
}

fn remembered() -> std::sync::MutexGuard<'static, Vec<Sha256Digest>> {
    REFUSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Token and PIN as one digest: a wrong PIN is often nearly the right one, so it is not kept as it is.
fn refusal(label: &TokenLabel, pin: &Passphrase) -> Sha256Digest {
    use age::secrecy::ExposeSecret as _;

    let mut hasher = Sha256::new();
    for part in [&label.label, &label.serial] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(pin.secret().expose_secret().as_bytes());
    hasher.finish()
}
