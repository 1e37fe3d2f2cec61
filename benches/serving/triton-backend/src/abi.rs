//! The part of [Triton's backend API](https://github.com/triton-inference-server/core/blob/main/include/triton/core/tritonbackend.h)
//! that this backend calls. `tritonserver` has these functions.

use std::ffi::{c_char, c_void};

/// Declares types of which only pointers are known.
macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        pub struct $name {
            _private: [u8; 0],
        }
    )*};
}

opaque!(Fault, Message, Model, Instance, Request, Input, Response, Output);

pub const ERROR_INTERNAL: u32 = 1;
pub const TYPE_FP32: u32 = 11;
pub const MEMORY_CPU: u32 = 0;
pub const RESPONSE_FINAL: u32 = 1;
pub const RELEASE_ALL: u32 = 1;

/// Null where all went well.
pub type Status = *mut Fault;

unsafe extern "C" {
    pub fn TRITONSERVER_ErrorNew(code: u32, message: *const c_char) -> Status;
    pub fn TRITONSERVER_ErrorMessage(error: Status) -> *const c_char;
    pub fn TRITONSERVER_ErrorDelete(error: Status);
    pub fn TRITONSERVER_MessageSerializeToJson(
        message: *mut Message,
        base: *mut *const c_char,
        byte_size: *mut usize,
    ) -> Status;
    pub fn TRITONSERVER_MessageDelete(message: *mut Message) -> Status;
    pub fn TRITONBACKEND_ModelConfig(model: *mut Model, version: u32, config: *mut *mut Message) -> Status;
    pub fn TRITONBACKEND_ModelRepository(
        model: *mut Model,
        artifact_type: *mut u32,
        location: *mut *const c_char,
    ) -> Status;
    pub fn TRITONBACKEND_ModelVersion(model: *mut Model, version: *mut u64) -> Status;
    pub fn TRITONBACKEND_ModelInstanceModel(instance: *mut Instance, model: *mut *mut Model) -> Status;
    pub fn TRITONBACKEND_ModelInstanceState(instance: *mut Instance, state: *mut *mut c_void) -> Status;
    pub fn TRITONBACKEND_ModelInstanceSetState(instance: *mut Instance, state: *mut c_void) -> Status;
    pub fn TRITONBACKEND_ModelInstanceReportStatistics(
        instance: *mut Instance,
        request: *mut Request,
        success: bool,
        execution_began: u64,
        compute_began: u64,
        compute_ended: u64,
        execution_ended: u64,
    ) -> Status;
    pub fn TRITONBACKEND_ModelInstanceReportBatchStatistics(
        instance: *mut Instance,
        rows: u64,
        execution_began: u64,
        compute_began: u64,
        compute_ended: u64,
        execution_ended: u64,
    ) -> Status;
    pub fn TRITONBACKEND_RequestInput(
        request: *mut Request,
        name: *const c_char,
        input: *mut *mut Input,
    ) -> Status;
    pub fn TRITONBACKEND_RequestRelease(request: *mut Request, flags: u32) -> Status;
    pub fn TRITONBACKEND_InputProperties(
        input: *mut Input,
        name: *mut *const c_char,
        data_type: *mut u32,
        shape: *mut *const i64,
        rank: *mut u32,
        byte_size: *mut u64,
        buffer_count: *mut u32,
    ) -> Status;
    pub fn TRITONBACKEND_InputBuffer(
        input: *mut Input,
        index: u32,
        buffer: *mut *const c_void,
        byte_size: *mut u64,
        memory_type: *mut u32,
        memory_id: *mut i64,
    ) -> Status;
    pub fn TRITONBACKEND_ResponseNew(response: *mut *mut Response, request: *mut Request) -> Status;
    pub fn TRITONBACKEND_ResponseOutput(
        response: *mut Response,
        output: *mut *mut Output,
        name: *const c_char,
        data_type: u32,
        shape: *const i64,
        rank: u32,
    ) -> Status;
    pub fn TRITONBACKEND_OutputBuffer(
        output: *mut Output,
        buffer: *mut *mut c_void,
        byte_size: u64,
        memory_type: *mut u32,
        memory_id: *mut i64,
    ) -> Status;
    pub fn TRITONBACKEND_ResponseSend(response: *mut Response, flags: u32, error: Status) -> Status;
}
