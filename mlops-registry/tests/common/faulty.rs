//! A store that fails when it is told to.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use mlops_registry::reexports::object_store::memory::InMemory;
use mlops_registry::reexports::object_store::path::Path;
use mlops_registry::reexports::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
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
    /// What is to be created is, and then somebody else is said to have been faster: a lost answer, asked for again.
    /// Anything else works.
    Twice,
    /// Nothing happens, and no answer ever comes.
    Silence,
    /// It takes effect, and no answer ever comes.
    SilenceAfter,
    /// It takes effect after a while.
    Late,
    /// A listing lacks what comes last; anything else works.
    Torn,
    /// A listing lacks its second half; anything else works.
    CutOff,
}

/// Decides on each call by what it is and where: `get`, `put`, `list`, `delete`; of an upload in pieces `begin`, `part`,
/// `complete` and `abort`.
pub type Plan = Box<dyn FnMut(&str, &str) -> Fault + Send>;

/// A store in memory with faults.
pub struct Faulty {
    pub inner: Arc<InMemory>,
    plan: Arc<Mutex<Plan>>,
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
        Arc::new(Self { inner, plan: Arc::new(Mutex::new(Box::new(plan))), pause: Mutex::default() })
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
        fault(&self.plan, call, path)
    }
}

fn fault(plan: &Mutex<Plan>, call: &str, path: &str) -> Fault {
    (plan.lock().unwrap())(call, path)
}

fn broken() -> Error {
    Error::Generic { store: "faulty", source: "the wire is cut".into() }
}

/// Does what the fault makes of a call.
async fn suffer<T>(fault: Fault, call: impl Future<Output = Result<T>>) -> Result<T> {
    match fault {
        Fault::Before => return Err(broken()),
        Fault::Silence => std::future::pending().await,
        Fault::Late => tokio::time::sleep(Duration::from_millis(5)).await,
        _ => {}
    }
    let done = call.await;
    match fault {
        Fault::After => Err(broken()),
        Fault::SilenceAfter => std::future::pending().await,
        _ => done,
    }
}

fn tear<T>(fault: Fault, mut listed: Vec<T>) -> Vec<T> {
    match fault {
        Fault::Torn => drop(listed.pop()),
        Fault::CutOff => listed.truncate(listed.len() / 2),
        _ => {}
    }
    listed
}

/// An upload in pieces, with the faults of its store.
struct Upload {
    inner: Box<dyn MultipartUpload>,
    plan: Arc<Mutex<Plan>>,
    path: Path,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload of {}", self.path)
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let fault = fault(&self.plan, "part", self.path.as_ref());
        let part = self.inner.put_part(data);
        async move { suffer(fault, part).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = fault(&self.plan, "complete", self.path.as_ref());
        suffer(fault, self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        let fault = fault(&self.plan, "abort", self.path.as_ref());
        suffer(fault, self.inner.abort()).await
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (fault, create) = (self.fault("put", path.as_ref()), options.mode == PutMode::Create);
        let call = async {
            let done = self.inner.put_opts(path, payload, options).await?;
            self.paused("put", path.as_ref()).await;
            match fault {
                Fault::Twice if create => {
                    Err(Error::AlreadyExists { path: path.to_string(), source: "already there".into() })
                }
                _ => Ok(done),
            }
        };
        suffer(fault, call).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let call = async {
            let done = self.inner.get_opts(path, options).await;
            self.paused("get", path.as_ref()).await;
            done
        };
        suffer(self.fault("get", path.as_ref()), call).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let fault = self.fault("list", prefix.map_or("", |prefix| prefix.as_ref()));
        let listed = self.inner.list(prefix);
        let torn = async move { suffer(fault, listed.try_collect()).await.map(|listed| tear(fault, listed)) };
        torn.map_ok(|listed: Vec<_>| stream::iter(listed.into_iter().map(Ok))).try_flatten_stream().boxed()
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let call = self.inner.put_multipart_opts(path, options);
        let inner = suffer(self.fault("begin", path.as_ref()), call).await?;
        Ok(Box::new(Upload { inner, plan: Arc::clone(&self.plan), path: path.clone() }))
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (plan, inner) = (Arc::clone(&self.plan), Arc::clone(&self.inner));
        Box::pin(paths.and_then(move |path| {
            let (fault, inner) = (fault(&plan, "delete", path.as_ref()), Arc::clone(&inner));
            async move { suffer(fault, inner.delete(&path)).await.map(|()| path) }
        }))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        let fault = self.fault("list", path.as_ref());
        let ListResult { common_prefixes, objects, extensions } =
            suffer(fault, self.inner.list_with_delimiter(prefix)).await?;
        let (common_prefixes, objects) = (tear(fault, common_prefixes), tear(fault, objects));
        Ok(ListResult { common_prefixes, objects, extensions })
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
