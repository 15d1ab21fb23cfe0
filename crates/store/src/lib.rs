//! Two storage contracts, immutable objects and a compare-and-swap cell, on a directory.
