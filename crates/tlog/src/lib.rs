//! Transparency log formats: one module per C2SP specification.
