//! The routes of the fronts, each with its description: none can be added without.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Request;
use axum::handler::{Handler, Layered};
use axum::http::{StatusCode, header};
use axum::routing::{MethodRouter, any, get, post};
use bytes::Bytes;
use utoipa::openapi::{HttpMethod, Paths};

use super::Failure;
use super::openapi::{self, Operation};
use crate::server::{Service, Trace};

/// A router, and what makes the OpenAPI document of the same routes when somebody asks for it: few do, and it takes
/// more memory than all else that a server starts with.
pub(super) struct Routes {
    router: Router<Service>,
    documented: Vec<Documented>,
}

/// One operation of the document.
struct Documented {
    method: HttpMethod,
    path: String,
    describe: Box<dyn Fn() -> Operation + Send + Sync>,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self { router: Router::new(), documented: Vec::new() }
    }

    pub(super) fn get<H, T, D>(self, path: &str, handler: H, describe: D) -> Self
    where
        H: Handler<T, Service>,
        T: 'static,
        D: Fn() -> Operation + Send + Sync + 'static,
    {
        self.route(path, get(traced(handler))).documented(HttpMethod::Get, path, describe)
    }

    pub(super) fn post<H, T, D>(self, path: &str, handler: H, describe: D) -> Self
    where
        H: Handler<T, Service>,
        T: 'static,
        D: Fn() -> Operation + Send + Sync + 'static,
    {
        self.route(path, post(traced(handler))).documented(HttpMethod::Post, path, describe)
    }

    /// A route of all methods, whose operations are [`documented`](Self::documented) apart, because their paths are finer
    /// than axum's.
    pub(super) fn any<H, T>(self, path: &str, handler: H) -> Self
    where
        H: Handler<T, Service>,
        T: 'static,
    {
        self.route(path, any(traced(handler)))
    }

    fn route(mut self, path: &str, methods: MethodRouter<Service>) -> Self {
        self.router = self.router.route(path, methods);
        self
    }

    pub(super) fn documented(
        mut self,
        method: HttpMethod,
        path: &str,
        describe: impl Fn() -> Operation + Send + Sync + 'static,
    ) -> Self {
        self.documented.push(Documented { method, path: path.to_owned(), describe: Box::new(describe) });
        self
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.documented.extend(other.documented);
        self
    }

    /// The documented path that requests of that path come to, whatever their method, and its methods.
    pub(super) fn taking(&self, path: &str) -> Option<(&str, Vec<&HttpMethod>)> {
        let template =
            self.documented.iter().map(|known| known.path.as_str()).find(|known| takes(known, path))?;
        let same = self.documented.iter().filter(|known| known.path == template);
        Some((template, same.map(|known| &known.method).collect()))
    }

    /// The router, and the document at its place. It answers wrong methods of its own paths, and leaves all other paths
    /// to the application around it.
    pub(super) fn into_router(self) -> Router<Service> {
        let Self { router, documented } = self;
        let document = Arc::new(LazyLock::new(move || document(&documented)));
        let answer = async move || ([(header::CONTENT_TYPE, "application/json")], Bytes::clone(&document));
        router
            .route(openapi::PATH, get(traced(answer)))
            .method_not_allowed_fallback(traced(method_not_allowed))
    }
}

fn document(documented: &[Documented]) -> Bytes {
    let (mut paths, mut schemas) = (Paths::new(), BTreeMap::new());
    for Documented { method, path, describe } in documented {
        let (operation, used) = describe().at(method, path);
        schemas.extend(used);
        paths.add_path_operation(path, vec![method.clone()], operation);
    }
    // The keys of the document are text, so it is JSON.
    openapi::document(paths, schemas).to_json().unwrap_or_default().into()
}

/// Traced at the handler: a layer around the routes would box every request and answer once more.
fn traced<H, T>(handler: H) -> Layered<Trace, H, T, Service>
where
    H: Handler<T, Service>,
    T: 'static,
{
    handler.layer(Trace)
}

/// The header `Allow` is set by axum.
async fn method_not_allowed(request: Request) -> Failure {
    let what = format!("{} is no method of {}", request.method(), request.uri().path());
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, what)
}

/// Whether `path` has the form of `template`, in which `{name}` stands for any part of a segment without a colon.
fn takes(template: &str, path: &str) -> bool {
    let (mut templates, mut segments) = (template.split('/'), path.split('/'));
    loop {
        match (templates.next(), segments.next()) {
            (None, None) => return true,
            (Some(template), Some(segment)) if segment_takes(template, segment) => {}
            _ => return false,
        }
    }
}

fn segment_takes(template: &str, segment: &str) -> bool {
    match (template.find('{'), template.find('}')) {
        (Some(start), Some(end)) => segment
            .strip_prefix(&template[..start])
            .and_then(|rest| rest.strip_suffix(&template[end + 1..]))
            .is_some_and(|variable| !variable.is_empty() && !variable.contains(':')),
        _ => template == segment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_take_paths_segment_by_segment() {
        assert!(takes("/v2/models/{model}/ready", "/v2/models/a/ready"));
        assert!(takes("/v1/models/{model}:predict", "/v1/models/a:predict"));
        assert!(!takes("/v1/models/{model}:predict", "/v1/models/a"));
        assert!(!takes("/v1/models/{model}", "/v1/models/a:predict"));
        assert!(!takes("/v1/models/{model}:predict", "/v1/models/:predict"));
        assert!(!takes("/v2/models/{model}", "/v2/models/a/ready"));
        assert!(!takes("/v2/models/{model}/ready", "/v2/models/a"));
        assert!(takes("/health", "/health"));
    }
}
