//! Where passphrases come from: a file, or a prompt on the terminal.
