//! Triton's objects, without their pointers.

use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr;
use std::sync::LazyLock;
use std::time::Instant;

use serde::Deserialize;

use crate::abi::{self, Input, Instance, Message, Model, Output, Request, Response, Status};
use crate::session::Settings;

pub type Failure = Box<dyn Error>;

/// What a function of Triton says.
pub fn check(status: Status) -> Result<(), Failure> {
    if status.is_null() {
        return Ok(());
    }
    let message = unsafe { CStr::from_ptr(abi::TRITONSERVER_ErrorMessage(status)) };
    let failure = message.to_string_lossy().into_owned();
    unsafe { abi::TRITONSERVER_ErrorDelete(status) };
    Err(failure.into())
}

/// What Triton is told.
pub fn status(result: Result<(), Failure>) -> Status {
    result.err().map_or(ptr::null_mut(), |cause| fault(&cause))
}

fn fault(cause: &Failure) -> Status {
    let message = CString::new(cause.to_string()).unwrap_or_default();
    unsafe { abi::TRITONSERVER_ErrorNew(abi::ERROR_INTERNAL, message.as_ptr()) }
}

/// What the model's configuration says.
pub fn settings(instance: *mut Instance) -> Result<Settings, Failure> {
    let mut model: *mut Model = ptr::null_mut();
    check(unsafe { abi::TRITONBACKEND_ModelInstanceModel(instance, &mut model) })?;
    let (mut artifact, mut folder, mut version) = (0, ptr::null(), 0);
    check(unsafe { abi::TRITONBACKEND_ModelRepository(model, &mut artifact, &mut folder) })?;
    check(unsafe { abi::TRITONBACKEND_ModelVersion(model, &mut version) })?;
    let folder = unsafe { CStr::from_ptr(folder) }.to_str()?;
    let threads = Configuration::of(model)?.parameters.intra_op_thread_count;
    Ok(Settings {
        model: Path::new(folder).join(version.to_string()).join("model.onnx"),
        threads: threads.map_or(Ok(1), |threads| threads.string_value.parse())?,
    })
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    intra_op_thread_count: Option<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    string_value: String,
}

impl Configuration {
    fn of(model: *mut Model) -> Result<Self, Failure> {
        let mut message: *mut Message = ptr::null_mut();
        check(unsafe { abi::TRITONBACKEND_ModelConfig(model, 1, &mut message) })?;
        let (mut text, mut length): (*const c_char, usize) = (ptr::null(), 0);
        let serialized =
            check(unsafe { abi::TRITONSERVER_MessageSerializeToJson(message, &mut text, &mut length) });
        let configuration = serialized.and_then(|()| {
            let json = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
            Ok(serde_json::from_slice(json)?)
        });
        check(unsafe { abi::TRITONSERVER_MessageDelete(message) })?;
        configuration
    }
}

/// The bytes of an input, where Triton keeps them. They live as long as the request.
pub fn input<'a>(request: *mut Request, name: &CStr) -> Result<&'a [u8], Failure> {
    let mut input: *mut Input = ptr::null_mut();
    check(unsafe { abi::TRITONBACKEND_RequestInput(request, name.as_ptr(), &mut input) })?;
    let (mut data_type, mut buffers) = (0, 0);
    check(unsafe {
        abi::TRITONBACKEND_InputProperties(
            input,
            ptr::null_mut(),
            &mut data_type,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &mut buffers,
        )
    })?;
    if data_type != abi::TYPE_FP32 || buffers != 1 {
        return Err(
            format!("an input of type {data_type} in {buffers} buffers; one of FP32 is known here").into()
        );
    }
    let (mut buffer, mut size): (*const c_void, u64) = (ptr::null(), 0);
    let (mut memory, mut memory_id) = (abi::MEMORY_CPU, 0);
    check(unsafe {
        abi::TRITONBACKEND_InputBuffer(input, 0, &mut buffer, &mut size, &mut memory, &mut memory_id)
    })?;
    Ok(unsafe { std::slice::from_raw_parts(buffer.cast(), size as usize) })
}

/// Answers a request with one output.
pub fn respond(request: *mut Request, name: &CStr, shape: [i64; 2], numbers: &[f32]) -> Result<(), Failure> {
    let mut response: *mut Response = ptr::null_mut();
    check(unsafe { abi::TRITONBACKEND_ResponseNew(&mut response, request) })?;
    let mut output: *mut Output = ptr::null_mut();
    check(unsafe {
        abi::TRITONBACKEND_ResponseOutput(
            response,
            &mut output,
            name.as_ptr(),
            abi::TYPE_FP32,
            shape.as_ptr(),
            shape.len() as u32,
        )
    })?;
    let mut buffer: *mut c_void = ptr::null_mut();
    let (mut memory, mut memory_id) = (abi::MEMORY_CPU, 0);
    let size = size_of_val(numbers);
    check(unsafe {
        abi::TRITONBACKEND_OutputBuffer(output, &mut buffer, size as u64, &mut memory, &mut memory_id)
    })?;
    unsafe { ptr::copy_nonoverlapping(numbers.as_ptr().cast::<u8>(), buffer.cast::<u8>(), size) };
    check(unsafe { abi::TRITONBACKEND_ResponseSend(response, abi::RESPONSE_FINAL, ptr::null_mut()) })
}

/// Answers a request with what went wrong.
pub fn refuse(request: *mut Request, cause: &Failure) {
    let mut response: *mut Response = ptr::null_mut();
    let sent = check(unsafe { abi::TRITONBACKEND_ResponseNew(&mut response, request) }).and_then(|()| {
        check(unsafe { abi::TRITONBACKEND_ResponseSend(response, abi::RESPONSE_FINAL, fault(cause)) })
    });
    report(sent);
}

/// Gives the request back.
pub fn release(request: *mut Request) {
    report(check(unsafe { abi::TRITONBACKEND_RequestRelease(request, abi::RELEASE_ALL) }));
}

/// When what happened, for Triton's statistics.
#[derive(Debug, Clone, Copy)]
pub struct Stamps {
    began: u64,
    compute_began: u64,
    compute_ended: u64,
    ended: u64,
}

impl Stamps {
    pub fn begin() -> Self {
        let began = now();
        Self { began, compute_began: began, compute_ended: began, ended: began }
    }

    pub fn compute_begins(&mut self) {
        self.compute_began = now();
    }

    pub fn compute_ends(&mut self) {
        self.compute_ended = now();
    }

    pub fn end(&mut self) {
        self.ended = now();
    }

    pub fn report(&self, instance: *mut Instance, request: *mut Request, success: bool) {
        let Self { began, compute_began, compute_ended, ended } = *self;
        report(check(unsafe {
            abi::TRITONBACKEND_ModelInstanceReportStatistics(
                instance,
                request,
                success,
                began,
                compute_began,
                compute_ended,
                ended,
            )
        }));
    }

    pub fn report_batch(&self, instance: *mut Instance, rows: usize) {
        let Self { began, compute_began, compute_ended, ended } = *self;
        report(check(unsafe {
            abi::TRITONBACKEND_ModelInstanceReportBatchStatistics(
                instance,
                rows as u64,
                began,
                compute_began,
                compute_ended,
                ended,
            )
        }));
    }
}

/// Nanoseconds since some moment before; never 0.
fn now() -> u64 {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    1 + ORIGIN.elapsed().as_nanos() as u64
}

/// What goes wrong after the answer can only be logged.
fn report(result: Result<(), Failure>) {
    if let Err(cause) = result {
        eprintln!("triton_onnxruntime: {cause}");
    }
}
