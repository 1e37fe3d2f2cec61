//! Who owns the memory of a tensor: shared bytes, or a typed vector that can be handed back.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use crate::Element;

/// Immutable, shared, aligned memory.
#[derive(Clone)]
pub(super) enum Buffer {
    /// Bytes from outside: a request body, a memory-mapped file.
    Bytes(Bytes),
    /// A vector of elements. Its last owner can take it back without a copy.
    Elements(Arc<dyn Elements>),
}

/// A vector of some element type, with the type erased.
pub(super) trait Elements: Send + Sync {
    fn as_bytes(&self) -> &[u8];
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<T: Element> Elements for Vec<T> {
    fn as_bytes(&self) -> &[u8] {
        bytemuck::must_cast_slice(self)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Buffer {
    pub(super) fn from_vec<T: Element>(elements: Vec<T>) -> Self {
        Self::Elements(Arc::new(elements))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Elements(elements) => elements.as_bytes(),
        }
    }

    pub(super) fn to_shared(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Elements(elements) => Bytes::from_owner(Owner(Arc::clone(elements))),
        }
    }

    /// The vector itself, when this is its only owner and `T` is its type.
    pub(super) fn into_vec<T: Element>(self) -> Result<Vec<T>, Self> {
        let Self::Elements(elements) = self else { return Err(self) };
        match Arc::clone(&elements).into_any().downcast::<Vec<T>>() {
            Ok(vec) => {
                drop(elements);
                Arc::try_unwrap(vec).map_err(|shared| Self::Elements(shared))
            }
            Err(_) => Err(Self::Elements(elements)),
        }
    }
}

/// Lets `bytes::Bytes` keep the vector alive.
struct Owner(Arc<dyn Elements>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
