//! Keys on PKCS#11 tokens: smart cards, security keys, hardware modules, SoftHSM2.
//!
//! Spec: PKCS#11 2.40 and 3.1 through the `cryptoki` crate; RFC 7512 for naming them. Signed with `CKM_ECDSA` over
//! our own digest, which every token has, or `CKM_EDDSA`.
//!
//! In order: the one token that fits, its public key if it shows it, the comparison, and only then the PIN. So the
//! PIN never goes to a token that shows another key, and another key's signature never gets out.

mod create;
mod failure;
mod module;
mod objects;
mod point;
mod token;

use std::sync::{Mutex, PoisonError};

use countersign_crypto::{Algorithm, PublicKey, Signer, ecdsa_prehash};
use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use crate::ask::Asker;
use crate::error::KeysError;

use super::checked::{Checked, Unchecked, check_expected};
use super::ecdsa;
use super::error::PlaceError;
use super::uri::Pkcs11Uri;
use failure::failure;
use token::Token;

pub(super) use create::create;

/// Opens the key that `uri` names.
pub(super) fn open(
    uri: &Pkcs11Uri,
    expected: Option<&PublicKey>,
    ask: &mut dyn Asker,
) -> Result<Box<dyn Signer>, KeysError> {
    let token = Token::find(module::load(uri, &ask.settings())?, uri)?;
    let session = token.session(false)?;
    let place = &token.place;
    let mut shown = objects::public(&session, uri, place)?;
    if let Some(shown) = &shown {
        check_expected(place, shown, expected)?;
    }
    token.log_in(&session, uri, ask)?;
    let private = objects::private(&session, uri, place)?;
    if shown.is_none() {
        shown = objects::public(&session, uri, place)?;
    }
    if shown.is_none() {
        shown = objects::public_beside(&session, private, place)?;
    }
    // A token without the public half is taken by its word: each signature is verified.
    let public = shown.or_else(|| expected.cloned());
    let public = public.ok_or_else(|| PlaceError::PublicUnknown { place: place.clone() })?;
    check_expected(place, &public, expected)?;
    if objects::always_authenticates(&session, private) {
        return Err(PlaceError::PinEachTime { place: place.clone() }.into());
    }
    let algorithm = public.algorithm();
    Ok(Box::new(Checked::new(public, TokenKey { algorithm, session: Mutex::new(session), private, token })))
}

/// A private key in an open session.
struct TokenKey {
    algorithm: Algorithm,
    /// A session does one thing at a time.
    session: Mutex<Session>,
    private: ObjectHandle,
    token: Token,
}

impl TokenKey {
    /// Tokens tell badly that they are gone: some say "general error". So a failure is followed by a look for the
    /// token.
    fn failed(&self, session: &Session, error: &Error) -> PlaceError {
        let why = failure(&self.token.place, "sign", error);
        let there =
            self.token.module.get_token_info(self.token.slot).is_ok_and(|info| info.token_initialized())
                && session.get_session_info().is_ok();
        match why {
            PlaceError::Token { place, reason, .. } if !there => PlaceError::TokenLost { place, reason },
            why => why,
        }
    }
}

impl Unchecked for TokenKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PlaceError> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = ecdsa_prehash(self.algorithm, message);
        let signed = match &digest {
            Some(digest) => session.sign(&Mechanism::Ecdsa, self.private, digest),
            None => {
                let params = EddsaParams::new(EddsaSignatureScheme::Pure);
                session.sign(&Mechanism::Eddsa(params), self.private, message)
            }
        };
        let signature = signed.map_err(|error| self.failed(&session, &error))?;
        match digest {
            // Both digests are as wide as their curve's numbers.
            Some(digest) => ecdsa::fixed_to_der(&signature, digest.len())
                .ok_or_else(|| PlaceError::BadSignature { place: self.place() }),
            None => Ok(signature),
        }
    }

    fn place(&self) -> String {
        self.token.place.clone()
    }
}
