//! Tests of the client: hostile servers, the state directory, refresh against a live repository.

mod directory;
mod hostile;
mod server;
