//! Where secret keys live and how they are used.
