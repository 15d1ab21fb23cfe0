//! Sealing bytes with a passphrase in the age format.
//!
//! Spec: <https://c2sp.org/age>, "The scrypt recipient type".

use std::io::{Read as _, Write as _};
use std::path::Path;

use age::{DecryptError, Decryptor, Encryptor, scrypt};
use countersign_base::name::KeyName;
use zeroize::Zeroizing;

use crate::error::KeysError;
use crate::files::MAX_KEY_FILE_BYTES;
use crate::passphrase::Passphrase;

/// log2 of scrypt's N for new files: with r = 8 and p = 1, 128 MiB of memory and about a third of a second.
///
/// It is the least that OWASP's Password Storage Cheat Sheet recommends. It is fixed, not measured on the machine as
/// age would, so that a key made on a fast machine opens on a slow one, and a test takes the same time everywhere.
pub const WORK_FACTOR: u8 = 17;

/// Highest log2 of N that is opened: 1 GiB and a few seconds. The file decides the cost, so it must be bounded;
/// files that were sealed again with `age --passphrase` (18) or rage (up to about 20) still open.
pub const MAX_WORK_FACTOR: u8 = 20;

/// How every age file of version 1 begins.
const AGE_HEADER: &[u8] = b"age-encryption.org/v1\n";

/// Whether bytes are an age file, by how they begin.
pub(crate) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(AGE_HEADER)
}

/// `secret`, sealed.
pub(crate) fn seal(secret: &[u8], passphrase: &Passphrase, path: &Path) -> Result<Vec<u8>, KeysError> {
    let mut recipient = scrypt::Recipient::new(passphrase.secret());
    recipient.set_work_factor(WORK_FACTOR);
    let failed = || KeysError::Malformed { path: path.to_owned(), reason: "it could not be encrypted" };
    let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        .map_err(|_| failed())?;
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(KeysError::storage("encrypt", path))?;
    writer.write_all(secret).map_err(KeysError::storage("encrypt", path))?;
    writer.finish().map_err(KeysError::storage("encrypt", path))?;
    Ok(sealed)
}

/// What was sealed.
///
/// # Errors
/// `key-passphrase-wrong`; `key-malformed` if it is not a passphrase-encrypted age file or is damaged.
pub(crate) fn open(
    sealed: &[u8],
    name: &KeyName,
    passphrase: &Passphrase,
    path: &Path,
) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let malformed = |reason| KeysError::Malformed { path: path.to_owned(), reason };
    let decryptor = Decryptor::new(sealed).map_err(|_| malformed("its age header is damaged"))?;
    if !decryptor.is_scrypt() {
        return Err(malformed("it is not encrypted with a passphrase"));
    }
    let mut identity = scrypt::Identity::new(passphrase.secret());
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let mut reader = reader.map_err(|error| match error {
        // A damaged stanza looks the same; the passphrase is by far the likelier cause.
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            KeysError::PassphraseWrong { name: name.clone() }
        }
        DecryptError::ExcessiveWork { required, .. } => {
            KeysError::WorkFactor { path: path.to_owned(), asked: required }
        }
        _ => malformed("its age header is damaged"),
    })?;
    // All of its room at once: growing would leave copies of the secret behind.
    let mut secret = Zeroizing::new(vec![0; MAX_KEY_FILE_BYTES]);
    let mut filled = 0;
    loop {
        match reader.read(&mut secret[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(_) => return Err(malformed("its encrypted part is damaged")),
        }
    }
    secret.truncate(filled);
    Ok(secret)
}
