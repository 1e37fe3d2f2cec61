//! The random operators that the tests of the ONNX project leave out.

use crate::engine::onnx::graph::Attribute;
use crate::engine::onnx::ops::testing::output;
use crate::engine::onnx::tensor::HostTensor;

/// Expected: `RandomState(5).normal(2, 3, 4)` and `RandomState(5).uniform(-1, 3, 4)` of NumPy 2.4.
#[test]
fn with_a_seed_the_numbers_are_those_of_numpy() {
    let seed = ("seed", Attribute::Float(5.0));
    let shape = ("shape", Attribute::Ints(vec![2, 2]));
    let normal =
        [("mean", Attribute::Float(2.0)), ("scale", Attribute::Float(3.0)), seed.clone(), shape.clone()];
    let uniform = [("low", Attribute::Float(-1.0)), ("high", Attribute::Float(3.0)), seed, shape];
    let like = |attributes: &[(&'static str, Attribute); 4]| attributes[..3].to_vec();
    let expected_normal = [3.323_682_5, 1.007_389_5, 9.292_314, 1.243_723_6];
    let expected_uniform = [-0.112_027_32, 2.482_929_2, -0.173_123_37, 2.674_443_7];
    let given = || Some(HostTensor::new([2, 2].as_slice(), vec![0.0_f32; 4]).unwrap());
    for (name, attributes, input, expected) in [
        ("RandomNormal", normal.to_vec(), None, expected_normal),
        ("RandomNormalLike", like(&normal), given(), expected_normal),
        ("RandomUniform", uniform.to_vec(), None, expected_uniform),
        ("RandomUniformLike", like(&uniform), given(), expected_uniform),
    ] {
        let drawn = output(("", name, 22), attributes, input.map(Some)).unwrap();
        assert_eq!(drawn.shape(), [2, 2], "{name}");
        for (drawn, expected) in drawn.elements::<f32>().unwrap().iter().zip(expected) {
            assert!((drawn - expected).abs() < 1e-6, "{name}: {drawn} instead of {expected}");
        }
    }
}

#[test]
fn classes_are_drawn_as_often_as_their_probability_says() {
    let logarithms = [0.5_f32, 0.3, 0.2].map(f32::ln).to_vec();
    let input = HostTensor::new([1, 3].as_slice(), logarithms).unwrap();
    let attributes = [("sample_size", Attribute::Int(20_000)), ("seed", Attribute::Float(1.0))];
    let drawn = output(("", "Multinomial", 22), attributes, [Some(input)]).unwrap();
    let drawn = drawn.elements::<i32>().unwrap();
    for (class, expected) in [0.5, 0.3, 0.2].into_iter().enumerate() {
        let count = drawn.iter().filter(|&&drawn| drawn == class as i32).count();
        let share = count as f64 / 20_000.0;
        assert!((share - expected).abs() < 0.015, "class {class}: {share}"); // four standard deviations
    }
}
