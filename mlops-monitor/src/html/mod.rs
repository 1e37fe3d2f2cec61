//! Reports as one page that needs no network.
//!
//! A [`ReportDocument`] holds everything that is known: it is what is stored as JSON, and the
//! [`Page`] is made of it and of nothing else.
//!
//! ```
//! use mlops_core::SystemClock;
//! use mlops_monitor::html::ReportDocument;
//! use mlops_monitor::{Counters, Features, Profile, Rules, TensorFeatures};
//! use ndarray::Array2;
//!
//! let training = Array2::from_shape_fn((1000, 2), |(row, column)| ((row * (column + 3)) % 100) as f32);
//! let features = Features::new([TensorFeatures::columns("x", ["age", "income"])])?;
//! let profile = Profile::from_array(training.view(), features)?;
//! let counters = Counters::new(profile.clone());
//! counters.observe(&mlops_core::Tensors::new().with("x", training.map(|value| value + 9.0)));
//!
//! let counts = counters.snapshot();
//! let drift = Rules::default().report(&profile, &counts)?;
//! let document = ReportDocument::new("churn 1.4.0", &SystemClock, drift).with_distributions(&profile, &counts)?;
//! let (page, json) = (document.page().to_html(), document.to_json()?);
//! assert!(page.starts_with("<!doctype html>"));
//! assert_eq!(ReportDocument::from_json(&json)?, document);
//! # Ok::<(), mlops_core::Error>(())
//! ```
//!
//! The page is one file, without anything that it would have to fetch: its Content-Security-Policy forbids
//! that. It opens from a disk or an e-mail, by light and by dark, on paper and on a telephone, and stays usable
//! with hundreds of features. Hosts that have more to say add [`Section`]s to it.

mod block;
mod catalogue;
mod chart;
mod distribution;
mod document;
mod drift;
mod format;
mod markup;
mod page;
mod performance;
mod quality;
mod trend;

pub use block::{Block, Cell, Column, Fact, Section, Status, Table, Tone};
pub use catalogue::{Catalogue, Entry};
pub use chart::{Chart, Figure, Lines, Pen, Series};
pub use distribution::{Beside, Bins, Distribution, Place};
pub use document::ReportDocument;
pub use page::Page;
pub use trend::{Trend, TrendWindow};
