//! The largest inputs that are worked on. Each is far above any honest one; what exceeds it is refused unread.

/// Root metadata, in bytes; as python-tuf's client.
pub const MAX_ROOT_BYTES: usize = 512 * 1024;
/// Timestamp metadata, in bytes; as python-tuf's client.
pub const MAX_TIMESTAMP_BYTES: usize = 16 * 1024;
/// Snapshot metadata, in bytes.
pub const MAX_SNAPSHOT_BYTES: usize = 2 * 1024 * 1024;
/// Targets metadata, top-level or delegated, in bytes.
pub const MAX_TARGETS_BYTES: usize = 8 * 1024 * 1024;
/// Signatures on one file.
pub const MAX_SIGNATURES: usize = 128;
/// Keys in one key table.
pub const MAX_KEYS: usize = 4096;
/// Keys of one role.
pub const MAX_ROLE_KEYS: usize = 128;
/// Second keys of holders in one file; one of ML-DSA-65 has about 2,800 bytes there.
pub const MAX_PAIRS: usize = 1024;
/// A key id, in bytes. Ids are opaque (TAP 12); a SHA-256 in hex has 64.
pub const MAX_KEY_ID_BYTES: usize = 128;
/// Delegations of one role.
pub const MAX_DELEGATIONS: usize = 16_384;
/// Path patterns or hash prefixes of one delegation.
pub const MAX_PATTERNS: usize = 4096;
/// A path pattern or target path, in bytes.
pub const MAX_PATH_BYTES: usize = 1024;
/// A role's name as it stands in a file name, percent-encoded, in bytes.
pub const MAX_ROLE_NAME_BYTES: usize = 160;
/// Roles looked at in one search for a target (attack M14).
pub const MAX_ROLES_VISITED: usize = 64;
/// Roots that a client should take in one walk (specification 5.3.3, `Y`); the next walk goes on from there.
pub const MAX_ROOTS_PER_WALK: usize = 1024;
/// A metadata version that is worked with: what every JSON parser holds exactly.
pub const MAX_VERSION: u64 = (1 << 53) - 1;
