//! ECDSA signatures in DER, from the two numbers that tokens and agents give.
//!
//! Spec: RFC 3279 section 2.2.3, `Ecdsa-Sig-Value`; X.690 for DER. No signature here is longer than 127 bytes of
//! content, so lengths are one byte: two P-384 numbers take at most 2 * 51 bytes.

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// The DER of `r` and `s`, big-endian and unsigned, leading zeros allowed; `None` if one is zero or longer than
/// `width`.
pub(super) fn to_der(r: &[u8], s: &[u8], width: usize) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(2 * (width + 3));
    put_integer(&mut content, r, width)?;
    put_integer(&mut content, s, width)?;
    let mut der = vec![SEQUENCE, u8::try_from(content.len()).ok().filter(|length| *length < 0x80)?];
    der.append(&mut content);
    Some(der)
}

/// The DER of a token's `r || s`, each `width` bytes (PKCS#11 section 2.3.1 of the mechanisms).
pub(super) fn fixed_to_der(signature: &[u8], width: usize) -> Option<Vec<u8>> {
    if signature.len() != 2 * width {
        return None;
    }
    let (r, s) = signature.split_at(width);
    to_der(r, s, width)
}

fn put_integer(out: &mut Vec<u8>, number: &[u8], width: usize) -> Option<()> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros..];
    let first = *number.first()?;
    if number.len() > width {
        return None;
    }
    // A set top bit would make it negative.
    let padding = usize::from(first & 0x80 != 0);
    out.extend([INTEGER, u8::try_from(number.len() + padding).ok()?]);
    out.extend(core::iter::repeat_n(0, padding));
    out.extend_from_slice(number);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shortest_and_positive() {
        let mut fixed = [0; 64];
        fixed[31] = 1;
        fixed[32] = 0x80;
        let der = fixed_to_der(&fixed, 32).unwrap();
        let mut expected = vec![0x30, 3 + 35, 0x02, 1, 1, 0x02, 33, 0, 0x80];
        expected.extend([0; 31]);
        assert_eq!(der, expected);
    }

    #[test]
    fn what_is_no_signature_has_no_form() {
        assert_eq!(fixed_to_der(&[1; 63], 32), None);
        assert_eq!(fixed_to_der(&[0; 64], 32), None);
        assert_eq!(to_der(&[1; 33], &[1; 32], 32), None);
        assert_eq!(to_der(&[], &[1], 32), None);
        // mpint form of SSH: a zero in front.
        assert!(to_der(&[0, 0x80], &[1], 32).is_some());
    }
}
