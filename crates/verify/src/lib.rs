//! The one verification pipeline: evidence, policy and time in, a verified release out.
