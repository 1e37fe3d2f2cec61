//! Registries by URL.

use std::sync::Arc;

use mlops_core::{Error, Result};
use object_store::ObjectStore;

use crate::registry::Opening;
use crate::{ObjectStoreRegistry, Transfer, Verification};

impl ObjectStoreRegistry {
    /// Opens the registry that a URL names:
    ///
    /// | URL | where | feature |
    /// | --- | --- | --- |
    /// | `file:///var/lib/models`, or a path | a folder, which is created if it is not there | |
    /// | `memory:` | memory: a new registry each time | |
    /// | `s3://bucket/prefix` | Amazon S3 and what speaks as it does | `s3` |
    /// | `gs://bucket/prefix` | Google Cloud Storage | `gcs` |
    /// | `az://container/prefix` | Azure Blob Storage | `azure` |
    ///
    /// Credentials, regions and other endpoints come from the environment variables that the tools of the clouds use:
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT`, `AWS_ALLOW_HTTP`;
    /// `GOOGLE_SERVICE_ACCOUNT`; `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY`; and the others that
    /// [`object_store`] knows. For anything else build the store and [`open`](Self::open) it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), mlops_core::Error> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let url = format!("file://{}/models", folder.path().display());
    /// let registry = mlops_registry::ObjectStoreRegistry::open_url(&url).await?;
    /// assert!(registry.root().starts_with("file:///"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](Error::InvalidInput) for a URL of no known kind, [`Unsupported`](Error::Unsupported) when the
    /// feature is not turned on, and those of [`open`](Self::open) and [`local`](Self::local).
    pub async fn open_url(url: &str) -> Result<Self> {
        Self::open_url_as(url, Opening::Read).await
    }

    /// [Verifies](Self::verify) the registry that a URL names, though it may be too harmed to be opened. `progress` is
    /// told of large artifacts.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) when there is no such folder, and those of [`open_url`](Self::open_url). What is
    /// wrong with the registry is no error, but in the answer.
    pub async fn verify_url(
        url: &str,
        progress: impl Fn(Transfer) + Send + Sync + 'static,
    ) -> Result<Verification> {
        Self::open_url_as(url, Opening::Unread).await?.with_progress(progress).verify().await
    }

    async fn open_url_as(url: &str, opening: Opening) -> Result<Self> {
        let Some((scheme, rest)) = url.split_once(':').filter(|(scheme, _)| scheme.len() > 1) else {
            return Self::local_as(url.into(), opening).await;
        };
        let (store, prefix) = match scheme {
            "file" => return Self::local_as(file_path(url, rest)?.into(), opening).await,
            "memory" if rest.trim_start_matches('/').is_empty() => return Ok(Self::in_memory()),
            "s3" | "s3a" => (s3(url)?, prefix(rest)),
            "gs" => (gcs(url)?, prefix(rest)),
            "az" | "azure" | "abfs" | "abfss" => (azure(url)?, prefix(rest)),
            _ => {
                return Err(Error::invalid_input(format!(
                    "`{url}` names no registry; expected a folder, `file:///…`, `memory:`, `s3://bucket/prefix`, \
                     `gs://bucket/prefix` or `az://container/prefix`"
                )));
            }
        };
        let registry = Self::open_as(store, prefix.into(), opening).await?;
        Ok(registry.rooted(url.trim_end_matches('/')))
    }
}

/// Of `//bucket/some/prefix`, what comes after the bucket.
fn prefix(rest: &str) -> &str {
    let rest = rest.trim_start_matches('/');
    rest.split_once('/').map_or("", |(_, prefix)| prefix)
}

/// Of `file:///a/folder`, the path. A URL with a host, or with escaped characters, is not guessed at.
fn file_path<'a>(url: &str, rest: &'a str) -> Result<&'a str> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if !path.starts_with('/') || path.contains('%') {
        return Err(Error::invalid_input(format!(
            "`{url}` names no folder; expected `file:///an/absolute/path`, without escapes"
        )));
    }
    Ok(path)
}

macro_rules! without_feature {
    ($($function:ident needs $feature:literal;)*) => {$(
        #[cfg(not(feature = $feature))]
        fn $function(url: &str) -> Result<Arc<dyn ObjectStore>> {
            Err(Error::unsupported(format!(
                concat!("`{}` needs the feature `", $feature, "` of mlops-registry, which is not turned on"), url
            )))
        }

        #[cfg(feature = $feature)]
        fn $function(url: &str) -> Result<Arc<dyn ObjectStore>> {
            crate::cloud::$function(url)
        }
    )*};
}

without_feature! {
    s3 needs "s3";
    gcs needs "gcs";
    azure needs "azure";
}
