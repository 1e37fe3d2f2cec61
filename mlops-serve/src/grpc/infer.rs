//! Predictions.

use std::sync::Arc;

use mlops_core::{Request, Response, Result, Tensor};
use serde_json::Value;

use super::inbound::Inbound;
use super::protocol::infer_parameter::ParameterChoice;
use super::protocol::{InferParameter, ModelInferRequest, ModelInferResponse};
use super::tensors::{self, Form, Written};
use super::version;
use crate::server::access::Verb;
use crate::server::{Parameters, Served, Service, wire};

/// Answers a request that carries no id as if it carried `id`.
pub(super) async fn infer(
    service: &Service,
    inbound: &Inbound,
    mut message: ModelInferRequest,
    id: impl FnOnce() -> Arc<str>,
) -> Result<ModelInferResponse> {
    let name = &message.model_name;
    let served = service.served(&inbound.caller, Verb::Infer, name, version(&message.model_version))?;
    tensors::check_requested(&message.outputs)?;
    wire::check_wanted(message.outputs.iter().map(|output| output.name.as_str()), served.signature())?;
    let (inputs, form) = tensors::read(message.inputs, message.raw_input_contents)?;
    let id = if message.id.is_empty() { id() } else { message.id.as_str().into() };
    let mut request = Request::new(inputs).with_id(Arc::clone(&id));
    request.deadline = inbound.deadline;
    if !message.parameters.is_empty() {
        let parameters = message.parameters.into_iter().map(|(name, parameter)| (name, value(parameter)));
        let parameters = parameters.collect::<Parameters>();
        request = request.with_context(parameters.routing_context()?).with_priority(parameters.priority()?);
        let asked = parameters.timeout()?.and_then(|timeout| inbound.arrived.checked_add(timeout));
        request.deadline = [asked, inbound.deadline].into_iter().flatten().min();
    }
    let response = service.predict(&served, request).await?;
    if message.id.is_empty() {
        message.id = id.as_ref().to_owned();
    }
    let wanted = message.outputs.iter().map(|output| output.name.as_str());
    answer(&served, message.id, &response, wanted, form)
}

fn answer<'a>(
    served: &'a Served,
    id: String,
    response: &'a Response,
    wanted: impl ExactSizeIterator<Item = &'a str>,
    form: Form,
) -> Result<ModelInferResponse> {
    let output = |name: &'a str| Some((name, response.outputs.get(name)?));
    let outputs: Vec<(&str, &Tensor)> = if wanted.len() == 0 {
        served.signature().outputs().iter().filter_map(|spec| output(spec.name())).collect()
    } else {
        wanted.filter_map(output).collect()
    };
    let Written { outputs, raw } = tensors::write(&outputs, form)?;
    let version = response.model.as_ref().map(|id| &id.version).or(served.version());
    let mut answer = ModelInferResponse {
        model_name: served.name().to_string(),
        model_version: version.map(ToString::to_string).unwrap_or_default(),
        id,
        outputs,
        raw_output_contents: raw,
        ..ModelInferResponse::default()
    };
    if let Some(variant) = &response.variant {
        answer.parameters.insert("variant".to_owned(), text(variant.to_string()));
    }
    if let Some(reason) = &response.reason {
        answer.parameters.insert("routing_reason".to_owned(), text(reason.to_string()));
    }
    Ok(answer)
}

fn text(text: String) -> InferParameter {
    InferParameter { parameter_choice: Some(ParameterChoice::StringParam(text)) }
}

fn value(parameter: InferParameter) -> Value {
    match parameter.parameter_choice {
        None => Value::Null,
        Some(ParameterChoice::BoolParam(value)) => value.into(),
        Some(ParameterChoice::Int64Param(value)) => value.into(),
        Some(ParameterChoice::StringParam(value)) => value.into(),
        Some(ParameterChoice::DoubleParam(value)) => value.into(),
        Some(ParameterChoice::Uint64Param(value)) => value.into(),
    }
}
