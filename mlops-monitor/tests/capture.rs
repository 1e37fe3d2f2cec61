//! Captured predictions: what is written and how, what is hidden, lost and found again.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

#[path = "common/store.rs"]
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};
use futures_util::TryStreamExt;
use mlops_core::reexports::bytes::Bytes;
use mlops_core::reexports::half::{bf16, f16};
use mlops_core::reexports::jiff::Timestamp;
use mlops_core::{
    Error, ManualClock, ModelId, ModelName, Observer, Prediction, Request, Response, Role, RoutingContext,
    Tensor, Tensors, Variant,
};
use mlops_monitor::capture::{
    self, CaptureObserver, CaptureOptions, CaptureStats, Failures, Field, Format, Redaction,
};
use mlops_monitor::quality::{InferOptions, Outcome, Suite};
use mlops_monitor::{Features, Profile, Table, TensorFeatures, ValueKind};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use store::{Fault, Faulty};

const LOG: &str = "log";

fn options() -> CaptureOptions {
    CaptureOptions::default().with_retries(4, Duration::from_millis(1))
}

fn start(store: &Arc<impl ObjectStore>, options: CaptureOptions) -> CaptureObserver {
    CaptureObserver::start(Arc::clone(store) as Arc<dyn ObjectStore>, LOG, options).unwrap()
}

fn request(id: &str, x: Vec<f32>) -> Request {
    Request::new(Tensors::new().with("x", x)).with_id(id)
}

fn observe(observer: &CaptureObserver, request: &Request, outputs: Tensors) {
    let response = Response::new(outputs);
    observer.observe(&Prediction::new(request, Ok(&response), Duration::from_millis(2)));
}

fn stats(stats: CaptureStats) -> [u64; 4] {
    [stats.written, stats.dropped, stats.failed, stats.pending]
}

async fn objects(store: &impl ObjectStore) -> Vec<Path> {
    let listed: Vec<_> = store.list(Some(&Path::from(LOG))).try_collect().await.unwrap();
    let mut paths: Vec<_> = listed.into_iter().map(|object| object.location).collect();
    paths.sort();
    paths
}

async fn bytes(store: &impl ObjectStore, path: &Path) -> Vec<u8> {
    store.get(path).await.unwrap().bytes().await.unwrap().to_vec()
}

async fn batches(store: &impl ObjectStore) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    for path in objects(store).await {
        let file = store.get(&path).await.unwrap().bytes().await.unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        batches.extend(reader.map(Result::unwrap));
    }
    batches
}

async fn tables(store: &Arc<impl ObjectStore>) -> Vec<Table> {
    let store = Arc::clone(store) as Arc<dyn ObjectStore>;
    capture::read(store, LOG, ..).await.unwrap().try_collect().await.unwrap()
}

fn numbers<'a>(table: &'a Table, column: &str) -> &'a [f64] {
    table.column(column).unwrap().as_numbers().unwrap()
}

fn words<'a>(table: &'a Table, column: &str) -> Vec<Option<&'a str>> {
    table.column(column).unwrap().as_words().unwrap().iter().collect()
}

#[tokio::test]
async fn what_is_written_is_what_was_observed() {
    let store = Arc::new(InMemory::new());
    let clock = ManualClock::new("2026-11-22T01:46:00.5Z".parse().unwrap());
    let observer = start(&store, options().with_clock(clock));
    let inputs = Tensors::new()
        .with("flag", vec![true, false])
        .with("count", vec![1_i64, i64::MAX])
        .with("price", vec![0.5_f64, f64::NAN])
        .with("half", vec![f16::from_f32(1.5), f16::from_f32(-2.0)])
        .with("brain", vec![bf16::from_f32(2.5), bf16::from_f32(3.0)])
        .with("city", Tensor::from_byte_strings(&[2], ["Oslo", "Rome"]).unwrap())
        .with("blob", Tensor::from_byte_strings(&[2], [&b"\xff\x00"[..], b"a"]).unwrap())
        .with("pixels", ndarray::array![[[1.0_f32, 2.0]], [[3.0, 4.0]]]);
    let context = RoutingContext::new().with_attribute("country", "NO").with_attribute("tier", "a\"b");
    let request = Request::new(inputs).with_id("a-17").with_context(context);
    let model = ModelId::new(ModelName::new("fraud").unwrap(), "2.1.0".parse().unwrap());
    let words = Tensor::from_byte_strings(&[2, 2], ["a", "b", "c", ""]).unwrap();
    let response = Response::new(Tensors::new().with("score", vec![0.25_f32, 0.75]).with("words", words));
    let response = response.with_model(model);
    let variant = Variant::new("canary").unwrap();
    let prediction = Prediction::new(&request, Ok(&response), Duration::from_micros(1500));
    observer.observe(&prediction.of_variant(&variant, Role::Primary));
    assert_eq!(stats(observer.shutdown().await), [1, 0, 0, 0]);

    let [batch] = &batches(&*store).await[..] else { panic!() };
    let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().iter().collect::<Vec<_>>();
    assert_eq!(text("id"), [Some("a-17"); 2]);
    assert_eq!((text("model"), text("version")), (vec![Some("fraud"); 2], vec![Some("2.1.0"); 2]));
    assert_eq!(
        (text("variant"), text("role"), text("outcome")),
        (vec![Some("canary"); 2], vec![Some("primary"); 2], vec![Some("ok"); 2])
    );
    assert_eq!(text("attributes"), [Some(r#"{"country":"NO","tier":"a\"b"}"#); 2]);
    assert_eq!(text("input.city"), [Some("Oslo"), Some("Rome")]);
    let column = |name: &str| batch.column_by_name(name).unwrap();
    assert_eq!(column("row").as_primitive::<Int32Type>().values()[..], [0, 1]);
    assert_eq!(column("latency_seconds").as_primitive::<Float64Type>().values()[..], [0.0015; 2]);
    assert_eq!(column("input.flag").as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false)]);
    assert_eq!(column("input.count").as_primitive::<Int64Type>().values()[..], [1, i64::MAX]);
    let price = column("input.price").as_primitive::<Float64Type>();
    assert!(price.null_count() == 0 && price.value(0) == 0.5 && price.value(1).is_nan());
    assert_eq!(column("input.half").data_type(), &DataType::Float16);
    assert_eq!(column("input.brain").as_primitive::<Float32Type>().values()[..], [2.5, 3.0]);
    let blob = column("input.blob").as_binary::<i32>().iter().map(Option::unwrap).collect::<Vec<_>>();
    assert_eq!(blob, [&b"\xff\x00"[..], b"a"]);
    let pixels = column("input.pixels").as_list::<i32>();
    assert_eq!(pixels.value(1).as_primitive::<Float32Type>().values()[..], [3.0, 4.0]);
    let lists = column("output.words").as_list::<i32>();
    assert_eq!(lists.value(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("c"), Some("")]);
    let DataType::Timestamp(_, zone) = column("time").data_type() else { panic!() };
    assert_eq!(zone.as_deref(), Some("+00:00"));

    let [path] = &objects(&*store).await[..] else { panic!() };
    let name = "log/year=2026/month=11/day=22/20261122T014600.500000Z_20261122T014600.500000Z-";
    assert!(path.as_ref().starts_with(name) && path.as_ref().ends_with(".parquet"), "{path}");
}

#[tokio::test]
async fn both_formats_are_read_back_as_rows_of_a_reference() {
    for format in [Format::Parquet, Format::JsonLines] {
        let store = Arc::new(InMemory::new());
        let features = Features::new([TensorFeatures::columns("x", ["age", "income"])]).unwrap();
        let observer = start(&store, options().with_format(format).with_features(features));
        for row in 0..200 {
            let age = 20.0 + (row % 40) as f32;
            let x = ndarray::array![[age, 1000.5 + row as f32], [age + 1.0, 900.0]];
            let city = Tensor::from_byte_strings(&[2], [["Oslo", "Rome"][row % 2]; 2]).unwrap();
            let request =
                Request::new(Tensors::new().with("x", x).with("city", city)).with_id(format!("r{row}"));
            observe(
                &observer,
                &request,
                Tensors::new().with("p", ndarray::array![[0.25_f32, 0.75], [0.5, 0.5]]),
            );
        }
        assert_eq!(stats(observer.shutdown().await), [200, 0, 0, 0]);

        let tables = tables(&store).await;
        let [table] = &tables[..] else { panic!("{format:?}") };
        assert_eq!(table.rows(), 400);
        assert_eq!(numbers(table, "age")[..4], [20.0, 21.0, 21.0, 22.0]);
        assert_eq!(numbers(table, "income")[..3], [1000.5, 900.0, 1001.5]);
        assert_eq!(numbers(table, "output.p_1")[..3], [0.75, 0.5, 0.75]);
        assert_eq!(words(table, "input.city")[..3], [Some("Oslo"), Some("Oslo"), Some("Rome")]);
        assert_eq!(words(table, "id")[399], Some("r199"));
        assert_eq!(table.column("time").unwrap().kind(), ValueKind::Integer);

        let suite = Suite::infer(table, &InferOptions::default()).unwrap();
        assert_eq!(suite.check(table).outcome, Outcome::Passed);

        let named = TensorFeatures::columns("x", ["age", "income"]);
        let profile = Profile::from_table(table, Features::new([named]).unwrap()).unwrap();
        assert_eq!(profile.rows(), 400);
    }
}

#[tokio::test]
async fn a_span_of_time_is_read_without_the_rest() {
    let store = Arc::new(InMemory::new());
    let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
    let clock = ManualClock::new(at(0));
    let observer = start(&store, options().with_clock(clock.clone()).with_max_rows(10));
    for second in 0..100 {
        clock.set_wall(at(second));
        observe(&observer, &request(&second.to_string(), vec![second as f32]), Tensors::new());
    }
    observer.shutdown().await;
    assert_eq!(objects(&*store).await.len(), 10);

    let read = async |range: std::ops::Range<Timestamp>| {
        let store = Arc::clone(&store) as Arc<dyn ObjectStore>;
        let tables: Vec<_> = capture::read(store, LOG, range).await.unwrap().try_collect().await.unwrap();
        tables.iter().flat_map(|table| numbers(table, "input.x").to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(read(at(8)..at(12)).await, [8.0, 9.0, 10.0, 11.0]);
    assert_eq!(read(at(-10)..at(1)).await, [0.0]);
    assert_eq!(read(at(100)..at(200)).await, [0.0; 0]);
    assert_eq!(read(at(0)..at(100)).await.len(), 100);
}

/// All that a file holds, as text.
async fn contents(store: &impl ObjectStore) -> String {
    let mut all = String::new();
    for path in objects(store).await {
        let file = bytes(store, &path).await;
        all.push_str(&String::from_utf8_lossy(&file));
        if path.as_ref().ends_with(".parquet") {
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap().build().unwrap();
            all.extend(reader.map(|batch| format!("{:?}", batch.unwrap())));
        }
    }
    all
}

#[tokio::test]
async fn what_is_redacted_is_in_no_object() {
    for format in [Format::Parquet, Format::JsonLines] {
        let store = Arc::new(InMemory::new());
        let features = Features::new([TensorFeatures::columns("x", ["age", "salary"])]).unwrap();
        let redactions = [
            (Field::Id, Redaction::hash("key")),
            (Field::input("name"), Redaction::Remove),
            (Field::input("mail"), Redaction::Mask),
            (Field::input("tags"), Redaction::hash("key")),
            (Field::output("text"), Redaction::Remove),
            (Field::feature("salary"), Redaction::Mask),
            (Field::attribute("user"), Redaction::hash("key")),
            (Field::attribute("token"), Redaction::Remove),
        ];
        let options = redactions
            .into_iter()
            .fold(options().with_format(format).with_features(features), |options, (field, redaction)| {
                options.with_redaction(field, redaction)
            });
        let observer = start(&store, options);
        let secret = |name: &str| Tensor::from_byte_strings(&[1], [format!("secret-{name}")]).unwrap();
        let tags = Tensor::from_byte_strings(&[1, 2], ["secret-a", "secret-b"]).unwrap();
        let context = RoutingContext::new().with_key("secret-key").with_attribute("user", "secret-user");
        let context = context.with_attribute("token", "secret-token").with_attribute("country", "NO");
        let inputs = Tensors::new().with("x", ndarray::array![[41.0_f32, 98765.0]]).with("tags", tags);
        let inputs = inputs.with("name", secret("name")).with("mail", secret("mail"));
        let request = Request::new(inputs.clone()).with_id("secret-id").with_context(context.clone());
        observe(&observer, &request, Tensors::new().with("text", secret("text")));
        // Of another shape, so that the feature cannot be told apart.
        let odd = inputs.with("x", ndarray::array![[41.0_f32, 98765.0, 1.0]]);
        observe(&observer, &Request::new(odd).with_id("secret-id").with_context(context), Tensors::new());
        let error = Error::engine("secret-error");
        observer.observe(&Prediction::new(&request, Err(&error), Duration::ZERO));
        assert_eq!(stats(observer.shutdown().await), [3, 0, 0, 0]);

        let contents = contents(&*store).await;
        assert!(!contents.contains("secret") && !contents.contains("98765"), "{contents}");
        assert!(contents.contains("***") && contents.contains("NO"));

        let tables = tables(&store).await;
        let ids: BTreeSet<_> = tables.iter().flat_map(|table| words(table, "id")).collect();
        assert_eq!(ids.len(), 1, "equal values have equal hashes");
        assert_eq!(numbers(&tables[0], "age")[0], 41.0);
        assert_eq!(words(&tables[0], "salary")[0], Some("***"));
        assert!(tables.iter().all(|table| table.column("input.name").is_none()));
    }
}

#[tokio::test]
async fn replicas_take_the_same_requests() {
    let taken = async |failing: bool| {
        let store = Arc::new(InMemory::new());
        let observer = start(&store, options().with_sampling(0.2).with_failures(Failures::Always));
        let error = Error::engine("broken");
        for id in 0..1000 {
            let request = request(&id.to_string(), vec![id as f32]);
            if failing && id % 10 == 0 {
                observer.observe(&Prediction::new(&request, Err(&error), Duration::ZERO));
            } else {
                observe(&observer, &request, Tensors::new());
            }
        }
        observer.shutdown().await;
        let tables = tables(&store).await;
        tables.iter().flat_map(|table| numbers(table, "input.x")).map(|x| *x as u32).collect::<BTreeSet<_>>()
    };
    let (one, other, failing) = (taken(false).await, taken(false).await, taken(true).await);
    assert_eq!(one, other);
    assert!((150..250).contains(&one.len()), "{}", one.len());
    let expected: BTreeSet<u32> = one.into_iter().chain((0..1000).step_by(10)).collect();
    assert_eq!(failing, expected);
}

#[tokio::test]
async fn shadows_and_failures_can_be_left_out() {
    let store = Arc::new(InMemory::new());
    let observer = start(&store, options().with_shadows(false).with_failures(Failures::Never));
    let (request, response) = (request("a", vec![1.0]), Response::default());
    let variant = Variant::new("b").unwrap();
    let prediction = Prediction::new(&request, Ok(&response), Duration::ZERO);
    observer.observe(&prediction.of_variant(&variant, Role::Shadow));
    observer.observe(&Prediction::new(&request, Err(&Error::engine("broken")), Duration::ZERO));
    assert_eq!(stats(observer.shutdown().await), [0; 4]);
    assert!(objects(&*store).await.is_empty());
}

#[tokio::test]
async fn files_are_full_by_rows_bytes_and_age() {
    let store = Arc::new(InMemory::new());
    let observer = start(&store, options().with_max_rows(100));
    (0..50).for_each(|id| observe(&observer, &request(&id.to_string(), vec![1.0; 10]), Tensors::new()));
    assert_eq!(stats(observer.shutdown().await), [50, 0, 0, 0]);
    assert_eq!(objects(&*store).await.len(), 5);

    let store = Arc::new(InMemory::new());
    let observer = start(&store, options().with_max_bytes(10_000));
    (0..50).for_each(|id| {
        let x = Tensors::new().with("x", ndarray::Array2::<f32>::zeros((1, 500)));
        observe(&observer, &Request::new(x).with_id(id.to_string()), Tensors::new());
    });
    assert_eq!(stats(observer.shutdown().await), [50, 0, 0, 0]);
    assert_eq!(objects(&*store).await.len(), 10);

    let store = Arc::new(InMemory::new());
    let clock = ManualClock::default();
    let observer =
        start(&store, options().with_clock(clock.clone()).with_max_age(Duration::from_millis(100)));
    observe(&observer, &request("a", vec![1.0]), Tensors::new());
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(stats(observer.stats()), [0, 0, 0, 1]);
    clock.advance(Duration::from_millis(100));
    while observer.stats().written == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(objects(&*store).await.len(), 1);
    observe(&observer, &request("b", vec![1.0]), Tensors::new());
    assert_eq!(stats(observer.flush().await.unwrap()), [2, 0, 0, 0]);
}

#[tokio::test]
async fn what_there_is_no_room_for_is_dropped_and_counted() {
    let store = Arc::new(InMemory::new());
    let observer = start(&store, options().with_queue(10, 1 << 20));
    (0..25).for_each(|id| observe(&observer, &request(&id.to_string(), vec![1.0]), Tensors::new()));
    assert_eq!(stats(observer.stats()), [0, 15, 0, 10]);
    assert_eq!(stats(observer.flush().await.unwrap()), [10, 15, 0, 0]);

    let large = || Request::new(Tensors::new().with("x", ndarray::Array2::<f32>::zeros((1, 100_000))));
    (0..5).for_each(|_| observe(&observer, &large(), Tensors::new()));
    assert_eq!(stats(observer.flush().await.unwrap()), [12, 18, 0, 0]);
    assert_eq!(stats(observer.shutdown().await), [12, 18, 0, 0]);

    observe(&observer, &request("late", vec![1.0]), Tensors::new());
    assert_eq!(stats(observer.shutdown().await), [12, 19, 0, 0]);
    assert!(observer.flush().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_threads_lose_and_double_nothing() {
    let store = Arc::new(InMemory::new());
    let observer = Arc::new(start(&store, options().with_queue(500, 1 << 20).with_max_rows(300)));
    let threads = (0..8).map(|thread| {
        let observer = Arc::clone(&observer);
        std::thread::spawn(move || {
            for call in 0..1000 {
                observe(
                    &observer,
                    &request(&format!("{thread}-{call}"), vec![thread as f32]),
                    Tensors::new(),
                );
            }
        })
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    let [written, dropped, failed, pending] = stats(observer.shutdown().await);
    assert_eq!((written + dropped, failed, pending), (8000, 0, 0));
    assert!(written >= 500);
    let tables = tables(&store).await;
    let ids: Vec<_> = tables.iter().flat_map(|table| words(table, "id")).flatten().collect();
    assert_eq!(ids.len() as u64, written);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len() as u64, written);
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_loses_and_doubles_nothing() {
    for faults in [vec![Fault::Before; 3], vec![Fault::After], vec![Fault::Before, Fault::After]] {
        let store = Arc::new(Faulty::next(faults.clone()));
        let observer = start(&store, options());
        observe(&observer, &request("a", vec![1.0, 2.0]), Tensors::new());
        assert_eq!(stats(observer.shutdown().await), [1, 0, 0, 0], "{faults:?}");
        assert_eq!(tables(&store).await.iter().map(Table::rows).sum::<usize>(), 2);
        assert_eq!(store.puts().into_iter().collect::<BTreeSet<_>>().len(), 1, "one object, asked for again");
    }
}

#[tokio::test]
async fn a_store_that_goes_on_failing_is_given_up_and_counted() {
    for (fault, attempts) in [(Fault::Before, 4), (Fault::Denied, 1)] {
        let store = Arc::new(Faulty::always(fault));
        let observer = start(&store, options());
        (0..7).for_each(|id| observe(&observer, &request(&id.to_string(), vec![1.0]), Tensors::new()));
        assert_eq!(stats(observer.shutdown().await), [0, 0, 7, 0]);
        assert_eq!(store.puts().len(), attempts);
        assert!(objects(&*store).await.is_empty());
    }
}

#[tokio::test]
async fn a_store_that_never_answers_holds_back_and_the_rest_is_dropped() {
    let store = Arc::new(Faulty::always(Fault::Silence));
    let observer = start(&store, options().with_queue(5, 1 << 20).with_max_rows(1).with_uploads(2));
    for id in 0..100 {
        observe(&observer, &request(&id.to_string(), vec![1.0]), Tensors::new());
        tokio::task::yield_now().await;
    }
    let [written, dropped, failed, pending] = stats(observer.stats());
    assert_eq!((written, failed, dropped + pending), (0, 0, 100));
    assert!(pending <= 5 + 2 + 1, "{pending}");
}

#[test]
fn a_crash_loses_what_was_not_written_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let observer = runtime.block_on(async {
        let observer = start(&store, options().with_max_rows(50).with_queue(1000, 1 << 20));
        for id in 0..500 {
            observe(&observer, &request(&id.to_string(), vec![id as f32]), Tensors::new());
        }
        while observer.stats().written < 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        observer
    });
    runtime.shutdown_background();
    let [written, dropped, failed, _] = stats(observer.stats());
    assert_eq!((dropped, failed), (0, 0));

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tables = runtime.block_on(tables(&store));
    let rows: usize = tables.iter().map(Table::rows).sum();
    assert!(rows as u64 >= written && rows <= 500 && rows.is_multiple_of(50), "{rows} of {written}");
}

#[tokio::test]
async fn rows_that_differ_in_shape_and_type_find_their_columns() {
    let store = Arc::new(InMemory::new());
    let observer = start(&store, options());
    let send =
        |id: &str, inputs: Tensors| observe(&observer, &Request::new(inputs).with_id(id), Tensors::new());
    send("scalar", Tensors::new().with("x", vec![1.0_f32]));
    send("absent", Tensors::new());
    send("list", Tensors::new().with("x", ndarray::array![[2.0_f32, 3.0]]));
    send("again", Tensors::new().with("x", vec![4.0_f32]));
    send("uneven", Tensors::new().with("x", vec![5.0_f32, 6.0]).with("y", vec![7.0_f32; 3]));
    send("other type", Tensors::new().with("x", vec![8_i64]));
    send("empty", Tensors::new().with("x", vec![0_i64; 0]));
    assert_eq!(stats(observer.shutdown().await), [7, 0, 0, 0]);

    let batches = batches(&*store).await;
    assert_eq!(batches.len(), 2, "a file has one type per column");
    let mut lists = BTreeMap::new();
    for batch in &batches {
        let ids = batch.column_by_name("id").unwrap().as_string::<i32>();
        let x = batch.column_by_name("input.x").unwrap().as_list::<i32>();
        for row in 0..batch.num_rows() {
            let values =
                x.is_valid(row).then(|| arrow::compute::cast(&x.value(row), &DataType::Float64).unwrap());
            let values = values.map(|values| values.as_primitive::<Float64Type>().values().to_vec());
            lists.insert(ids.value(row).to_owned(), values);
        }
    }
    let expected = [
        ("absent", None),
        ("again", Some(vec![4.0])),
        ("empty", Some(vec![])),
        ("list", Some(vec![2.0, 3.0])),
        ("other type", Some(vec![8.0])),
        ("scalar", Some(vec![1.0])),
        ("uneven", Some(vec![5.0, 6.0])),
    ];
    assert_eq!(lists, expected.map(|(id, values)| (id.to_owned(), values)).into());
}

#[tokio::test]
async fn what_is_impossible_is_refused() {
    let refused = |prefix: &str, options: CaptureOptions| {
        CaptureObserver::start(Arc::new(InMemory::new()), prefix, options).unwrap_err().to_string()
    };
    let named = |name: &str| Features::new([TensorFeatures::column(name)]).unwrap();
    for (options, said) in [
        (options().with_sampling(0.0), "the sampling share is 0"),
        (options().with_queue(0, 1), "`queue` is 0"),
        (options().with_max_bytes(usize::MAX), "`max_bytes` is"),
        (options().with_redaction(Field::Id, Redaction::hash("")), "the key for the hash of Id is empty"),
        (
            options().with_redaction(Field::feature("x"), Redaction::Mask),
            "`x` is to be redacted but is no feature",
        ),
        (options().with_features(named("time")), "a feature cannot be called `time`"),
        (options().with_features(named("input.x")), "a feature cannot be called `input.x`"),
    ] {
        let error = refused(LOG, options);
        assert!(error.contains(said), "{error}");
    }
    assert!(refused("a//b", options()).contains("cannot be a prefix"));
}

#[test]
fn outside_of_a_runtime_it_does_not_start() {
    let error = CaptureObserver::start(Arc::new(InMemory::new()), LOG, options()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn objects_that_are_harmed_are_said_to_be_and_others_left_alone() {
    let store = Arc::new(InMemory::new());
    store.put(&Path::from("log/notes.txt"), "hello".into()).await.unwrap();
    assert!(tables(&store).await.is_empty());
    let name = "log/20261122T014600.500000Z_20261122T014600.500000Z-x.parquet";
    store.put(&Path::from(name), "no parquet".into()).await.unwrap();
    let read = capture::read(Arc::clone(&store) as Arc<dyn ObjectStore>, LOG, ..).await.unwrap();
    let error = read.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, Error::Integrity { .. }) && error.to_string().contains(name), "{error}");
}

#[tokio::test]
async fn columns_of_nulls_fill_files_too() {
    let store = Arc::new(InMemory::new());
    let observer = start(&store, options().with_max_bytes(100_000));
    for name in 0..300 {
        let request = Request::new(Tensors::new().with(format!("x{name}"), vec![1.0_f64]));
        observe(&observer, &request, Tensors::new());
    }
    assert_eq!(stats(observer.shutdown().await), [300, 0, 0, 0]);
    assert!(
        objects(&*store).await.len() > 2,
        "a file grew to 300 columns of 300 rows, nearly all of them null"
    );
}

#[tokio::test]
async fn the_stricter_of_two_redactions_counts() {
    let store = Arc::new(InMemory::new());
    let features = Features::new([TensorFeatures::columns("x", ["age", "name"])]).unwrap();
    let options = options()
        .with_features(features)
        .with_redaction(Field::input("x"), Redaction::hash("key"))
        .with_redaction(Field::feature("name"), Redaction::Remove);
    let observer = start(&store, options);
    let x = |shape: &[usize]| Tensor::from_vec(shape, vec![1.0_f32, 2.0]).unwrap();
    for shape in [&[1, 2][..], &[2]] {
        observe(&observer, &Request::new(Tensors::new().with("x", x(shape))), Tensors::new());
    }
    assert_eq!(stats(observer.shutdown().await), [2, 0, 0, 0]);
    let tables = tables(&store).await;
    let names: BTreeSet<&str> = tables.iter().flat_map(Table::names).collect();
    assert!(names.contains("age") && !names.contains("name") && !names.contains("input.x"), "{names:?}");
}
