//! Content store, generations, activation and rollback.
