//! The description of one operation.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::path::{self, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    Content, ContentBuilder, HttpMethod, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder, Schema, Type,
};

use super::BEARER;
use super::schemas::Failure;

/// What an operation takes and answers. Its path says the rest, when it becomes a [route](crate::http::routes::Routes).
pub(in crate::http) struct Operation {
    tag: &'static str,
    summary: &'static str,
    for_callers: bool,
    headers: Vec<ParameterBuilder>,
    takes: Vec<Body>,
    needs_body: bool,
    answers: BTreeMap<StatusCode, Answer>,
}

struct Answer {
    description: String,
    bodies: Vec<Body>,
}

/// A body, in one way to write it.
pub(in crate::http) struct Body {
    content_type: &'static str,
    schema: Option<RefOr<Schema>>,
    schemas: Schemas,
}

/// Schemas by name.
pub(in crate::http) type Schemas = Vec<(String, RefOr<Schema>)>;

impl Body {
    pub(in crate::http) fn json<T: ToSchema>() -> Self {
        let mut schemas = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut schemas);
        let schema = Some(Ref::from_schema_name(T::name()).into());
        Self { content_type: "application/json", schema, schemas }
    }

    /// Text.
    pub(in crate::http) fn text(content_type: &'static str) -> Self {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        Self { content_type, schema: Some(Schema::Object(text).into()), schemas: Vec::new() }
    }

    /// What JSON has no word for.
    pub(in crate::http) fn other(content_type: &'static str) -> Self {
        Self { content_type, schema: None, schemas: Vec::new() }
    }

    fn content(&self) -> Content {
        ContentBuilder::new().schema(self.schema.clone()).build()
    }
}

impl Operation {
    /// An operation that is open to all and answers nothing yet.
    pub(in crate::http) fn new(tag: &'static str, summary: &'static str) -> Self {
        Self {
            tag,
            summary,
            for_callers: false,
            headers: Vec::new(),
            takes: Vec::new(),
            needs_body: true,
            answers: BTreeMap::new(),
        }
    }

    /// Callers are known, counted, and may be refused.
    pub(in crate::http) fn for_callers(mut self) -> Self {
        self.for_callers = true;
        self
    }

    /// An optional header.
    pub(in crate::http) fn header(mut self, name: &str, kind: Type, description: &str) -> Self {
        let minimum = (kind != Type::String).then_some(0.0);
        let schema = ObjectBuilder::new().schema_type(kind).minimum(minimum).build();
        let header = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(Schema::Object(schema)));
        self.headers.push(header);
        self
    }

    /// One way to write the body.
    pub(in crate::http) fn takes(mut self, body: Body) -> Self {
        self.takes.push(body);
        self
    }

    /// The body may be left out.
    pub(in crate::http) fn without_need_of_body(mut self) -> Self {
        self.needs_body = false;
        self
    }

    /// One way to write the answer of that status.
    pub(in crate::http) fn answers(mut self, status: StatusCode, description: &str, body: Body) -> Self {
        let new = || Answer { description: description.to_owned(), bodies: Vec::new() };
        self.answers.entry(status).or_insert_with(new).bodies.push(body);
        self
    }

    /// Failures in the usual form.
    pub(in crate::http) fn fails(self, statuses: &[StatusCode]) -> Self {
        self.fails_as::<Failure>(statuses)
    }

    /// Failures in the form `T`.
    pub(in crate::http) fn fails_as<T: ToSchema>(self, statuses: &[StatusCode]) -> Self {
        statuses
            .iter()
            .fold(self, |operation, status| operation.answers(*status, meaning(*status), Body::json::<T>()))
    }

    /// The operation of that method and path, and the schemas it refers to.
    pub(in crate::http) fn at(mut self, method: &HttpMethod, path: &str) -> (path::Operation, Schemas) {
        let mut schemas = Vec::new();
        let mut operation = OperationBuilder::new()
            .tag(self.tag)
            .summary(Some(self.summary))
            .operation_id(Some(operation_id(method, path)));
        if path.contains('{') {
            self = self.fails(&[StatusCode::BAD_REQUEST]);
        }
        if self.for_callers {
            operation = operation
                .security(SecurityRequirement::default())
                .security(SecurityRequirement::new(BEARER, [] as [&str; 0]));
        }
        for variable in path.split('/').filter_map(variable) {
            let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).build();
            operation = operation.parameter(
                ParameterBuilder::new()
                    .name(variable)
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .schema(Some(Schema::Object(text))),
            );
        }
        for header in self.headers {
            operation = operation.parameter(header);
        }
        if !self.takes.is_empty() {
            let needed = if self.needs_body { Required::True } else { Required::False };
            let mut request = RequestBodyBuilder::new().required(Some(needed));
            for body in self.takes {
                request = request.content(body.content_type, body.content());
                schemas.extend(body.schemas);
            }
            operation = operation.request_body(Some(request.build()));
        }
        for (status, answer) in self.answers {
            let mut response = ResponseBuilder::new().description(answer.description);
            for body in answer.bodies {
                response = response.content(body.content_type, body.content());
                schemas.extend(body.schemas);
            }
            operation = operation.response(status.as_str(), response.build());
        }
        (operation.build(), schemas)
    }
}

/// `{model}:predict` has the variable `model`.
fn variable(segment: &str) -> Option<&str> {
    Some(segment.split_once('{')?.1.split_once('}')?.0)
}

fn operation_id(method: &HttpMethod, path: &str) -> String {
    let method = if *method == HttpMethod::Get { "get" } else { "post" };
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |id, word| id + "_" + word)
}

fn meaning(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "The request is wrong in a way that the message explains.",
        401 => "The caller is not known: no credentials came, or wrong ones.",
        403 => "The caller may not do this.",
        404 => "There is nothing of that name.",
        408 => "The body came too slowly.",
        409 => "Something else was changed at the same time.",
        413 => "The body is above the limit of this server.",
        415 => "The body is of no type that is read here.",
        429 => "Too many requests. Retry later, as the header `Retry-After` says.",
        500 => "The model failed. The server's log has the details.",
        503 => "The model or the server takes no requests now.",
        504 => "The answer did not come in time.",
        _ => "",
    }
}
