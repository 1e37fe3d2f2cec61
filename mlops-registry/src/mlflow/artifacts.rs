//! Artifacts in the server's artifact proxy.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use mlops_core::{Artifact, ByteStream, Digester, Error, Result};
use url::Url;

use super::failure::{away, late};
use super::rest::{PATIENCE, Rest};
use super::{mlmodel, names};
use crate::limits;

/// Files that are read at once, for their digests.
const AT_ONCE: usize = 4;

/// How deep folders may be in each other.
const MAX_DEPTH: usize = 32;

/// Digests of files that were read before. What MLflow stores is written once, so that they are read once.
#[derive(Debug, Default)]
pub(crate) struct Digests(Mutex<HashMap<(String, u64), Artifact>>);

/// A file that one of MLflow's own clients has stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// Its path in the proxy.
    pub(crate) path: String,
    pub(crate) size: u64,
}

/// The folder in the proxy of the server at `root` that a URI means.
///
/// `Unsupported` when the artifacts are elsewhere, where only MLflow's own clients find them.
pub(crate) fn folder(uri: &str, root: &Url) -> Result<String> {
    let path = uri.strip_prefix("mlflow-artifacts:").and_then(|rest| match rest.strip_prefix("//") {
        Some(rest) => {
            let (host, path) = rest.split_once('/')?;
            let port = root.port().map_or_else(String::new, |port| format!(":{port}"));
            let here = format!("{}{port}", root.host_str()?);
            (host.is_empty() || host == here).then_some(path)
        }
        None => Some(rest),
    });
    let path = path.map(|path| path.trim_matches('/')).filter(|path| !path.is_empty());
    path.map(str::to_owned).ok_or_else(|| {
        Error::unsupported(format!(
            "the artifacts in `{}` are not in the artifact proxy of {root}; start the server with `--serve-artifacts`",
            uri.chars().take(200).flat_map(char::escape_debug).collect::<String>()
        ))
    })
}

/// All files in a folder and the folders in it, under names that artifacts can have.
pub(crate) async fn stored(rest: &Rest, folder: &str) -> Result<BTreeMap<String, Stored>> {
    let mut files: BTreeMap<String, u64> = BTreeMap::new();
    let mut folders = vec![(String::new(), 0)];
    while let Some((inner, depth)) = folders.pop() {
        let listed = if inner.is_empty() { folder.to_owned() } else { format!("{folder}/{inner}") };
        for file in rest.list(&listed).await? {
            let path = if inner.is_empty() { file.path } else { format!("{inner}/{}", file.path) };
            if file.is_dir && depth < MAX_DEPTH {
                folders.push((path, depth + 1));
            } else if !file.is_dir {
                files.insert(path, u64::try_from(file.file_size).unwrap_or_default());
            }
            if files.len() + folders.len() > limits::MAX_ENTRIES {
                return Err(Error::unsupported(format!(
                    "there are more than {} files in `{folder}` of {}; they are too many artifacts",
                    limits::MAX_ENTRIES,
                    rest.root()
                )));
            }
        }
    }
    let named = names::of_paths(files.keys().map(String::as_str));
    let stored = named.into_iter().map(|(name, path)| {
        let size = files.get(path).copied().unwrap_or_default();
        (name, Stored { path: format!("{folder}/{path}"), size })
    });
    Ok(stored.collect())
}

/// The signature that MLflow keeps beside a model; none if it cannot be told.
pub(crate) async fn signature(
    rest: &Rest,
    files: &BTreeMap<String, Stored>,
) -> Result<Option<mlops_core::Signature>> {
    let Some(file) = files.get("MLmodel").filter(|file| file.size <= mlmodel::MAX_BYTES as u64) else {
        return Ok(None);
    };
    let expected = Expected { what: "MLmodel".to_owned(), size: file.size, digest: None };
    let bytes = collect(read(rest, &file.path, expected).await?).await?;
    Ok(String::from_utf8(bytes).ok().and_then(|text| mlmodel::signature(&text)))
}

impl Digests {
    /// What these files are, by reading those that were not read before.
    pub(crate) async fn of(
        &self,
        rest: &Rest,
        files: &BTreeMap<String, Stored>,
    ) -> Result<BTreeMap<String, Artifact>> {
        let mut described = Vec::new();
        for (name, file) in files {
            described.push(async move { Ok((name.clone(), self.of_file(rest, file).await?)) });
        }
        stream::iter(described).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn of_file(&self, rest: &Rest, Stored { path, size }: &Stored) -> Result<Artifact> {
        let key = (path.clone(), *size);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let expected = Expected { what: format!("`{path}`"), size: *size, digest: None };
        let mut digester = Digester::new();
        let mut pieces = read(rest, path, expected).await?;
        while let Some(piece) = pieces.try_next().await? {
            digester.update(&piece);
        }
        let artifact = Artifact { digest: digester.finish(), size: *size };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, artifact);
        Ok(artifact)
    }
}

/// What a file must turn out to be.
pub(crate) struct Expected {
    /// Its name in errors.
    pub(crate) what: String,
    pub(crate) size: u64,
    pub(crate) digest: Option<mlops_core::Digest>,
}

/// The bytes of a file, which are proven on their way.
pub(crate) async fn read(rest: &Rest, path: &str, expected: Expected) -> Result<ByteStream> {
    let answer = rest.download(path).await?.into_body();
    let reading = Reading { answer: Some(answer), expected, digester: Digester::new(), size: 0 };
    Ok(Box::pin(stream::try_unfold(reading, async |mut reading| {
        Ok(reading.next().await?.map(|piece| (piece, reading)))
    })))
}

/// All the bytes of a stream.
pub(crate) async fn collect(mut pieces: ByteStream) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

struct Reading {
    /// `None` when it is read to its end.
    answer: Option<Incoming>,
    expected: Expected,
    digester: Digester,
    size: u64,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Expected { what, size, digest } = &self.expected;
        let Some(answer) = &mut self.answer else { return Ok(None) };
        let download = format!("the download of {what}");
        let frame = tokio::time::timeout(PATIENCE, answer.frame()).await.map_err(|_| late(&download))?;
        if let Some(frame) = frame.transpose().map_err(|cause| away(&download, cause))? {
            let piece = frame.into_data().unwrap_or_default();
            self.size += piece.len() as u64;
            if self.size > *size {
                return Err(Error::integrity(format!("{what} has more than {size} bytes")));
            }
            self.digester.update(&piece);
            return Ok(Some(piece));
        }
        self.answer = None;
        if self.size < *size {
            return Err(Error::integrity(format!("{what} has {} bytes instead of {size}", self.size)));
        }
        let actual = std::mem::take(&mut self.digester).finish();
        match digest {
            Some(digest) if *digest != actual => Err(Error::integrity(format!(
                "{what} should have digest {digest}, but its {size} bytes have {actual}"
            ))),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_the_proxy_is_found() {
        let root = Url::parse("http://host:5000/").unwrap();
        for (uri, expected) in [
            ("mlflow-artifacts:/1/abc/artifacts/model", Some("1/abc/artifacts/model")),
            ("mlflow-artifacts://host:5000/1/abc", Some("1/abc")),
            ("mlflow-artifacts:///1/abc", Some("1/abc")),
            ("mlflow-artifacts://other:5000/1/abc", None),
            ("mlflow-artifacts:/", None),
            ("s3://bucket/1/abc", None),
            ("/mlruns/1/abc", None),
        ] {
            assert_eq!(folder(uri, &root).ok().as_deref(), expected, "{uri}");
        }
    }
}
