//! What a module's return value means for whoever wanted a signature.
//!
//! Spec: PKCS#11 2.40 section 5.1, the `CKR_` values.

use cryptoki::error::{Error, RvError};

use super::module::said;
use crate::place::error::PlaceError;

/// The error that a return value stands for. A lost token and a session that ended are one: what was opened is gone.
pub(super) fn failure(place: &str, operation: &'static str, error: &Error) -> PlaceError {
    let (place, reason) = (place.to_owned(), said(error));
    if is_lost(error) {
        PlaceError::TokenLost { place, reason }
    } else {
        PlaceError::Token { place, operation, reason }
    }
}

/// Whether the token, the session or the login that a signer was made of is gone.
fn is_lost(error: &Error) -> bool {
    let Error::Pkcs11(value, _) = error else { return false };
    matches!(
        value,
        RvError::DeviceRemoved
            | RvError::DeviceError
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::SlotIdInvalid
            | RvError::SessionClosed
            | RvError::SessionHandleInvalid
            | RvError::UserNotLoggedIn
            | RvError::KeyHandleInvalid
            | RvError::ObjectHandleInvalid
            | RvError::CryptokiNotInitialized
    )
}
