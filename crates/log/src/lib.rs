//! The log: sequencer, admission, witness and fsck.
