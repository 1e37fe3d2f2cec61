//! Functions of each element of a tensor, and of pairs of elements of two tensors of `f32`.

use half::{bf16, f16};
use mlops_core::{Error, Result};

use super::number::{Half, round, widen};
use super::support::{expanded, zip_in, zip_in_place};
use super::{Context, Inputs};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape};
use crate::engine::onnx::value::Value;
use crate::kernels::elementwise::{Binary, Broadcast, binary, binary_in_place};
use crate::kernels::parallel::Threads;

/// What is copied and computed at once: small enough for the cache nearest to the processor.
const BLOCK: usize = 4096;

/// From this many elements on, threads share the work.
const WORTH_THREADS: usize = 1 << 15;

/// A function of each element of the float tensor at input 0: `single` works on `f32` in place, and on `f16` and
/// `bf16` converted to it; `double` is the same function of one `f64`.
pub(super) fn map(
    inputs: &mut Inputs<'_>,
    context: &mut Context<'_>,
    single: &(dyn Fn(&mut [f32]) + Sync),
    double: &dyn Fn(f64) -> f64,
) -> Result<HostTensor> {
    let tensor = inputs.take(0)?;
    let dtype = tensor.dtype();
    let (shape, data) = tensor.into_parts();
    match data {
        Data::F32(buffer) if buffer.is_unshared() => {
            let mut elements = buffer.into_vec();
            in_blocks(context.threads, &mut elements, |_, block| single(block));
            HostTensor::new(shape, elements)
        }
        Data::F32(buffer) => {
            let mut elements = context.memory.floats(buffer.len());
            in_blocks(context.threads, &mut elements, |start, block| {
                block.copy_from_slice(&buffer[start..start + block.len()]);
                single(block);
            });
            HostTensor::new(shape, elements)
        }
        Data::F64(buffer) => {
            let mut elements = buffer.into_vec();
            for element in &mut elements {
                *element = double(*element);
            }
            HostTensor::new(shape, elements)
        }
        Data::F16(elements) => HostTensor::new(shape, half::<f16>(&elements, single)),
        Data::Bf16(elements) => HostTensor::new(shape, half::<bf16>(&elements, single)),
        _ => Err(Error::engine(format!("a tensor of floats is needed, not of {dtype}"))),
    }
}

fn half<T: Half>(elements: &[T], single: &dyn Fn(&mut [f32])) -> Vec<T> {
    let mut widened = widen(elements);
    single(&mut widened);
    round(&widened)
}

/// Calls `function` with blocks of the elements and where each begins, on several threads if that pays.
pub(super) fn in_blocks<T: Send>(
    threads: &Threads,
    elements: &mut [T],
    function: impl Fn(usize, &mut [T]) + Sync,
) {
    if elements.len() < WORTH_THREADS || threads.count() == 1 {
        for (index, block) in elements.chunks_mut(BLOCK).enumerate() {
            function(index * BLOCK, block);
        }
        return;
    }
    let share = elements.len().div_ceil(threads.count()).next_multiple_of(BLOCK);
    threads.for_each_chunk_mut(elements, share, |chunk, elements| {
        for (index, block) in elements.chunks_mut(BLOCK).enumerate() {
            function(chunk * share + index * BLOCK, block);
        }
    });
}

/// `a (op) b` of the first two inputs, which are `f32`, broadcast to `shape`. It works in place when it can.
pub(super) fn combine(
    operation: Binary,
    shape: Shape,
    inputs: &mut Inputs<'_>,
    context: &mut Context<'_>,
) -> Result<HostTensor> {
    let fits = |index: usize| inputs.tensor(index).is_ok_and(|tensor| tensor.shape() == shape.as_slice());
    let unshared = |index: usize| match inputs.tensor(index).map(HostTensor::data) {
        Ok(Data::F32(buffer)) => buffer.is_unshared(),
        _ => false,
    };
    let reversed = reversed(operation);
    let (a_fits, b_fits) = (fits(0), fits(1));
    let swap = match (a_fits, b_fits) {
        (true, true) => reversed.is_some() && !unshared(0) && unshared(1),
        (true, false) => false,
        (false, b_fits) => b_fits && reversed.is_some(),
    };
    let (operation, first, second) = match reversed {
        Some(reversed) if swap => (reversed, 1, 0),
        _ => (operation, 0, 1),
    };
    let in_place = fits(first) && unshared(first);
    let broadcast = Broadcast::of(inputs.tensor(first)?.shape(), inputs.tensor(second)?.shape());
    let broadcast = broadcast.filter(|_| a_fits || b_fits).filter(|_| fits(first));
    if in_place {
        let mut a = inputs.take(first)?.into_elements::<f32>()?;
        let b = inputs.tensor(second)?;
        let b_elements = b.elements::<f32>()?;
        match broadcast {
            Some(broadcast) => blocks_in_place(operation, &mut a, b_elements, broadcast, context.threads),
            None => zip_in_place(&shape, &mut a, (b.shape(), b_elements), |&a, &b| scalar(operation, a, b)),
        }
        return HostTensor::new(shape, a);
    }
    let (a, b) = (inputs.tensor(first)?, inputs.tensor(second)?);
    let (a_elements, b_elements) = (a.elements::<f32>()?, b.elements::<f32>()?);
    let Some(broadcast) = broadcast else {
        let (a, b) = ((a.shape(), a_elements), (b.shape(), b_elements));
        let output = zip_in(context.memory, &shape, a, b, |&a, &b| scalar(operation, a, b))?;
        return HostTensor::new(shape, output);
    };
    let mut output = context.memory.floats(a_elements.len());
    if broadcast.outer == 1 && broadcast.inner == 1 && output.len() >= WORTH_THREADS {
        let whole = |length| Broadcast { outer: 1, middle: length, inner: 1 };
        in_blocks(context.threads, &mut output, |start, block| {
            let end = start + block.len();
            binary(operation, &a_elements[start..end], &b_elements[start..end], whole(block.len()), block);
        });
    } else {
        binary(operation, a_elements, b_elements, broadcast, &mut output);
    }
    HostTensor::new(shape, output)
}

fn blocks_in_place(operation: Binary, a: &mut [f32], b: &[f32], broadcast: Broadcast, threads: &Threads) {
    if broadcast.outer == 1 && broadcast.inner == 1 && a.len() >= WORTH_THREADS {
        in_blocks(threads, a, |start, block| {
            let whole = Broadcast { outer: 1, middle: block.len(), inner: 1 };
            let end = start + block.len();
            binary_in_place(operation, block, &b[start..end], whole);
        });
    } else {
        binary_in_place(operation, a, b, broadcast);
    }
}

/// The same operation with its operands in the other order.
fn reversed(operation: Binary) -> Option<Binary> {
    match operation {
        Binary::Add | Binary::Mul | Binary::Min | Binary::Max => Some(operation),
        Binary::Sub => Some(Binary::ReverseSub),
        Binary::Div => Some(Binary::ReverseDiv),
        Binary::ReverseSub => Some(Binary::Sub),
        Binary::ReverseDiv => Some(Binary::Div),
        Binary::Prelu => None,
    }
}

#[inline(always)]
fn scalar(operation: Binary, a: f32, b: f32) -> f32 {
    use super::number::Number;
    match operation {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Min => a.smaller(b),
        Binary::Max => a.larger(b),
        Binary::Prelu => {
            if a < 0.0 {
                a * b
            } else {
                a
            }
        }
        Binary::ReverseSub => b - a,
        Binary::ReverseDiv => b / a,
    }
}

/// The only tensor of a variadic operator, repeated to `shape` if it has another.
pub(super) fn broadcast_to(tensor: HostTensor, shape: &Shape) -> Result<HostTensor> {
    use crate::engine::onnx::tensor::for_any;
    if tensor.shape() == shape.as_slice() {
        return Ok(tensor);
    }
    for_any!(tensor.data(), |elements| HostTensor::new(
        shape.clone(),
        expanded(shape, tensor.shape(), elements)?
    ))
}

/// Gives memory back that is needed no more.
pub(super) fn give_back(elements: Vec<f32>, context: &mut Context<'_>) {
    context.memory.recycle(Value::Tensor(HostTensor::vector(elements)));
}
