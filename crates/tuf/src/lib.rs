//! TUF metadata, the client's state machine and the editor.
