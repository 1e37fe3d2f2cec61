//! A store in memory that fails when it is told to.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use futures_util::stream::BoxStream;
use mlops_core::reexports::async_trait::async_trait;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What happens to one put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing has happened.
    Before,
    /// It takes effect, and then fails.
    After,
    /// It is refused.
    Denied,
    /// No answer ever comes.
    Silence,
}

/// The next puts suffer these faults; those after them suffer the last one, if it is to stay.
#[derive(Debug, Default)]
pub struct Faulty {
    inner: InMemory,
    faults: Mutex<VecDeque<Fault>>,
    always: Option<Fault>,
    puts: Mutex<Vec<String>>,
}

impl Faulty {
    pub fn next(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { faults: Mutex::new(faults.into_iter().collect()), ..Self::default() }
    }

    pub fn always(fault: Fault) -> Self {
        Self { always: Some(fault), ..Self::default() }
    }

    /// The objects that were put, attempt by attempt.
    pub fn puts(&self) -> Vec<String> {
        self.puts.lock().unwrap().clone()
    }
}

fn broken() -> Error {
    Error::Generic { store: "faulty", source: "the wire is cut".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.puts.lock().unwrap().push(path.to_string());
        let fault = self.faults.lock().unwrap().pop_front().or(self.always);
        match fault {
            None => self.inner.put_opts(path, payload, options).await,
            Some(Fault::Before) => Err(broken()),
            Some(Fault::After) => {
                self.inner.put_opts(path, payload, options).await?;
                Err(broken())
            }
            Some(Fault::Denied) => {
                Err(Error::PermissionDenied { path: path.to_string(), source: "not yours".into() })
            }
            Some(Fault::Silence) => std::future::pending().await,
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}
