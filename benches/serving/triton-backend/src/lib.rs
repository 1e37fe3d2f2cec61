//! ONNX Runtime as a backend of Triton.
//!
//! NVIDIA ships Triton's own ONNX Runtime backend in containers only; the wheel `nvidia-pytriton` has the same
//! `tritonserver` with none but the Python backend. This one does the work of the original: it joins the requests that
//! Triton hands over into one batch, runs the session, and divides the outputs. It takes models of one FP32 input and
//! one FP32 output whose first dimension is the batch, and reads two of the original's settings: `intra_op_thread_count`
//! and the file `model.onnx` in the folder of the version.
//!
//! Triton finds it as `onnxruntime/libtriton_onnxruntime.so` under `--backend-directory`; `ORT_DYLIB_PATH` names ONNX
//! Runtime's own library.

mod abi;
mod session;
mod triton;

use std::ffi::c_void;
use std::ptr;

use abi::{Instance, Request, Status};
use session::Session;
use triton::{Failure, Stamps, check, status};

/// Loads the model.
///
/// # Safety
/// Triton calls it, once, with an instance that lives until [`TRITONBACKEND_ModelInstanceFinalize`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceInitialize(instance: *mut Instance) -> Status {
    status((|| {
        let session = Box::new(Session::load(&triton::settings(instance)?)?);
        check(unsafe { abi::TRITONBACKEND_ModelInstanceSetState(instance, Box::into_raw(session).cast()) })
    })())
}

/// Drops the model.
///
/// # Safety
/// Triton calls it, once, after all calls of [`TRITONBACKEND_ModelInstanceExecute`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceFinalize(instance: *mut Instance) -> Status {
    status(state(instance).map(|session| drop(unsafe { Box::from_raw(session) })))
}

/// Answers the requests of one batch.
///
/// # Safety
/// Triton calls it, not twice at a time for one instance, with `count` requests that become the backend's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceExecute(
    instance: *mut Instance,
    requests: *mut *mut Request,
    count: u32,
) -> Status {
    let requests = unsafe { std::slice::from_raw_parts(requests, count as usize) };
    let session = match state(instance) {
        Ok(session) => unsafe { &mut *session },
        Err(cause) => return status(Err(cause)),
    };
    let mut stamps = Stamps::begin();
    let answered = answer(session, requests, &mut stamps);
    stamps.end();
    for &request in requests {
        if let Err(cause) = &answered {
            triton::refuse(request, cause);
        }
        stamps.report(instance, request, answered.is_ok());
        triton::release(request);
    }
    if let Ok(rows) = answered {
        stamps.report_batch(instance, rows);
    }
    ptr::null_mut()
}

/// Answers all requests, or none.
fn answer(session: &mut Session, requests: &[*mut Request], stamps: &mut Stamps) -> Result<usize, Failure> {
    let inputs: Vec<&[u8]> =
        requests.iter().map(|&request| triton::input(request, session.input())).collect::<Result<_, _>>()?;
    let row = session.columns() * size_of::<f32>();
    let rows: Vec<usize> = inputs.iter().map(|input| input.len() / row).collect();
    stamps.compute_begins();
    session.run(&inputs, |name, columns, outputs| {
        stamps.compute_ends();
        let mut outputs = outputs;
        for (&request, &rows) in requests.iter().zip(&rows) {
            let (own, others) = outputs.split_at_checked(rows * columns).ok_or("the output is too short")?;
            triton::respond(request, name, [rows as i64, columns as i64], own)?;
            outputs = others;
        }
        Ok(())
    })?;
    Ok(rows.iter().sum())
}

fn state(instance: *mut Instance) -> Result<*mut Session, Failure> {
    let mut state: *mut c_void = ptr::null_mut();
    check(unsafe { abi::TRITONBACKEND_ModelInstanceState(instance, &mut state) })?;
    if state.is_null() { Err("the instance has no session".into()) } else { Ok(state.cast()) }
}
