//! Buckets of the clouds, over HTTP with TLS by ring.
//!
//! [`ObjectStoreRegistry::open_url`](crate::ObjectStoreRegistry::open_url) opens most of them. Who builds a store
//! gives it the [`Connector`], for object_store comes here without an HTTP client of its own:
//!
#![cfg_attr(feature = "s3", doc = "```no_run")]
#![cfg_attr(not(feature = "s3"), doc = "```ignore")]
//! use std::sync::Arc;
//!
//! use mlops_registry::ObjectStoreRegistry;
//! use mlops_registry::cloud::Connector;
//! use mlops_registry::reexports::object_store::aws::AmazonS3Builder;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let builder = AmazonS3Builder::from_env().with_bucket_name("models").with_endpoint("https://s3.example.com");
//! let store = builder.with_http_connector(Connector).build()?;
//! let registry = ObjectStoreRegistry::open(Arc::new(store), "fraud-team").await?;
//! # Ok(())
//! # }
//! ```

mod http;

use std::sync::Arc;

use mlops_core::Result;
use object_store::ObjectStore;

pub use self::http::Connector;
use crate::store_error::store_error;

macro_rules! buckets {
    ($($(#[$feature:meta])* $function:ident makes $builder:path;)*) => {$(
        $(#[$feature])*
        pub(crate) fn $function(url: &str) -> Result<Arc<dyn ObjectStore>> {
            let builder = <$builder>::from_env().with_url(url).with_http_connector(Connector);
            let store = builder.build().map_err(|cause| store_error(format!("no registry at `{url}`"), cause))?;
            Ok(Arc::new(store))
        }
    )*};
}

buckets! {
    #[cfg(feature = "s3")]
    s3 makes object_store::aws::AmazonS3Builder;
    #[cfg(feature = "gcs")]
    gcs makes object_store::gcp::GoogleCloudStorageBuilder;
    #[cfg(feature = "azure")]
    azure makes object_store::azure::MicrosoftAzureBuilder;
}
