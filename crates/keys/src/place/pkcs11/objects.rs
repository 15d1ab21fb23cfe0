//! The halves of a key on a token.

use countersign_crypto::PublicKey;
use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use crate::place::error::PlaceError;
use crate::place::uri::Pkcs11Uri;

use super::failure::failure;
use super::point;

/// Most objects that are looked at for one name.
const MAX_OBJECTS: usize = 64;

/// The private half that `uri` names. Tokens show it only after logging in.
pub(super) fn private(session: &Session, uri: &Pkcs11Uri, place: &str) -> Result<ObjectHandle, PlaceError> {
    match find(session, uri, ObjectClass::PRIVATE_KEY, place)?.as_slice() {
        [] => Err(PlaceError::KeyMissing { place: place.to_owned() }),
        [one] => Ok(*one),
        _ => Err(PlaceError::KeyAmbiguous { place: place.to_owned() }),
    }
}

/// The public half that `uri` names; `None` if the token shows none (now).
pub(super) fn public(
    session: &Session,
    uri: &Pkcs11Uri,
    place: &str,
) -> Result<Option<PublicKey>, PlaceError> {
    let mut found = None;
    for object in find(session, uri, ObjectClass::PUBLIC_KEY, place)? {
        let key = public_of(session, object, place)?;
        if found.as_ref().is_some_and(|found| *found != key) {
            return Err(PlaceError::KeyAmbiguous { place: place.to_owned() });
        }
        found = Some(key);
    }
    Ok(found)
}

/// The public half with the same `CKA_ID` as the private one, for tokens that label only the private one.
pub(super) fn public_beside(
    session: &Session,
    private: ObjectHandle,
    place: &str,
) -> Result<Option<PublicKey>, PlaceError> {
    let attributes = session
        .get_attributes(private, &[AttributeType::Id])
        .map_err(|error| failure(place, "look at a key", &error))?;
    match attributes.into_iter().next() {
        Some(Attribute::Id(id)) if !id.is_empty() => {
            public(session, &Pkcs11Uri { id: Some(id), ..Pkcs11Uri::default() }, place)
        }
        _ => Ok(None),
    }
}

/// The key in a public-key object.
pub(super) fn public_of(
    session: &Session,
    object: ObjectHandle,
    place: &str,
) -> Result<PublicKey, PlaceError> {
    let unsuitable =
        |reason: &str| PlaceError::KeyUnsuitable { place: place.to_owned(), reason: reason.to_owned() };
    let wanted = [AttributeType::EcParams, AttributeType::EcPoint];
    let attributes =
        session.get_attributes(object, &wanted).map_err(|error| failure(place, "look at a key", &error))?;
    let (mut params, mut point) = (None, None);
    for attribute in attributes {
        match attribute {
            Attribute::EcParams(bytes) => params = Some(bytes),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            _ => {}
        }
    }
    let (Some(params), Some(point)) = (params, point) else {
        return Err(unsuitable("it is not of an elliptic curve"));
    };
    let algorithm =
        point::algorithm(&params).ok_or_else(|| unsuitable("its curve is not P-256, P-384 or Ed25519"))?;
    point::public_key(algorithm, &point)
        .map_err(|source| PlaceError::Public { place: place.to_owned(), source })
}

/// Whether the token wants the PIN again for every signature.
pub(super) fn always_authenticates(session: &Session, private: ObjectHandle) -> bool {
    let attributes =
        session.get_attributes(private, &[AttributeType::AlwaysAuthenticate]).unwrap_or_default();
    matches!(attributes.as_slice(), [Attribute::AlwaysAuthenticate(true)])
}

/// The objects of that class that have the label and id of `uri`.
pub(super) fn find(
    session: &Session,
    uri: &Pkcs11Uri,
    class: ObjectClass,
    place: &str,
) -> Result<Vec<ObjectHandle>, PlaceError> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
    template.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
    let failed = |error: Error| failure(place, "look for a key", &error);
    let objects = session.iter_objects(&template).map_err(failed)?;
    match objects.take(MAX_OBJECTS).collect() {
        // Where private objects are hidden, some modules say so instead of showing none.
        Err(Error::Pkcs11(RvError::UserNotLoggedIn, _)) => Ok(Vec::new()),
        found => found.map_err(failed),
    }
}
