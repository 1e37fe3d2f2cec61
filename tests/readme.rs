//! Lets `cargo test` run the example in the README. There is nothing here to depend on.
#![doc = include_str!("../README.md")]
