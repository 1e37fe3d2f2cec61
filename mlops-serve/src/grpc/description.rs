//! What models take and give, and what was counted of their calls.

use std::time::Duration;

use mlops_core::{DType, TensorSpec};

use super::protocol::model_metadata_response::TensorMetadata;
use super::protocol::{
    DataType, InferStatistics, ModelConfig, ModelInput, ModelMetadataResponse, ModelOutput, ModelStatistics,
    StatisticDuration,
};
use crate::server::{Served, Tally, wire};

pub(super) fn metadata(served: &Served, versions: Vec<String>) -> ModelMetadataResponse {
    let tensor = |spec: &TensorSpec| TensorMetadata {
        name: spec.name().to_owned(),
        datatype: spec.dtype().to_string(),
        shape: wire::shape(spec),
    };
    ModelMetadataResponse {
        name: served.name().to_string(),
        versions,
        platform: wire::NAME.to_owned(),
        inputs: served.signature().inputs().iter().map(tensor).collect(),
        outputs: served.signature().outputs().iter().map(tensor).collect(),
    }
}

/// The batch is said in every shape, hence a maximum batch size of 0: none is taken away from the shapes.
pub(super) fn config(served: &Served) -> ModelConfig {
    let input = |spec: &TensorSpec| ModelInput {
        name: spec.name().to_owned(),
        data_type: data_type(spec.dtype()).into(),
        dims: wire::shape(spec),
        optional: spec.is_optional(),
    };
    let output = |spec: &TensorSpec| ModelOutput {
        name: spec.name().to_owned(),
        data_type: data_type(spec.dtype()).into(),
        dims: wire::shape(spec),
    };
    ModelConfig {
        name: served.name().to_string(),
        platform: wire::NAME.to_owned(),
        max_batch_size: 0,
        input: served.signature().inputs().iter().map(input).collect(),
        output: served.signature().outputs().iter().map(output).collect(),
        backend: wire::NAME.to_owned(),
    }
}

pub(super) fn statistics(served: &Served) -> ModelStatistics {
    let counted = served.statistics().snapshot();
    ModelStatistics {
        name: served.name().to_string(),
        version: served.version().map(ToString::to_string).unwrap_or_default(),
        last_inference: whole(counted.last_call.unwrap_or_default().as_millis()),
        inference_count: counted.rows,
        execution_count: counted.success.count,
        inference_stats: Some(InferStatistics {
            success: Some(duration(counted.success)),
            fail: Some(duration(counted.failure)),
            queue: Some(duration(counted.queue)),
            compute_infer: Some(duration(counted.compute)),
        }),
    }
}

fn duration(tally: Tally) -> StatisticDuration {
    StatisticDuration { count: tally.count, ns: whole(Duration::as_nanos(&tally.time)) }
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn data_type(dtype: DType) -> DataType {
    match dtype {
        DType::Bool => DataType::TypeBool,
        DType::Uint8 => DataType::TypeUint8,
        DType::Uint16 => DataType::TypeUint16,
        DType::Uint32 => DataType::TypeUint32,
        DType::Uint64 => DataType::TypeUint64,
        DType::Int8 => DataType::TypeInt8,
        DType::Int16 => DataType::TypeInt16,
        DType::Int32 => DataType::TypeInt32,
        DType::Int64 => DataType::TypeInt64,
        DType::Fp16 => DataType::TypeFp16,
        DType::Bf16 => DataType::TypeBf16,
        DType::Fp32 => DataType::TypeFp32,
        DType::Fp64 => DataType::TypeFp64,
        DType::Bytes => DataType::TypeString,
    }
}
