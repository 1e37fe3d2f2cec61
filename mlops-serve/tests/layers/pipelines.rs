//! Pipelines are models: steps, graphs, switches and cascades keep the contract, and do what composing by hand does.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::Dimension::{Batch, Fixed, Free};
use mlops_core::{
    DType, Error, Instant, Model, ModelId, Reason, Request, Response, Result, RoutingContext, Signature,
    Tensor, TensorSpec, Tensors, Timings, conformance,
};
use mlops_serve::layer::pipeline::steps::{
    Argmax, Cast, Clip, Constant, Lookup, Mean, OneHot, Rename, Reshape, Select, Softmax, Standardize,
    Threshold, TopK, Vote,
};
use mlops_serve::layer::pipeline::{Cascade, Graph, Node, Step, Switch};
use mlops_serve::{EngineExt, ServeExt};
use proptest::prelude::*;

fn row(name: &str, columns: usize) -> TensorSpec {
    TensorSpec::new(name, DType::Fp32, [Batch, Fixed(columns)])
}

fn matrix(columns: usize, values: &[f32]) -> Tensor {
    Tensor::from_vec(&[values.len() / columns, columns], values.to_vec()).unwrap()
}

fn values(response: &Response, name: &str) -> Vec<f32> {
    response.outputs.require(name).unwrap().as_slice().unwrap().to_vec()
}

/// A model `x -> y` that computes each element by itself.
fn elementwise(function: impl Fn(f32) -> f32 + Send + Sync + 'static) -> impl Model {
    let signature = Signature::new([row("x", 2)], [row("y", 2)]).unwrap();
    let step = Step::new("elementwise", signature, move |mut tensors| {
        let mut x = tensors.remove("x").unwrap().into_array::<f32>()?;
        x.mapv_inplace(&function);
        Ok(Tensors::new().with("y", x))
    });
    step.inline()
}

/// What a [`Scripted`] model does with a request.
type Script = dyn Fn(&Request) -> Option<Result<Timings>> + Send + Sync;

/// A model `x -> y` that gives its input back, fails or never answers, as the script says; and remembers the requests.
struct Scripted {
    signature: Signature,
    script: Box<Script>,
    seen: Arc<Mutex<Vec<Request>>>,
    dropped: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(script: impl Fn(&Request) -> Option<Result<Timings>> + Send + Sync + 'static) -> Self {
        let signature = Signature::new([row("x", 2)], [row("y", 2)]).unwrap();
        Self { signature, script: Box::new(script), seen: Arc::default(), dropped: Arc::default() }
    }

    fn answering() -> Self {
        Self::new(|_| Some(Ok(Timings::default())))
    }

    fn taking(queue: u64, compute: u64) -> Self {
        let timings =
            Timings { queue: Duration::from_millis(queue), compute: Duration::from_millis(compute) };
        Self::new(move |_| Some(Ok(timings)))
    }

    fn failing(error: impl Fn() -> Error + Send + Sync + 'static) -> Self {
        Self::new(move |_| Some(Err(error())))
    }

    fn hanging() -> Self {
        Self::new(|_| None)
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

/// Counts how often it is dropped.
struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Model for Scripted {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.signature.check(&request.inputs)?;
        self.seen.lock().unwrap().push(request.clone());
        let _dropped = OnDrop(Arc::clone(&self.dropped));
        let Some(result) = (self.script)(&request) else { return std::future::pending().await };
        let outputs = Tensors::new().with("y", request.inputs.require("x")?.clone());
        Ok(Response::new(outputs).with_id(request.id).with_timings(result?))
    }
}

fn x(values: &[f32]) -> Request {
    Request::new(Tensors::new().with("x", matrix(2, values)))
}

/// Text in, label out: words by a vocabulary, a bag-of-words classifier, and the class by name.
fn sentiment() -> impl Model {
    let signature = Signature::new(
        [TensorSpec::new("ids", DType::Int64, [Batch, Free])],
        [TensorSpec::new("logits", DType::Fp32, [Batch, Fixed(2)])],
    );
    let weights = [[0.0_f32, 0.0], [2.0, -2.0], [-3.0, 3.0]];
    let classifier = Step::new("classifier", signature.unwrap(), move |tensors| {
        let ids = tensors.require("ids")?;
        let logits: Vec<f32> = ids
            .as_slice::<i64>()?
            .chunks(ids.shape()[1])
            .flat_map(|ids| {
                [0, 1].map(|class| ids.iter().map(|id| weights[*id as usize][class]).sum::<f32>())
            })
            .collect();
        Ok(Tensors::new().with("logits", matrix(2, &logits)))
    });
    classifier
        .inline()
        .preprocessed(Lookup::new("words", "ids", ["<unknown>", "good", "bad"]).unwrap().with_unknown(0))
        .unwrap()
        .postprocessed(Softmax::new("logits").into_output("probabilities"))
        .unwrap()
        .postprocessed(Argmax::new("probabilities", "label").with_labels(["positive", "negative"]))
        .unwrap()
}

fn words(words: &[&str]) -> Tensors {
    Tensors::new().with("words", Tensor::from_byte_strings(&[words.len() / 2, 2], words).unwrap())
}

#[tokio::test]
async fn text_goes_in_and_labels_come_out() {
    let model = sentiment();
    let inputs = words(&["good", "film", "bad", "bad"]);
    conformance::model::check(&model, &inputs).await;
    let response = model.predict(Request::new(inputs)).await.unwrap();
    assert_eq!(response.outputs.require("label").unwrap().strings().unwrap(), ["positive", "negative"]);
    let probabilities = values(&response, "probabilities");
    assert!((probabilities[0] - 0.982_013_8).abs() < 1e-6, "1 / (1 + e^-4): {probabilities:?}");
}

#[tokio::test]
async fn every_ready_made_step_keeps_the_contract() {
    let own = || Scripted::answering();
    let raw = Tensors::new().with("x", matrix(2, &[0.1, 0.9, 0.7, 0.3]));
    for step in [Standardize::new("x", [1.0, 2.0], [3.0, 4.0]), Standardize::new("x", [1.0], [3.0]).inverse()]
    {
        conformance::model::check(&own().preprocessed(step).unwrap(), &raw).await;
    }
    conformance::model::check(&own().preprocessed(Clip::new("x", 0.0, 0.5)).unwrap(), &raw).await;
    let wide = Tensors::new().with("x", Tensor::from_vec(&[1, 2], vec![1_i64, 2]).unwrap());
    conformance::model::check(&own().preprocessed(Cast::new("x", DType::Int64)).unwrap(), &wide).await;
    let flat = Tensors::new().with("x", Tensor::from_vec(&[2, 2, 1], vec![1.0_f32; 4]).unwrap());
    conformance::model::check(
        &own().preprocessed(Reshape::new("x", [Batch, Fixed(2), Fixed(1)])).unwrap(),
        &flat,
    )
    .await;
    let named = Tensors::new().with("z", matrix(2, &[0.1, 0.9]));
    conformance::model::check(&own().preprocessed(Rename::new([("z", "x")])).unwrap(), &named).await;
    let color = Tensors::new().with("x", vec![1_i64, 0]);
    conformance::model::check(&own().preprocessed(OneHot::new("x", 2)).unwrap(), &color).await;
    let two = Signature::new([row("x", 2), row("k", 1)], [row("x", 2)]).unwrap();
    let two = Step::new("two", two, |mut tensors| {
        tensors.remove("k");
        Ok(tensors)
    });
    let constant = Constant::new("k", vec![7.0_f32]);
    conformance::model::check(&two.inline().preprocessed(constant).unwrap(), &raw).await;

    conformance::model::check(&own().postprocessed(Softmax::new("y")).unwrap(), &raw).await;
    conformance::model::check(&own().postprocessed(TopK::new("y", 2, "classes")).unwrap(), &raw).await;
    let decided = own().postprocessed(Threshold::new("y", 0.5, "yes")).unwrap();
    conformance::model::check(&decided, &raw).await;
    conformance::model::check(&decided.postprocessed(Select::only(["yes"])).unwrap(), &raw).await;
}

#[tokio::test]
async fn graphs_switches_and_cascades_keep_the_contract() {
    let (a, b) = (|| elementwise(|x| x + 1.0), || elementwise(|x| 2.0 * x));
    let inputs = Tensors::new().with("x", matrix(2, &[0.1, 0.9, 0.7, 0.3]));
    let sequence = Graph::sequence([Node::new("a", a()), Node::new("b", b()).with_input("x", "y")]).unwrap();
    conformance::model::check(&sequence, &inputs).await;
    let ensemble = Graph::ensemble([Node::new("a", a()), Node::new("b", b())]).unwrap();
    conformance::model::check(&ensemble, &inputs).await;
    conformance::model::check(&ensemble.postprocessed(Mean::new("y")).unwrap(), &inputs).await;
    let voted = Graph::ensemble([Node::new("a", a()), Node::new("b", b())]).unwrap();
    conformance::model::check(&voted.postprocessed(Vote::new("y")).unwrap(), &inputs).await;
    let switch = Switch::new("a", a(), |_: &Request| Ok("b")).unwrap().with_branch("b", b()).unwrap();
    conformance::model::check(&switch, &inputs).await;
    conformance::model::check(&a().cascaded(b(), "y", 1.5).unwrap(), &inputs).await;
}

#[tokio::test]
async fn a_diamond_runs_its_branches_at_the_same_time() {
    // Each branch answers only when the other has begun.
    let begun = Arc::new(tokio::sync::Barrier::new(2));
    #[derive(Debug)]
    struct Meets(Scripted, Arc<tokio::sync::Barrier>);
    #[async_trait]
    impl Model for Meets {
        fn signature(&self) -> &Signature {
            self.0.signature()
        }

        async fn predict(&self, request: Request) -> Result<Response> {
            self.1.wait().await;
            self.0.predict(request).await
        }
    }
    let branch = |name: &str| {
        let model = Meets(Scripted::answering(), Arc::clone(&begun));
        Node::new(name, model).with_input("x", "doubled").with_output("y", name)
    };
    let both = Signature::new([row("left", 2), row("right", 2)], [row("sum", 2)]).unwrap();
    let sum = Step::new("sum", both, |tensors| {
        let (left, right) =
            (tensors.require("left")?.view::<f32>()?, tensors.require("right")?.view::<f32>()?);
        Ok(Tensors::new().with("sum", &left + &right))
    });
    let double = Node::new("double", elementwise(|x| 2.0 * x)).with_output("y", "doubled");
    let nodes = [Node::new("sum", sum.inline()), branch("left"), double, branch("right")];
    let graph = Graph::new(["x"], nodes, ["sum"]).unwrap();
    let response = graph.predict(x(&[1.0, 2.0])).await.unwrap();
    assert_eq!(values(&response, "sum"), [4.0, 8.0]);
}

#[tokio::test]
async fn every_node_sees_who_asks_until_when_and_how_urgently() {
    let (first, second) = (Scripted::answering(), Scripted::answering());
    let seen = [Arc::clone(&first.seen), Arc::clone(&second.seen)];
    let nodes = [Node::new("first", first), Node::new("second", second).with_input("x", "y")];
    let id = ModelId::new("pair".parse().unwrap(), "1.0.0".parse().unwrap());
    let graph = Graph::sequence(nodes).unwrap().with_id(id.clone());
    let deadline = Instant::now() + Duration::from_secs(60);
    let context = RoutingContext::new().with_key("user-42");
    let request =
        x(&[1.0, 2.0]).with_id("a-1").with_context(context.clone()).with_deadline(deadline).with_priority(3);
    let response = graph.predict(request).await.unwrap();
    assert_eq!((response.id.as_deref(), response.model.as_deref()), (Some("a-1"), Some(&id)));
    for seen in seen {
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].id.as_deref(), &seen[0].context), (Some("a-1"), &context));
        assert_eq!((seen[0].deadline, seen[0].priority), (Some(deadline), 3));
    }
}

#[tokio::test]
async fn a_failing_node_names_itself_and_keeps_its_variant() {
    let after = |failing: Scripted| {
        Graph::sequence([
            Node::new("good", elementwise(|x| x)),
            Node::new("bad", failing).with_input("x", "y"),
        ])
        .unwrap()
    };
    for error in [
        || Error::overloaded("why"),
        || Error::engine("why"),
        || Error::deadline_exceeded("why"),
        || Error::invalid_input("why"),
    ] {
        let failed = after(Scripted::failing(error)).predict(x(&[1.0, 2.0])).await.unwrap_err();
        assert_eq!(failed.label(), error().label());
        assert!(failed.to_string().ends_with(": node `bad`: why"), "{failed}");
    }
    let failed = after(Scripted::new(|_| panic!("oh"))).predict(x(&[1.0, 2.0])).await.unwrap_err();
    assert_eq!(failed.to_string(), "engine failed: node `bad`: the model panicked: oh");
}

#[tokio::test]
async fn a_failing_node_drops_the_others_and_so_does_a_caller_who_leaves() {
    let graph = |other: Scripted| {
        let hanging = Scripted::hanging();
        let dropped = Arc::clone(&hanging.dropped);
        (Graph::ensemble([Node::new("hanging", hanging), Node::new("other", other)]).unwrap(), dropped)
    };
    let (failing, dropped) = graph(Scripted::failing(|| Error::engine("why")));
    assert!(failing.predict(x(&[1.0, 2.0])).await.is_err());
    assert_eq!(dropped.load(Ordering::SeqCst), 1);

    let (left, dropped) = graph(Scripted::answering());
    let mut call = left.predict(x(&[1.0, 2.0]));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    drop(call);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_ensemble_goes_on_without_a_member_that_may_fail() {
    let ensemble = |third: Scripted, may_fail: bool| {
        let third = Node::new("third", third);
        let third = if may_fail { third.may_fail() } else { third };
        let members =
            [Node::new("first", elementwise(|_| 1.0)), Node::new("second", elementwise(|_| 4.0)), third];
        Graph::ensemble(members).unwrap().postprocessed(Mean::new("y").with_weight("second", 2.0)).unwrap()
    };
    let mean = |response: Result<Response>| values(&response.unwrap(), "y")[0];
    let request = || x(&[7.0, 7.0]);
    assert_eq!(mean(ensemble(Scripted::answering(), true).predict(request()).await), 4.0);
    let away = || Scripted::failing(|| Error::unavailable("away"));
    assert_eq!(mean(ensemble(away(), true).predict(request()).await), 3.0, "of the other two");
    let error = ensemble(away(), false).predict(request()).await.unwrap_err();
    assert_eq!(error.to_string(), "unavailable: node `third`: away");
    let refused = Scripted::failing(|| Error::invalid_input("no such user"));
    let error = ensemble(refused, true).predict(request()).await.unwrap_err();
    assert_eq!(error.to_string(), "invalid input: node `third`: no such user", "the caller's fault is said");
}

#[tokio::test]
async fn timings_are_those_along_the_slowest_path() {
    let nodes = [
        Node::new("first", Scripted::taking(1, 10)).with_output("y", "a"),
        Node::new("slow", Scripted::taking(20, 3)).with_input("x", "a").with_output("y", "b"),
        Node::new("fast", Scripted::taking(0, 8)).with_input("x", "a").with_output("y", "c"),
        Node::new("aside", Scripted::taking(15, 0)).with_output("y", "d"),
        Node::new("last", Scripted::taking(0, 5)).with_input("x", "b").with_output("y", "e"),
    ];
    let graph = Graph::new(["x"], nodes, ["c", "d", "e"]).unwrap();
    let timings = graph.predict(x(&[1.0, 2.0])).await.unwrap().timings;
    assert_eq!(timings, Timings { queue: Duration::from_millis(21), compute: Duration::from_millis(18) });
}

#[tokio::test]
async fn tensors_pass_through_a_graph_without_a_copy() {
    let nodes = [Node::new("first", Scripted::answering()), Node::new("second", Scripted::answering())];
    let [first, second] = nodes;
    let graph = Graph::sequence([first, second.with_input("x", "y")]).unwrap();
    let request = x(&[1.0, 2.0]);
    let address = request.inputs.require("x").unwrap().as_bytes().as_ptr();
    let response = graph.predict(request).await.unwrap();
    assert_eq!(response.outputs.require("y").unwrap().as_bytes().as_ptr(), address);
}

#[tokio::test]
async fn a_model_that_withholds_an_output_is_named() {
    #[derive(Debug)]
    struct Withholds(Scripted);
    #[async_trait]
    impl Model for Withholds {
        fn signature(&self) -> &Signature {
            self.0.signature()
        }

        async fn predict(&self, request: Request) -> Result<Response> {
            Ok(Response::new(Tensors::new()).with_id(request.id))
        }
    }
    let graph = Graph::sequence([Node::new("mute", Withholds(Scripted::answering()))]).unwrap();
    let error = graph.predict(x(&[1.0, 2.0])).await.unwrap_err();
    assert_eq!(error.to_string(), "internal error: node `mute` did not give its output `y`");
}

#[tokio::test]
async fn a_switch_asks_the_branch_that_the_condition_names() {
    let more = Signature::new([row("x", 2)], [row("y", 2), row("extra", 2)]).unwrap();
    let more = Step::new("more", more, |mut tensors| {
        let x = tensors.remove("x").unwrap();
        Ok(Tensors::new().with("y", x.clone()).with("extra", x))
    });
    let failing = Scripted::failing(|| Error::overloaded("full"));
    let switch = Switch::new("small", elementwise(|x| -x), |request: &Request| {
        match request.inputs.require("x")?.as_slice::<f32>()? {
            [first, ..] if *first > 100.0 => panic!("too much"),
            [first, ..] if *first > 10.0 => Ok("large"),
            _ => Ok(request.context.attribute("branch").unwrap_or("small")),
        }
    });
    let switch =
        switch.unwrap().with_branch("large", more.inline()).unwrap().with_branch("full", failing).unwrap();
    let response = switch.predict(x(&[1.0, 2.0])).await.unwrap();
    assert_eq!(values(&response, "y"), [-1.0, -2.0]);
    assert_eq!(response.variant.unwrap().as_str(), "small");
    let response = switch.predict(x(&[11.0, 2.0])).await.unwrap();
    assert_eq!(response.outputs.names().collect::<Vec<_>>(), ["y"], "only what the signature says");
    assert_eq!(
        (response.variant.unwrap().as_str(), response.reason),
        ("large", Some(Reason::Targeted("switch".into())))
    );

    let to =
        |branch: &str| x(&[1.0, 2.0]).with_context(RoutingContext::new().with_attribute("branch", branch));
    let error = switch.predict(to("full")).await.unwrap_err();
    assert_eq!(error.to_string(), "overloaded: branch `full`: full");
    let error = switch.predict(to("huge")).await.unwrap_err();
    let expected = "invalid input: the switch has no branch `huge` (there are `small`, `large`, `full`)";
    assert_eq!(error.to_string(), expected);
    let error = switch.predict(x(&[101.0, 2.0])).await.unwrap_err().to_string();
    assert_eq!(error, "engine failed: the condition of the switch: the model panicked: too much");
}

#[test]
fn branches_that_cannot_stand_in_are_refused() {
    let switch = || Switch::new("a", elementwise(|x| x), |_: &Request| Ok("a")).unwrap();
    let other = || Step::new("o", Signature::new([row("z", 2)], [row("y", 2)]).unwrap(), Ok).inline();
    let error = switch().with_branch("b", other()).unwrap_err();
    assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    assert!(
        error.to_string().contains("branch `b` cannot answer in the place of the first model: breaking"),
        "{error}"
    );
    let error = switch().with_branch("a", elementwise(|x| x)).unwrap_err().to_string();
    assert_eq!(error, "invalid input: there are two branches `a`");
    assert!(matches!(switch().with_branch("no name", elementwise(|x| x)), Err(Error::InvalidInput(_))));
    assert!(matches!(elementwise(|x| x).cascaded(other(), "y", 0.5), Err(Error::InvalidInput(_))));
    let flat = TensorSpec::new("x", DType::Fp32, [Free, Fixed(2)]);
    let flat = Step::new("flat", Signature::new([flat], [row("y", 2)]).unwrap(), Ok).inline();
    assert!(elementwise(|x| x).cascaded(flat, "y", 0.5).is_err(), "its rows may depend on each other");
    assert!(matches!(elementwise(|x| x).cascaded(elementwise(|x| x), "z", 0.5), Err(Error::InvalidInput(_))));
    assert!(matches!(
        elementwise(|x| x).cascaded(elementwise(|x| x), "y", f64::NAN),
        Err(Error::InvalidInput(_))
    ));
}

#[tokio::test]
async fn a_cascade_sends_on_only_the_rows_it_is_not_sure_of() {
    let (small, large) = (Scripted::taking(1, 2), Scripted::taking(10, 20));
    let asked = Arc::clone(&large.seen);
    let large = large.postprocessed(Standardize::new("y", [100.0], [1.0]).inverse()).unwrap();
    let cascade = small.cascaded(large, "y", 0.9).unwrap();

    let response = cascade.predict(x(&[0.9, 0.1, 0.6, 0.4, 0.0, 1.0, 0.5, 0.5])).await.unwrap();
    assert_eq!(values(&response, "y"), [0.9, 0.1, 100.6, 100.4, 0.0, 1.0, 100.5, 100.5]);
    assert_eq!(response.reason, Some(Reason::Other("escalated".into())));
    assert_eq!(response.timings.queue, Duration::from_millis(11));
    assert!(response.timings.compute >= Duration::from_millis(22));
    assert_eq!(asked.lock().unwrap()[0].inputs, Tensors::new().with("x", matrix(2, &[0.6, 0.4, 0.5, 0.5])));

    let response = cascade.predict(x(&[0.9, 0.1])).await.unwrap();
    assert_eq!((values(&response, "y"), response.reason), (vec![0.9, 0.1], None));
    assert_eq!(asked.lock().unwrap().len(), 1, "the larger model was not asked");
    let response = cascade.predict(x(&[f32::NAN, 0.1])).await.unwrap();
    assert_eq!(values(&response, "y")[1], 100.1, "NaN is never sure");
    assert!(cascade.predict(Request::new(Tensors::new().with("x", matrix(2, &[])))).await.is_ok(), "no rows");
}

#[tokio::test]
async fn a_cascade_without_rows_is_all_or_nothing() {
    let spec = |name| TensorSpec::new(name, DType::Fp64, [Fixed(2)]);
    let model = |factor: f64| {
        let signature = Signature::new([spec("x")], [spec("y")]).unwrap();
        let step = Step::new("model", signature, move |mut tensors| {
            let x = tensors.remove("x").unwrap().into_array::<f64>()?;
            Ok(Tensors::new().with("y", x * factor))
        });
        step.inline()
    };
    let cascade = model(1.0).cascaded(model(2.0), "y", 0.5).unwrap();
    for (x, expected) in [([0.1, 0.6], [0.1, 0.6]), ([0.1, 0.4], [0.2, 0.8])] {
        let response = cascade.predict(Request::new(Tensors::new().with("x", x.to_vec()))).await.unwrap();
        assert_eq!(response.outputs.require("y").unwrap().as_slice::<f64>().unwrap(), expected);
    }
}

#[tokio::test]
async fn faults_of_a_cascade_say_whose_they_are() {
    let large = || Scripted::failing(|| Error::unavailable("away"));
    let failed = |error: Result<Response>| error.unwrap_err().to_string();
    let unsure = || x(&[0.1, 0.2]);
    let cascade = Scripted::answering().cascaded(large(), "y", 0.9).unwrap();
    assert_eq!(failed(cascade.predict(unsure()).await), "unavailable: the larger model of the cascade: away");
    let cascade = large().cascaded(Scripted::answering(), "y", 0.9).unwrap();
    assert_eq!(
        failed(cascade.predict(unsure()).await),
        "unavailable: the smaller model of the cascade: away"
    );
    let cascade = Cascade::new(Scripted::answering(), large(), |_| Ok(vec![true; 3])).unwrap();
    let expected = "internal error: the condition of the cascade judged 3 rows, but there are 1";
    assert_eq!(failed(cascade.predict(unsure()).await), expected);
    let cascade = Cascade::new(Scripted::answering(), large(), |_| panic!("oh")).unwrap();
    let expected = "engine failed: the condition of the cascade: the model panicked: oh";
    assert_eq!(failed(cascade.predict(unsure()).await), expected);
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("inline models answer at once"),
    }
}

proptest! {
    #[test]
    fn a_sequence_is_the_composition_of_its_nodes(
        maps in prop::collection::vec((-4_i8..4, -4_i8..4), 1..6), rows in prop::collection::vec(-9_i8..9, 1..5),
    ) {
        let function = |(scale, shift): (i8, i8)| move |x: f32| f32::from(scale) * x + f32::from(shift);
        let nodes = maps.iter().enumerate().map(|(index, map)| {
            let node = Node::new(format!("node-{index}"), elementwise(function(*map)));
            if index == 0 { node } else { node.with_input("x", "y") }
        });
        let graph = Graph::sequence(nodes).unwrap();
        let input: Vec<f32> = rows.iter().flat_map(|row| [f32::from(*row), 1.0]).collect();
        let by_hand: Vec<f32> =
            input.iter().map(|x| maps.iter().fold(*x, |x, map| function(*map)(x))).collect();
        prop_assert_eq!(values(&block_on(graph.predict(x(&input))).unwrap(), "y"), by_hand);
    }

    #[test]
    fn a_row_gets_the_same_answer_alone_and_in_a_batch(rows in prop::collection::vec((-2.0_f32..2.0, -2.0_f32..2.0), 1..8)) {
        let members = [Node::new("one", elementwise(f32::sin)), Node::new("two", elementwise(|x| x * x))];
        let ensemble = Graph::ensemble(members).unwrap().postprocessed(Mean::new("y")).unwrap();
        let model = elementwise(|x| x).cascaded(ensemble, "y", 0.8).unwrap();
        let input: Vec<f32> = rows.iter().flat_map(|(one, two)| [*one, *two]).collect();
        let together = values(&block_on(model.predict(x(&input))).unwrap(), "y");
        let alone: Vec<f32> =
            input.chunks(2).flat_map(|row| values(&block_on(model.predict(x(row))).unwrap(), "y")).collect();
        prop_assert_eq!(together, alone);
    }
}
