//! Between the depth of an image and blocks of its pixels.

use std::ops::Add;

use mlops_core::{Error, Result};
use smallvec::SmallVec;

use super::expand::lengths;
use super::parameter::Integers;
use super::view::{View, strides};
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count, for_numbers};
use crate::engine::onnx::value::Inputs;

/// `DepthToSpace` and `SpaceToDepth`.
#[derive(Debug)]
struct Blocks {
    to_space: bool,
    size: usize,
    /// Whether the channels of one place in the block lie `channels` apart (DCR) or next to each other (CRD).
    depth_first: bool,
}

pub(super) fn depth_to_space(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    blocks(source, true)
}

pub(super) fn space_to_depth(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    blocks(source, false)
}

fn blocks(source: &Source<'_>, to_space: bool) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let size = attributes.int("blocksize", 0)?;
    let size = usize::try_from(size).ok().filter(|&size| size > 0 && size <= 1 << 20);
    let depth_first = match attributes.text("mode")?.map_or("DCR", String::as_str) {
        "DCR" => true,
        "CRD" => false,
        other => return Err(Error::invalid_input(format!("there is no mode `{other}`"))),
    };
    let size = size.ok_or_else(|| Error::invalid_input("the attribute `blocksize` must be positive"))?;
    Ok(Box::new(Blocks { to_space, size, depth_first }))
}

impl Operator for Blocks {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let data = inputs.take(0)?;
        let &[batch, channels, height, width] = data.shape() else {
            let rank = data.rank();
            return Err(Error::engine(format!("an image has 4 dimensions [N, C, H, W], not {rank}")));
        };
        let size = self.size;
        let cannot = || {
            let shape = data.shape();
            Error::engine(format!("an image of shape {shape:?} does not consist of blocks of {size}"))
        };
        // The input's dimensions, with those of the blocks, and their order in the output.
        let (split, order, shape): ([usize; 6], [usize; 6], [usize; 4]) = if self.to_space {
            if channels % (size * size) != 0 {
                return Err(cannot());
            }
            let depth = channels / (size * size);
            let shape = [batch, depth, height.saturating_mul(size), width.saturating_mul(size)];
            match self.depth_first {
                true => ([batch, size, size, depth, height, width], [0, 3, 4, 1, 5, 2], shape),
                false => ([batch, depth, size, size, height, width], [0, 1, 4, 2, 5, 3], shape),
            }
        } else {
            if height % size != 0 || width % size != 0 {
                return Err(cannot());
            }
            let (height, width) = (height / size, width / size);
            let split = [batch, channels, height, size, width, size];
            let shape = [batch, channels.saturating_mul(size * size), height, width];
            match self.depth_first {
                true => (split, [0, 3, 5, 1, 2, 4], shape),
                false => (split, [0, 1, 3, 5, 2, 4], shape),
            }
        };
        let own = strides(&split);
        let viewed: Shape = order.iter().map(|&axis| split[axis]).collect();
        let strides: SmallVec<[isize; 6]> = order.iter().map(|&axis| own[axis]).collect();
        one(View::new(viewed, &strides, 0)?.of(data, context.memory)?.reshaped(shape.as_slice())?)
    }
}

/// `Col2Im`: columns of block elements `[N, C * block, L]` added up where the blocks lie in an image
/// `[N, C, spatial..]`.
#[derive(Debug)]
struct Col2Im {
    image: Integers,
    block: Integers,
    strides: Option<Vec<i64>>,
    pads: Option<Vec<i64>>,
    dilations: Option<Vec<i64>>,
}

pub(super) fn col2im(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(Col2Im {
        image: Integers::input(source, 1)?,
        block: Integers::input(source, 2)?,
        strides: attributes.ints("strides")?.cloned(),
        pads: attributes.ints("pads")?.cloned(),
        dilations: attributes.ints("dilations")?.cloned(),
    }))
}

/// How blocks lie along one dimension of an image.
#[derive(Debug, Clone, Copy)]
struct Spatial {
    image: usize,
    block: usize,
    stride: usize,
    dilation: usize,
    front: usize,
    /// How many blocks there are.
    count: usize,
}

impl Operator for Col2Im {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let missing = || Error::engine("the shapes of image and block are missing");
        let image = lengths(&self.image.get(inputs)?.ok_or_else(missing)?)?;
        let block = lengths(&self.block.get(inputs)?.ok_or_else(missing)?)?;
        let spatial = self.geometry(&image, &block)?;
        let data = inputs.take(0)?;
        let block = element_count(&block)?;
        let columns = spatial.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.count));
        let (batch, channels) = match *data.shape() {
            [batch, rows, own] if Some(own) == columns && block > 0 && rows % block == 0 => {
                (batch, rows / block)
            }
            ref other => {
                return Err(Error::engine(format!(
                    "columns of shape {other:?} do not fit {columns:?} blocks of {block} elements"
                )));
            }
        };
        let mut shape = Shape::from_slice(&[batch, channels]);
        shape.extend_from_slice(&image);
        let images = batch.saturating_mul(channels);
        let sum = for_numbers!(
            data.data(),
            |elements| added_up(elements, images, &spatial, element_count(&shape)?, context.memory)?,
            other => return Err(Error::engine(format!("{} cannot be added", other.dtype())))
        );
        one(HostTensor::from_data(shape, sum)?)
    }
}

impl Col2Im {
    fn geometry(&self, image: &[usize], block: &[usize]) -> Result<SmallVec<[Spatial; 3]>> {
        let rank = image.len();
        let listed = |name: &str, given: &Option<Vec<i64>>, default: i64, count: usize, least: usize| {
            let given = given.clone().unwrap_or_else(|| vec![default; count]);
            let values: Option<Vec<usize>> =
                given.iter().map(|&value| usize::try_from(value).ok().filter(|&v| v >= least)).collect();
            values
                .filter(|values| values.len() == count)
                .ok_or_else(|| Error::engine(format!("{name} {given:?} do not fit {rank} dimensions")))
        };
        if block.len() != rank {
            return Err(Error::engine(format!("image {image:?} and block {block:?} differ in dimensions")));
        }
        let strides = listed("strides", &self.strides, 1, rank, 1)?;
        let dilations = listed("dilations", &self.dilations, 1, rank, 1)?;
        let pads = listed("pads", &self.pads, 0, 2 * rank, 0)?;
        let axis = |axis: usize| {
            let (front, back) = (pads[axis], pads[rank + axis]);
            let padded = image[axis].saturating_add(front).saturating_add(back);
            let extent = block[axis].checked_sub(1)?.checked_mul(dilations[axis])?.checked_add(1)?;
            let count = padded.checked_sub(extent)? / strides[axis] + 1;
            let (image, block) = (image[axis], block[axis]);
            Some(Spatial { image, block, stride: strides[axis], dilation: dilations[axis], front, count })
        };
        let spatial: Option<SmallVec<[Spatial; 3]>> = (0..rank).map(axis).collect();
        spatial
            .ok_or_else(|| Error::engine(format!("a block {block:?} does not fit into the image {image:?}")))
    }
}

/// Numbers that can be added; the narrow ones in `f32`, in order not to round at each step.
trait Addable: Scalar + Copy {
    type Sum: Copy + Default + Scalar;
    fn add(sum: &mut Self::Sum, value: Self);
    fn done(sums: Vec<Self::Sum>) -> Vec<Self>;
}

macro_rules! addable {
    ($($type:ty: $add:path;)*) => {
        $(impl Addable for $type {
            type Sum = Self;
            fn add(sum: &mut Self, value: Self) {
                *sum = $add(*sum, value);
            }
            fn done(sums: Vec<Self>) -> Vec<Self> {
                sums
            }
        })*
    };
}

addable! {
    f32: Add::add;
    f64: Add::add;
    i8: i8::wrapping_add;
    i16: i16::wrapping_add;
    i32: i32::wrapping_add;
    i64: i64::wrapping_add;
    u8: u8::wrapping_add;
    u16: u16::wrapping_add;
    u32: u32::wrapping_add;
    u64: u64::wrapping_add;
}

macro_rules! addable_as_f32 {
    ($($type:ty)*) => {
        $(impl Addable for $type {
            type Sum = f32;
            fn add(sum: &mut f32, value: Self) {
                *sum += value.to_f32();
            }
            fn done(sums: Vec<f32>) -> Vec<Self> {
                sums.into_iter().map(Self::from_f32).collect()
            }
        })*
    };
}

addable_as_f32! { half::f16 half::bf16 }

fn added_up<T: Addable>(
    columns: &[T],
    images: usize,
    spatial: &[Spatial],
    count: usize,
    memory: &mut Memory,
) -> Result<Data> {
    let mut sums: Vec<T::Sum> = memory.vector(count)?;
    sums.resize(count, T::Sum::default());
    let size = count / images.max(1);
    let mut columns = columns.iter();
    for image in 0..images {
        let image = &mut sums[image * size..(image + 1) * size];
        each(&mut spatial.iter().map(|axis| axis.block), &mut |within: &[usize]| {
            each(&mut spatial.iter().map(|axis| axis.count), &mut |block: &[usize]| {
                let Some(&value) = columns.next() else { return };
                let mut place = 0;
                for ((axis, within), block) in spatial.iter().zip(within).zip(block) {
                    let padded = block * axis.stride + within * axis.dilation;
                    match padded.checked_sub(axis.front).filter(|&at| at < axis.image) {
                        Some(at) => place = place * axis.image + at,
                        None => return,
                    }
                }
                T::add(&mut image[place], value);
            });
        });
    }
    Ok(T::wrap(T::done(sums).into()))
}

/// Every position within lengths, none of which is 0, in row-major order.
fn each(lengths: &mut dyn Iterator<Item = usize>, visit: &mut dyn FnMut(&[usize])) {
    let lengths: SmallVec<[usize; 4]> = lengths.collect();
    let mut position: SmallVec<[usize; 4]> = SmallVec::from_elem(0, lengths.len());
    loop {
        visit(&position);
        let mut axis = lengths.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            position[axis] += 1;
            if position[axis] < lengths[axis] {
                break;
            }
            position[axis] = 0;
        }
    }
}
