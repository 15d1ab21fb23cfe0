//! Entries for loads: no two alike, and none that compresses well.

/// An entry of `length` bytes that begins with `names`, which differ for each entry, and goes on with noise made of
/// `seed`; longer if the names are.
pub fn entry(names: &[u64], seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let named = size_of_val(names);
    let mut bytes = Vec::with_capacity(length + named);
    for name in names {
        bytes.extend(name.to_be_bytes());
    }
    // Xorshift (Marsaglia, 2003).
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_be_bytes());
    }
    bytes.truncate(length.max(named));
    bytes
}
