//! Any bytes as a request, through one door of the model server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlops_fuzz::requests::{Door, send};

fuzz_target!(|bytes: &[u8]| send(Door::Predict, bytes));
