//! Everything that keeps weights from fitting a module, in one error.

use std::fmt::Write as _;

use mlops_core::{Error, Result};

use super::{Format, Options};

/// What is wrong with one tensor.
#[derive(Debug)]
pub(super) enum Fault {
    /// The module has it, the file does not.
    Missing,
    /// The file has it, the module does not.
    Unexpected,
    Shape {
        expected: Vec<usize>,
        found: Vec<usize>,
    },
    Kind {
        expected: &'static str,
        found: String,
    },
    NotFinite {
        index: usize,
        dtype: String,
    },
    OutOfRange {
        index: usize,
        dtype: String,
    },
    Unreadable(String),
}

#[derive(Debug)]
pub(super) struct Report {
    format: Format,
    faults: Vec<(String, Fault)>,
}

/// How many tensors an error names for each kind of fault.
const NAMED: usize = 8;

impl Report {
    pub(super) fn new(format: Format) -> Self {
        Self { format, faults: Vec::new() }
    }

    pub(super) fn add(&mut self, name: String, fault: Fault) {
        self.faults.push((name, fault));
    }

    /// The module when nothing is wrong that the options do not allow.
    pub(super) fn into_result<M>(self, module: M, options: &Options) -> Result<M> {
        let allowed = |fault: &Fault| match fault {
            Fault::Missing => options.allow_missing,
            Fault::Unexpected => options.allow_unexpected,
            _ => false,
        };
        if self.faults.iter().all(|(_, fault)| allowed(fault)) {
            return Ok(module);
        }
        let mut text = format!("the weights ({}) do not fit the module", self.format);
        let mut separator = ": ";
        let mut part = |faults: Vec<String>, what: &str, way_out: &str| {
            if !faults.is_empty() {
                let _ = write!(text, "{separator}{}{what}{way_out}", listed(&faults));
                separator = "; ";
            }
        };
        let named = |wanted: fn(&Fault) -> bool| -> Vec<String> {
            let faults = self.faults.iter().filter(|(_, fault)| wanted(fault) && !allowed(fault));
            faults.map(|(name, _)| format!("`{}`", short(name))).collect()
        };
        let wrong = self.faults.iter().filter_map(|(name, fault)| described(&short(name), fault)).collect();
        part(
            named(|fault| matches!(fault, Fault::Missing)),
            " missing in the file",
            " (`with_key_remap` renames, `allow_missing` keeps the initial values)",
        );
        part(
            named(|fault| matches!(fault, Fault::Unexpected)),
            " not in the module",
            " (`with_key_remap` renames, `allow_unexpected` leaves out)",
        );
        part(wrong, "", "");
        Err(Error::invalid_input(text))
    }
}

fn described(name: &str, fault: &Fault) -> Option<String> {
    Some(match fault {
        Fault::Missing | Fault::Unexpected => return None,
        Fault::Shape { expected, found } => {
            format!("`{name}` is {} in the file and {} in the module", shape(found), shape(expected))
        }
        Fault::Kind { expected, found } => format!("`{name}` holds {found} and the module needs {expected}"),
        Fault::NotFinite { index, dtype } => {
            format!("`{name}` is not finite as {dtype} at element {index} (`allow_not_finite` lets it pass)")
        }
        Fault::OutOfRange { index, dtype } => format!(
            "`{name}` holds a number at element {index} that {dtype} cannot hold (`with_stored_precision` keeps it)"
        ),
        Fault::Unreadable(cause) => format!("`{name}` cannot be read: {cause}"),
    })
}

fn listed(faults: &[String]) -> String {
    let mut text = faults.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if faults.len() > NAMED {
        let _ = write!(text, " and {} more", faults.len() - NAMED);
    }
    text
}

/// Names come from files, so they are cut.
fn short(name: &str) -> String {
    match name.char_indices().nth(120) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}

fn shape(sizes: &[usize]) -> String {
    if sizes.len() > 12 { format!("of rank {}", sizes.len()) } else { format!("{sizes:?}") }
}
