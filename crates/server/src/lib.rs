//! HTTP: serves a repository, a log and a witness.
