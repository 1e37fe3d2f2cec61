//! The JSON form of the Open Inference Protocol, flat or nested, read straight into typed memory.

mod builder;
mod elements;
mod nesting;
mod read;
mod write;

pub use builder::TensorBuilder;
pub use elements::Scalar;
pub(crate) use read::{ReadTensor, TensorJson};
pub(crate) use write::TensorFields;

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use proptest::prelude::*;

    use super::elements::FromScalar;
    use crate::Tensor;

    fn parse(json: &str) -> Result<Tensor, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn flat_and_nested_data_mean_the_same_in_any_order_of_fields() {
        let expected = Tensor::from_vec(&[2, 2], vec![1.0_f32, 2.0, 3.0, 4.5]).unwrap();
        for json in [
            r#"{"shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3.0, 4.5]}"#,
            r#"{"datatype": "FP32", "data": [[1, 2], [3.0, 4.5]], "shape": [2, 2]}"#,
            r#"{"data": [[1, 2], [3.0, 4.5]], "shape": [2, 2], "datatype": "FP32", "parameters": {"x": [1]}}"#,
        ] {
            assert_eq!(parse(json).unwrap(), expected, "{json}");
        }
        assert_eq!(
            serde_json::to_string(&expected).unwrap(),
            r#"{"shape":[2,2],"datatype":"FP32","data":[1.0,2.0,3.0,4.5]}"#
        );
    }

    #[test]
    fn empty_dimensions_and_scalars_are_tensors() {
        let empty = Tensor::from_vec::<i32>(&[2, 0], vec![]).unwrap();
        assert_eq!(parse(r#"{"shape": [2, 0], "datatype": "INT32", "data": [[], []]}"#).unwrap(), empty);
        assert_eq!(parse(r#"{"shape": [2, 0], "datatype": "INT32", "data": []}"#).unwrap(), empty);
        let scalar = parse(r#"{"shape": [], "datatype": "FP64", "data": [2.5]}"#).unwrap();
        assert_eq!(scalar, Tensor::from_vec(&[], vec![2.5_f64]).unwrap());
    }

    #[test]
    fn every_fault_says_what_was_expected_and_what_came() {
        for (json, expected) in [
            (
                r#"{"shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3]]}"#,
                "ragged data: at depth 1 an array has 1 items where its sibling has 2",
            ),
            (r#"{"shape": [2], "datatype": "FP32", "data": [1, [2]]}"#, "ragged data"),
            (r#"{"shape": [2], "datatype": "FP32", "data": [[1], 2]}"#, "ragged data"),
            (
                r#"{"shape": [3, 1], "datatype": "FP32", "data": [[1, 2, 3]]}"#,
                "the data is nested as [1, 3], but the declared shape is [3, 1]",
            ),
            (
                r#"{"shape": [3], "datatype": "FP32", "data": [1, 2]}"#,
                "shape [3] holds 3 elements, but 2 came",
            ),
            (r#"{"shape": [1], "datatype": "UINT8", "data": [300]}"#, "element 0 is 300, which is no UINT8"),
            (r#"{"shape": [1], "datatype": "UINT8", "data": [-1]}"#, "element 0 is -1, which is no UINT8"),
            (r#"{"data": [1.5], "shape": [1], "datatype": "INT64"}"#, "element 0 is 1.5, which is no INT64"),
            (r#"{"shape": [1], "datatype": "FP32", "data": [1e39]}"#, "element 0 is 1e39, which is no FP32"),
            (r#"{"shape": [1], "datatype": "FP32", "data": [null]}"#, "element 0 is null, which is no FP32"),
            (r#"{"shape": [1], "datatype": "FP32", "data": ["a"]}"#, "element 0 is \"a\", which is no FP32"),
            (r#"{"shape": [1], "datatype": "BYTES", "data": [1]}"#, "element 0 is 1, which is no BYTES"),
            (r#"{"shape": [1], "datatype": "BOOL", "data": [1]}"#, "element 0 is 1, which is no BOOL"),
            (r#"{"shape": [1], "datatype": "FP31", "data": [1]}"#, "unknown variant `FP31`"),
            (r#"{"shape": [-1], "datatype": "FP32", "data": [1]}"#, "invalid value: integer `-1`"),
            (r#"{"shape": [1], "datatype": "FP32", "data": 1}"#, "invalid type: integer `1`"),
            (r#"{"shape": [1], "datatype": "FP32", "data": [{}]}"#, "invalid type: map"),
            (r#"{"shape": [1], "shape": [1]}"#, "duplicate field `shape`"),
            (r#"{"shape": [1], "name": "x", "data": [1]}"#, "missing field `datatype` of tensor `x`"),
            (
                r#"{"shape": [4294967296, 4294967296], "datatype": "FP32", "data": []}"#,
                "shape [4294967296, 4294967296] overflows",
            ),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(expected), "{json}\n  says: {error}");
        }
        let deep =
            format!(r#"{{"shape":[1],"datatype":"FP32","data":{}1{}}}"#, "[".repeat(60), "]".repeat(60));
        assert!(parse(&deep).unwrap_err().contains("nested deeper than 32"));
    }

    #[test]
    fn what_json_cannot_carry_is_refused_instead_of_written_as_null() {
        let error = serde_json::to_string(&Tensor::from(vec![1.0_f32, f32::NAN])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "element 1 is NaN, which JSON cannot express; send the tensor as binary"
        );
        let binary = Tensor::from_byte_strings(&[1], [[0xff_u8]]).unwrap();
        assert!(serde_json::to_string(&binary).unwrap_err().to_string().contains("not UTF-8"));
    }

    fn round_trip<T: FromScalar>(elements: Vec<T>) {
        let tensor = Tensor::from(elements);
        let json = serde_json::to_string(&tensor).unwrap();
        assert_eq!(parse(&json).unwrap(), tensor, "{json}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            bools in any::<Vec<bool>>(), bytes in any::<Vec<u8>>(), longs in any::<Vec<u64>>(),
            signed in any::<Vec<i64>>(), strings in any::<Vec<String>>(),
            floats in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL, 0..9),
            doubles in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL, 0..9),
            halves in prop::collection::vec((0_u16..0x7c00).prop_map(f16::from_bits), 0..9),
            brains in prop::collection::vec((0_u16..0x7f80).prop_map(bf16::from_bits), 0..9),
        ) {
            round_trip(bools);
            round_trip(bytes);
            round_trip(longs);
            round_trip(signed);
            round_trip(floats);
            round_trip(doubles);
            round_trip(halves);
            round_trip(brains);
            let texts = Tensor::from_byte_strings(&[strings.len()], &strings).unwrap();
            prop_assert_eq!(parse(&serde_json::to_string(&texts).unwrap()).unwrap(), texts);
        }

        #[test]
        fn arbitrary_text_never_panics(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            let _ = parse(&text);
            let _ = serde_json::from_slice::<Tensor>(&bytes);
            let _ = parse(&format!(r#"{{"shape":[1],"datatype":"FP32","data":{text}}}"#));
        }

        #[test]
        fn arbitrary_nesting_never_panics(
            data in "[\\[\\],0-9e.\\-]{0,40}", shape in prop::collection::vec(0..4_usize, 0..4)
        ) {
            let _ = parse(&format!(r#"{{"shape":{shape:?},"datatype":"INT16","data":[{data}]}}"#));
        }
    }
}
