//! Weights as bytes, for artifacts of a registry.

use ::burn::store::{BurnpackStore, ModuleSnapshot};
use bytes::Bytes;
use mlops_core::{Error, Result};

/// The weights of a module in burn's own format (burnpack).
///
/// # Errors
/// [`Error::Engine`] when a weight cannot be read from its device.
pub fn save_burnpack<M: ModuleSnapshot>(module: &M) -> Result<Bytes> {
    let mut store = BurnpackStore::from_bytes(None);
    module
        .save_into(&mut store)
        .map_err(|cause| Error::engine(format!("the weights cannot be written as burnpack: {cause}")))?;
    let bytes = store
        .get_bytes()
        .map_err(|cause| Error::engine(format!("the weights cannot be written as burnpack: {cause}")))?;
    Ok(Bytes::copy_from_slice(&bytes))
}

/// Fills a module with weights written by [`save_burnpack`]. Every weight of the module must be there, in
/// its shape.
///
/// # Errors
/// [`Error::InvalidInput`] when the bytes are no burnpack or belong to another module.
pub fn load_burnpack<M: ModuleSnapshot>(mut module: M, weights: &Bytes) -> Result<M> {
    let bytes = ::burn::tensor::Bytes::from_bytes_vec(weights.to_vec());
    let result = module
        .load_from(&mut BurnpackStore::from_bytes(Some(bytes)))
        .map_err(|cause| Error::invalid_input(format!("the weights do not fit the module: {cause}")))?;
    if result.missing.is_empty() && result.errors.is_empty() {
        return Ok(module);
    }
    Err(Error::invalid_input(format!("the weights do not fit the module: {result}")))
}
