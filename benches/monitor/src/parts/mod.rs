//! The parts of the run.

pub mod drift;
pub mod live;
pub mod null;
pub mod ours;
pub mod stream;
pub mod truth;
pub mod window;
