//! smoke
use burn::tensor::*;
use mlops_serve::engine::burn::Device as D;
fn dev() -> Device {
    "wgpu".parse::<D>().unwrap().open().unwrap()
}
#[test]
fn a_ones() {
    println!("{:?}", (Tensor::<2>::ones([2, 4], &dev()) * 3.0).into_data());
}
#[test]
fn b_random() {
    println!("{:?}", Tensor::<2>::random([2, 4], Distribution::Default, &dev()).into_data());
}
#[test]
fn c_matmul() {
    let d = dev();
    println!("{:?}", Tensor::<2>::ones([2, 4], &d).matmul(Tensor::<2>::ones([4, 3], &d)).into_data());
}
#[test]
fn d_sum() {
    println!("{:?}", Tensor::<2>::ones([2, 4], &dev()).sum_dim(1).into_data());
}
#[test]
fn e_softmax() {
    println!("{:?}", activation::softmax(Tensor::<2>::ones([2, 4], &dev()), 1).into_data());
}
#[test]
fn f_big_matmul() {
    let d = dev();
    println!(
        "{:?}",
        Tensor::<2>::ones([64, 128], &d).matmul(Tensor::<2>::ones([128, 64], &d)).mean().into_data()
    );
}
#[test]
fn g_argmax() {
    let d = dev();
    println!("{:?}", Tensor::<2>::ones([64, 128], &d).argmax(1).into_data().as_slice::<i32>().map(|s| s[0]));
}
#[test]
fn h_conv() {
    let d = dev();
    println!(
        "{:?}",
        module::conv2d(
            Tensor::<4>::ones([1, 3, 8, 8], &d),
            Tensor::<4>::ones([4, 3, 3, 3], &d),
            None,
            ops::ConvOptions::new([1, 1], [1, 1], [1, 1], 1)
        )
        .mean()
        .into_data()
    );
}
