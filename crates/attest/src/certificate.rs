//! The public key of an X.509 certificate, and nothing else of it.
//!
//! Spec: RFC 5280 section 4.1. A log does not judge certificates: it shows that the holder of the key signed.

/// Constructed SEQUENCE.
const SEQUENCE: u8 = 0x30;
/// INTEGER.
const INTEGER: u8 = 0x02;
/// `[0] EXPLICIT`, the version.
const VERSION: u8 = 0xa0;

/// The DER `SubjectPublicKeyInfo` of a certificate in DER; `None` if it is not one.
pub(crate) fn public_key(der: &[u8]) -> Option<&[u8]> {
    let (certificate, rest) = read(der, SEQUENCE)?;
    let (to_be_signed, signature) = read(certificate.content, SEQUENCE)?;
    // Algorithm and value of the signature, and nothing after them.
    let (_, value) = read(signature, SEQUENCE)?;
    let (_, end) = read(value, 0x03)?;
    if !rest.is_empty() || !end.is_empty() {
        return None;
    }
    // Only version 1 leaves the version out; no certificate of this century has it.
    let (_, fields) = read(to_be_signed.content, VERSION)?;
    let (_, fields) = read(fields, INTEGER)?;
    // Signature algorithm, issuer, validity, subject.
    let fields = (0..4).try_fold(fields, |fields, _| Some(read(fields, SEQUENCE)?.1))?;
    Some(read(fields, SEQUENCE)?.0.whole)
}

/// One DER element.
struct Element<'a> {
    /// With tag and length.
    whole: &'a [u8],
    content: &'a [u8],
}

/// One DER element of that tag and what follows it. Lengths must be in their shortest form.
fn read(der: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    let (&[found, first], after) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length_bytes, length) = match first {
        0..=0x7f => (0, usize::from(first)),
        // Up to 16 MiB; the request's limit is far below.
        0x81..=0x83 => {
            let count = usize::from(first & 0x7f);
            let digits = after.get(..count)?;
            let length = digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit));
            let shortest = if count == 1 { length >= 0x80 } else { digits[0] != 0 };
            (count, shortest.then_some(length)?)
        }
        _ => return None,
    };
    let content = after.get(length_bytes..)?.get(..length)?;
    let (whole, rest) = der.split_at(2 + length_bytes + length);
    Some((Element { whole, content }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_in_their_shortest_form_and_within_the_input() {
        let long = [[0x30, 0x81, 0x80].as_slice(), &[7; 0x80]].concat();
        assert_eq!(read(&long, SEQUENCE).unwrap().0.content, [7; 0x80]);
        assert!(read(&long[..long.len() - 1], SEQUENCE).is_none());
        for bad in [
            &[0x30, 0x81, 0x01, 0][..],
            &[0x30, 0x82, 0x00, 0x80],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x84, 0, 0, 0, 1, 0],
            &[0x30, 0x02, 0],
            &[0x30],
            &[0x31, 0x00],
            &[],
        ] {
            assert!(read(bad, SEQUENCE).is_none(), "{bad:x?}");
        }
    }
}
