//! The contract of the trait, as a test suite.
