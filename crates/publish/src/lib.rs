//! Changes to a repository: what is signed, by whom, logged and written.
