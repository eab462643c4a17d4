//! Examples and cross-crate tests of Mainstem live in this package; it has no library of its own.
