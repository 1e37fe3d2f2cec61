//! What the reference says: a profile, and expectations.

use mlops_core::Result;
use mlops_monitor::quality::{InferOptions, Suite};
use mlops_monitor::{Profile, ProfileBuilder, Table};

use super::arguments::Arguments;
use super::progress::each_table;
use super::schema::Schema;

/// What current rows are compared with.
pub struct Reference {
    pub profile: Profile,
    pub suite: Suite,
}

impl Reference {
    /// Reads the reference in pieces. Its first piece says what is to be expected of values; if there is more, a
    /// thousandth of them may be otherwise, for the first piece has not seen everything.
    pub fn read(arguments: &Arguments, schema: &Schema) -> Result<Self> {
        let mut builder = ProfileBuilder::new(schema.features(&arguments.categorical)?);
        let mut first = None::<Table>;
        let rows = each_table(&arguments.reference, schema.options(), arguments.quiet, |table| {
            if first.is_none() {
                first = Some(table.clone());
            }
            builder.push(table)
        })?;
        let profile = builder.finish()?;
        let first = first.map_or_else(|| Table::new::<String>([]), Ok)?;
        let seen_all = first.rows() as u64 == rows;
        let options = InferOptions::default().with_mostly(if seen_all { 1.0 } else { 0.999 });
        Ok(Self { profile, suite: Suite::infer(&first, &options)? })
    }
}
