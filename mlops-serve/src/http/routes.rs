//! The routes of the fronts, each with its description: none can be added without.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::{StatusCode, header};
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use utoipa::openapi::{HttpMethod, PathItem, Paths, RefOr, Schema};

use super::Failure;
use super::openapi::{self, Operation};
use crate::server::Service;

/// A router, and the OpenAPI document of the same routes.
pub(super) struct Routes {
    router: Router<Service>,
    paths: Paths,
    schemas: BTreeMap<String, RefOr<Schema>>,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self { router: Router::new(), paths: Paths::new(), schemas: BTreeMap::new() }
    }

    pub(super) fn get<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Service>,
        T: 'static,
    {
        self.route(path, get(handler)).documented(HttpMethod::Get, path, operation)
    }

    pub(super) fn post<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Service>,
        T: 'static,
    {
        self.route(path, post(handler)).documented(HttpMethod::Post, path, operation)
    }

    /// A route whose operations are [`documented`](Self::documented) apart, because their paths are finer than axum's.
    pub(super) fn route(mut self, path: &str, methods: MethodRouter<Service>) -> Self {
        self.router = self.router.route(path, methods);
        self
    }

    pub(super) fn documented(mut self, method: HttpMethod, path: &str, operation: Operation) -> Self {
        let (operation, schemas) = operation.at(&method, path);
        self.schemas.extend(schemas);
        self.paths.add_path_operation(path, vec![method], operation);
        self
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.paths.merge(other.paths);
        self.schemas.extend(other.schemas);
        self
    }

    /// The documented path that requests of that path come to, whatever their method, and its operations.
    pub(super) fn taking(&self, path: &str) -> Option<(&str, &PathItem)> {
        let mut taking = self.paths.paths.iter().filter(|(template, _)| takes(template, path));
        taking.next().map(|(template, item)| (template.as_str(), item))
    }

    /// The router, and the document at its place. It answers wrong methods of its own paths, and leaves all other paths
    /// to the application around it.
    pub(super) fn into_router(self) -> Router<Service> {
        // The keys of the document are text, so it is JSON.
        let document = Bytes::from(openapi::document(self.paths, self.schemas).to_json().unwrap_or_default());
        let answer = async move || ([(header::CONTENT_TYPE, "application/json")], document.clone());
        self.router.route(openapi::PATH, get(answer)).method_not_allowed_fallback(method_not_allowed)
    }
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
