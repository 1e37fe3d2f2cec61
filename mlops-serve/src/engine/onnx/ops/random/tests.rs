//! Seeded operators, against the reference implementation of the ONNX project (onnx 1.23, NumPy 2).

use super::super::testing::output;
use crate::engine::onnx::graph::Attribute;
use crate::engine::onnx::tensor::HostTensor;

fn seeded(more: &[(&'static str, Attribute)]) -> Vec<(&'static str, Attribute)> {
    let mut attributes = more.to_vec();
    attributes.push(("seed", Attribute::Float(7.0)));
    attributes
}

fn close(actual: &HostTensor, expected: &[f32]) {
    let actual = actual.elements::<f32>().unwrap();
    assert_eq!(actual.len(), expected.len());
    let apart = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-5;
    assert!(!actual.iter().zip(expected).any(apart), "{actual:?} instead of {expected:?}");
}

#[test]
fn a_seed_gives_the_numbers_of_the_reference() {
    let uniform = [("low", Attribute::Float(-1.0)), ("high", Attribute::Float(3.0))];
    let normal = [("mean", Attribute::Float(10.0)), ("scale", Attribute::Float(2.0))];
    let shaped = |attributes: &[_], lengths: &[i64]| {
        let mut attributes = seeded(attributes);
        attributes.push(("shape", Attribute::Ints(lengths.to_vec())));
        attributes
    };
    let like = || [Some(HostTensor::new([2, 2].as_slice(), vec![0.0_f32; 4]).unwrap())];
    let uniforms = [-0.694_766_9, 2.119_675_2, 0.753_636_96, 1.893_860_8];
    close(&output(("", "RandomUniform", 22), shaped(&uniform, &[2, 2]), []).unwrap(), &uniforms);
    close(&output(("", "RandomUniformLike", 22), seeded(&uniform), like()).unwrap(), &uniforms);
    let normals = [13.381_051, 9.068_125, 10.065_64];
    close(&output(("", "RandomNormal", 22), shaped(&normal, &[3]), []).unwrap(), &normals);
    let alike = output(("", "RandomNormalLike", 22), seeded(&normal), like()).unwrap();
    close(
        &output(("", "RandomNormal", 22), shaped(&normal, &[2, 2]), []).unwrap(),
        alike.elements().unwrap(),
    );

    let probabilities = vec![0.1_f32, 0.9, 0.5, 0.7, 0.3, 0.8, 0.0, 1.0, 0.25, 0.6];
    let drawn =
        output(("", "Bernoulli", 22), seeded(&[]), [Some(HostTensor::vector(probabilities))]).unwrap();
    close(&drawn, &[0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn without_a_seed_calls_differ() {
    let shape = [("shape", Attribute::Ints(vec![8]))];
    let numbers = || output(("", "RandomNormal", 1), shape.clone(), []).unwrap();
    assert_ne!(numbers().elements::<f32>().unwrap(), numbers().elements::<f32>().unwrap());
}

#[test]
fn classes_come_as_often_as_their_logarithms_say() {
    let rows = [0.5_f64.ln(), 0.25_f64.ln(), f64::NEG_INFINITY, 0.25_f64.ln(), 0.0, 0.0, 0.0, 0.0];
    let rows = HostTensor::new([2, 4].as_slice(), rows.to_vec()).unwrap();
    let samples = ("sample_size", Attribute::Int(4000));
    let drawn = output(("", "Multinomial", 7), seeded(&[samples]), [Some(rows)]).unwrap();
    assert_eq!(drawn.shape(), [2, 4000]);
    for (row, shares) in
        drawn.elements::<i32>().unwrap().chunks(4000).zip([[0.5, 0.25, 0.0, 0.25], [0.25; 4]])
    {
        for (class, share) in shares.into_iter().enumerate() {
            let count = row.iter().filter(|&&drawn| drawn == class as i32).count();
            // Four standard deviations of a binomial distribution are at most 127.
            assert!((count as f64 - share * 4000.0).abs() < 127.0 && (share > 0.0 || count == 0));
        }
    }
}

#[test]
fn absurd_requests_are_errors() {
    let shape = |lengths: &[i64]| [("shape", Attribute::Ints(lengths.to_vec()))];
    for lengths in [&[-1_i64][..], &[i64::MAX, 4], &[1 << 40]] {
        assert!(output(("", "RandomUniform", 22), shape(lengths), []).is_err());
    }
    let certain = |probability: f32| {
        output(("", "Bernoulli", 22), [], [Some(HostTensor::vector(vec![probability]))]).is_ok()
    };
    assert!(certain(1.0) && !certain(1.5) && !certain(-0.1) && !certain(f32::NAN));
    let classes = HostTensor::new([2, 0].as_slice(), Vec::<f32>::new()).unwrap();
    assert!(output(("", "Multinomial", 22), [], [Some(classes)]).is_err());
}
