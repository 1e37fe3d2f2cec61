//! A store that fails when it is told to.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use mlops_registry::reexports::object_store::memory::InMemory;
use mlops_registry::reexports::object_store::path::Path;
use mlops_registry::reexports::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Semaphore;

/// What happens to one call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It fails, and nothing has happened.
    Before,
    /// It takes effect, and then fails.
    After,
    /// It takes effect, and then says that somebody else was faster: a lost answer, asked for again.
    Twice,
}

/// Decides on each call by what it is (`get`, `put`, `list`) and where.
pub type Plan = Box<dyn FnMut(&str, &str) -> Fault + Send>;

/// A store in memory with faults.
pub struct Faulty {
    pub inner: Arc<InMemory>,
    plan: Mutex<Plan>,
    pause: Mutex<Option<Pause>>,
}

/// After a call that it fits, says so and waits.
#[derive(Clone)]
struct Pause {
    call: &'static str,
    folder: &'static str,
    reached: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

impl Faulty {
    pub fn new(plan: impl FnMut(&str, &str) -> Fault + Send + 'static) -> Arc<Self> {
        Self::over(Arc::default(), plan)
    }

    /// The same over a store that is there already.
    pub fn over(inner: Arc<InMemory>, plan: impl FnMut(&str, &str) -> Fault + Send + 'static) -> Arc<Self> {
        Arc::new(Self { inner, plan: Mutex::new(Box::new(plan)), pause: Mutex::default() })
    }

    pub fn set(&self, plan: impl FnMut(&str, &str) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// Lets each such call wait when it is done: `reached` gets a permit, and one of `go_on` is needed.
    pub fn pause_after(
        &self,
        call: &'static str,
        folder: &'static str,
        reached: Arc<Semaphore>,
        go_on: Arc<Semaphore>,
    ) {
        *self.pause.lock().unwrap() = Some(Pause { call, folder, reached, go_on });
    }

    async fn paused(&self, call: &str, path: &str) {
        let pause = self.pause.lock().unwrap().clone();
        let Some(pause) = pause.filter(|pause| pause.call == call && path.starts_with(pause.folder)) else {
            return;
        };
        pause.reached.add_permits(1);
        pause.go_on.acquire().await.unwrap().forget();
    }

    fn fault(&self, call: &str, path: &str) -> Fault {
        (self.plan.lock().unwrap())(call, path)
    }
}

fn broken() -> Error {
    Error::Generic { store: "faulty", source: "the wire is cut".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.fault("put", path.as_ref());
        if fault == Fault::Before {
            return Err(broken());
        }
        let done = self.inner.put_opts(path, payload, options).await?;
        self.paused("put", path.as_ref()).await;
        match fault {
            Fault::None | Fault::Before => Ok(done),
            Fault::After => Err(broken()),
            Fault::Twice => {
                Err(Error::AlreadyExists { path: path.to_string(), source: "already there".into() })
            }
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        match self.fault("get", path.as_ref()) {
            Fault::None => self.inner.get_opts(path, options).await,
            _ => Err(broken()),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fault("list", prefix.map_or("", |prefix| prefix.as_ref())) {
            Fault::None => self.inner.list(prefix),
            _ => Box::pin(futures_util::stream::once(async { Err(broken()) })),
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.fault("delete", "") {
            Fault::None => self.inner.delete_stream(paths),
            _ => Box::pin(futures_util::stream::once(async { Err(broken()) })),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        match self.fault("list", prefix.map_or("", |prefix| prefix.as_ref())) {
            Fault::None => self.inner.list_with_delimiter(prefix).await,
            _ => Err(broken()),
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}
