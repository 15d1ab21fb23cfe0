//! Making a key on a token.

use countersign_crypto::{Algorithm, PublicKey};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use crate::ask::Asker;
use crate::error::KeysError;
use crate::place::error::PlaceError;
use crate::place::uri::Pkcs11Uri;

use super::failure::failure;
use super::token::Token;
use super::{module, objects, point};

/// Bytes of an id that is drawn.
const ID_BYTES: usize = 16;

/// Makes a key pair whose private half cannot leave the token, and reads its public half back.
pub(in crate::place) fn create(
    uri: &Pkcs11Uri,
    algorithm: Algorithm,
    ask: &mut dyn Asker,
) -> Result<PublicKey, KeysError> {
    let token = Token::find(module::load(uri, &ask.settings())?, uri)?;
    let place = token.place.as_str();
    let cannot = || PlaceError::CannotMake { place: place.to_owned(), algorithm };
    let Some(label) = &uri.object else {
        return Err(PlaceError::invalid(place, "a new key needs a label: add `object=`").into());
    };
    let curves = point::params(algorithm).ok_or_else(cannot)?;
    let (mechanism, kind) = if algorithm == Algorithm::Ed25519 {
        (Mechanism::EccEdwardsKeyPairGen, MechanismType::ECC_EDWARDS_KEY_PAIR_GEN)
    } else {
        (Mechanism::EccKeyPairGen, MechanismType::ECC_KEY_PAIR_GEN)
    };
    let known = token
        .module
        .get_mechanism_list(token.slot)
        .map_err(|error| failure(place, "say what it can", &error))?;
    if !known.contains(&kind) {
        return Err(cannot().into());
    }
    let session = token.session(true)?;
    token.log_in(&session, uri, ask)?;
    refuse_existing(&session, uri, label, place)?;
    let id = uri.id.clone().map_or_else(|| draw_id(place), Ok)?;
    let (public, _) = generate(&session, &mechanism, curves, label, &id).map_err(|error| {
        if is_unknown_curve(&error) { cannot() } else { failure(place, "make a key", &error) }
    })?;
    Ok(objects::public_of(&session, public, place)?)
}

/// A label or an id that two keys share would make both of no use.
fn refuse_existing(session: &Session, uri: &Pkcs11Uri, label: &str, place: &str) -> Result<(), PlaceError> {
    let mut names = vec![Pkcs11Uri { object: Some(label.to_owned()), ..Pkcs11Uri::default() }];
    names.extend(uri.id.clone().map(|id| Pkcs11Uri { id: Some(id), ..Pkcs11Uri::default() }));
    for name in names {
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            if !objects::find(session, &name, class, place)?.is_empty() {
                return Err(PlaceError::KeyExists { place: place.to_owned() });
            }
        }
    }
    Ok(())
}

fn draw_id(place: &str) -> Result<Vec<u8>, PlaceError> {
    let mut id = vec![0; ID_BYTES];
    getrandom::fill(&mut id).map_err(|error| PlaceError::Token {
        place: place.to_owned(),
        operation: "get a new id",
        reason: error.to_string(),
    })?;
    Ok(id)
}

/// Offers the curve in each of its forms until the token knows one.
fn generate(
    session: &Session,
    mechanism: &Mechanism<'_>,
    curves: &[&[u8]],
    label: &str,
    id: &[u8],
) -> Result<(ObjectHandle, ObjectHandle), Error> {
    let common =
        [Attribute::Token(true), Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(id.to_vec())];
    let private = [
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ];
    let private = [common.as_slice(), &private].concat();
    let mut result = Err(Error::NotSupported);
    for curve in curves {
        let public =
            [Attribute::Private(false), Attribute::Verify(true), Attribute::EcParams(curve.to_vec())];
        result = session.generate_key_pair(mechanism, &[common.as_slice(), &public].concat(), &private);
        match &result {
            Err(error) if is_unknown_curve(error) => {}
            _ => return result,
        }
    }
    result
}

fn is_unknown_curve(error: &Error) -> bool {
    let Error::Pkcs11(value, _) = error else { return matches!(error, Error::NotSupported) };
    matches!(
        value,
        RvError::CurveNotSupported
            | RvError::DomainParamsInvalid
            | RvError::AttributeValueInvalid
            | RvError::MechanismInvalid
            | RvError::TemplateInconsistent
    )
}
