//! Who answers a request.

mod draws;
mod shadowed;
mod split;
mod sticky;
mod weighted;

pub use shadowed::Shadowed;
pub use split::TrafficSplit;
pub use sticky::Sticky;
pub use weighted::Weighted;
