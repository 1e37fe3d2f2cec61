//! Alerts on their way: real servers on this machine, and sinks that fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "webhook")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use mlops_core::{Error, Result};
use mlops_monitor::Signal;
use mlops_monitor::alert::{
    Alert, Alerts, ChannelSink, Dispatcher, Retries, Sink, SlackSink, WebhookSecret, WebhookSink,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn alert() -> Alert {
    let rule = "[[rules]]\nname = \"psi\"\nsignal = \"drift.psi\"\nabove = 0.2\nlabels = { team = \"<&>\" }\n\
                annotations = { summary = \"PSI of {feature} is {value}\" }";
    let signals = [Signal::new("drift.psi", 0.31).with_label("feature", "age")];
    Alerts::from_toml(rule).unwrap().evaluate(Timestamp::UNIX_EPOCH, &signals).remove(0)
}

/// A request as it came.
#[derive(Debug, Clone)]
struct Received {
    head: String,
    body: Vec<u8>,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A server of HTTP that gives these answers, then 204.
struct Server {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/services/T000/SECRETPATH", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&received);
        std::thread::spawn(move || {
            let mut answers = answers.iter();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                log.lock().unwrap().push(read(&mut stream));
                let answer = answers.next().unwrap_or(&"HTTP/1.1 204 No Content\r\n");
                if *answer == "silence" {
                    std::thread::sleep(Duration::from_secs(2));
                }
                let _ = stream.write_all(format!("{answer}Connection: close\r\n\r\n").as_bytes());
            }
        });
        Self { url, received }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn read(stream: &mut TcpStream) -> Received {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "the request is cut off");
        bytes.extend_from_slice(&part[..length]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let mut request = Received {
            head: String::from_utf8(bytes[..end].to_vec()).unwrap(),
            body: bytes[end + 4..].to_vec(),
        };
        let length: usize = request.header("content-length").unwrap().parse().unwrap();
        if request.body.len() >= length {
            request.body.truncate(length);
            return request;
        }
    }
}

fn quick() -> Retries {
    Retries::default()
        .with_attempts(4)
        .with_waits(Duration::from_millis(20), Duration::from_millis(1500))
        .with_timeout(Duration::from_millis(500))
}

fn webhook(server: &Server) -> WebhookSink {
    WebhookSink::new(&server.url)
        .unwrap()
        .with_secret(WebhookSecret::new(SECRET).unwrap())
        .with_retries(quick())
        .unwrap()
}

#[tokio::test]
async fn a_message_is_sent_again_until_it_is_taken_and_is_signed_each_time() {
    let server = Server::start(&[
        "HTTP/1.1 503 Unavailable\r\n",
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n",
    ]);
    let (alert, began) = (alert(), Instant::now());
    webhook(&server).send(&alert).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "what the server asked for is kept");

    let received = server.received();
    assert_eq!(received.len(), 3);
    for request in &received {
        assert_eq!(serde_json::from_slice::<Alert>(&request.body).unwrap(), alert);
        assert_eq!(request.header("content-type"), Some("application/json"));
        let header = |name| request.header(name).unwrap();
        assert_eq!(header(WebhookSecret::ID), alert.id);
        let (timestamp, signatures) = (header(WebhookSecret::TIMESTAMP), header(WebhookSecret::SIGNATURE));
        let secret = WebhookSecret::new(SECRET).unwrap();
        let (now, tolerance) = (Timestamp::now(), Duration::from_secs(60));
        secret.verify(&alert.id, timestamp, &request.body, signatures, now, tolerance).unwrap();
    }
    verify_by_python(&received[2]);
}

/// Python's own HMAC has to agree.
fn verify_by_python(request: &Received) {
    const SCRIPT: &str = "
import base64, hashlib, hmac, json, sys
message = json.load(sys.stdin)
key = base64.b64decode(message['secret'].removeprefix('whsec_'))
signed = '.'.join([message['id'], message['timestamp'], message['body']]).encode()
expected = 'v1,' + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
sys.exit(0 if hmac.compare_digest(expected, message['signature']) else 1)
";
    let header = |name| request.header(name).unwrap();
    let message = serde_json::json!({
        "secret": SECRET,
        "id": header(WebhookSecret::ID),
        "timestamp": header(WebhookSecret::TIMESTAMP),
        "signature": header(WebhookSecret::SIGNATURE),
        "body": std::str::from_utf8(&request.body).unwrap(),
    });
    let python = Command::new("python3").args(["-c", SCRIPT]).stdin(Stdio::piped()).spawn();
    let Ok(mut python) = python else {
        assert!(
            std::env::var_os("MLOPS_REQUIRE_ALL").is_none(),
            "MLOPS_REQUIRE_ALL is set, but python3 is not there"
        );
        let _ = writeln!(std::io::stderr(), "SKIPPED: python3 is not there to check the signature by");
        return;
    };
    python.stdin.take().unwrap().write_all(message.to_string().as_bytes()).unwrap();
    assert!(python.wait().unwrap().success(), "Python finds another signature");
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again() {
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "404 Not Found",
        "301 Moved Permanently",
        "501 Not Implemented",
    ] {
        let answer: &'static [&'static str] = vec![&*format!("HTTP/1.1 {status}\r\n").leak()].leak();
        let server = Server::start(answer);
        let error = webhook(&server).send(&alert()).await.unwrap_err();
        assert_eq!(server.received().len(), 1, "{status}");
        assert!(
            matches!(error, Error::Unsupported { .. }) && error.to_string().contains(&status[..3]),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_and_nothing_secret_is_told() {
    let server = Server::start(&["silence"]);
    let sink = webhook(&server).with_retries(quick().with_attempts(1)).unwrap();
    let sink = sink.with_header("authorization", "Bearer SECRETTOKEN").unwrap();
    let error = sink.send(&alert()).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("no answer within"), "{error}");
    for told in [format!("{error:?}"), format!("{sink:?}")] {
        assert!(!told.contains("SECRET") && !told.contains(&SECRET[6..]), "{told}");
    }

    let nobody = WebhookSink::new("http://127.0.0.1:9/SECRETPATH").unwrap().with_retries(quick()).unwrap();
    let error = nobody.send(&alert()).await.unwrap_err().to_string();
    assert!(error.contains("http://127.0.0.1:9 failed 4 times") && !error.contains("SECRET"), "{error}");
}

#[tokio::test]
async fn slack_gets_text_and_blocks_within_its_limits() {
    let server = Server::start(&["HTTP/1.1 200 OK\r\n"]);
    SlackSink::new(&server.url).unwrap().send(&alert()).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&server.received()[0].body).unwrap();
    assert_eq!(
        body["text"],
        "warning: psi (feature=age, team=&lt;&amp;&gt;): drift.psi is 0.3100, above 0.2"
    );
    assert_eq!(body["blocks"][0]["text"]["text"], ":large_orange_circle: firing: psi");
    assert!(body.to_string().contains("PSI of age is 0.31"), "{body}");

    let mut long = alert();
    long.rule = "r".repeat(10_000);
    let labels = (0..60).map(|i| (format!("label{i}"), "v".repeat(5_000)));
    long.labels = labels.clone().collect();
    long.annotations = labels.collect();
    let message = SlackSink::message(&long);
    let blocks = message["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50 && blocks[0]["text"]["text"].as_str().unwrap().chars().count() == 150);
    for block in blocks {
        assert!(block["text"]["text"].as_str().unwrap_or_default().chars().count() <= 3_000);
        let fields = block["fields"].as_array().cloned().unwrap_or_default();
        assert!(fields.len() <= 10);
        assert!(fields.iter().all(|field| field["text"].as_str().unwrap().chars().count() <= 2_000));
    }
}

#[test]
fn addresses_that_cannot_be_are_refused() {
    for (url, fault) in [
        ("nowhere", "no URL"),
        ("ftp://example.com", "begins with https://"),
        ("https://user:SECRET@example.com", "no user and password"),
    ] {
        let error = WebhookSink::new(url).unwrap_err().to_string();
        assert!(error.contains(fault) && !error.contains("SECRET"), "{error}");
    }
    let none = Retries::default().with_attempts(0);
    assert!(WebhookSink::new("http://localhost").unwrap().with_retries(none).is_err());
}

/// Fails, panics, or hangs for ever.
#[derive(Debug)]
enum Broken {
    Failing,
    Panicking,
    Hanging,
}

#[async_trait]
impl Sink for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    async fn send(&self, _: &Alert) -> Result<()> {
        match self {
            Self::Failing => Err(Error::unavailable("on purpose")),
            Self::Panicking => panic!("on purpose"),
            Self::Hanging => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn sinks_do_no_harm_to_each_other() {
    let (channel, mut alerts) = ChannelSink::new(10);
    let sinks: [Box<dyn Sink>; 4] = [
        Box::new(Broken::Failing),
        Box::new(Broken::Panicking),
        Box::new(Broken::Hanging),
        Box::new(channel),
    ];
    let (dispatcher, delivery) = Dispatcher::new(sinks, 3);
    let delivery = tokio::spawn(delivery);
    for _ in 0..5 {
        dispatcher.send(&[alert()]);
        tokio::time::timeout(Duration::from_secs(10), async {
            while alerts.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
    delivery.abort();
}

#[tokio::test]
async fn a_full_queue_lets_the_oldest_go_and_what_waits_is_still_sent() {
    let (channel, mut received) = ChannelSink::new(10);
    let (dispatcher, delivery) = Dispatcher::new([Box::new(channel) as Box<dyn Sink>], 2);
    let all: Vec<Alert> = (0..5)
        .map(|number| {
            let mut alert = alert();
            alert.id = number.to_string();
            alert
        })
        .collect();
    dispatcher.send(&all);
    drop(dispatcher);
    delivery.await;
    let ids: Vec<_> = std::iter::from_fn(|| received.try_recv().ok()).map(|alert| alert.id).collect();
    assert_eq!(ids, ["3", "4"]);
}

#[tokio::test]
async fn a_channel_that_nobody_reads_is_full_one_day() {
    let (sink, receiver) = ChannelSink::new(2);
    for _ in 0..3 {
        sink.send(&alert()).await.unwrap();
    }
    assert!(matches!(sink.send(&alert()).await, Err(Error::Overloaded { .. })));
    drop(receiver);
    assert!(matches!(sink.send(&alert()).await, Err(Error::Unavailable { .. })));
}

#[tokio::test]
async fn what_was_taken_is_not_sent_again_though_the_answer_never_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let received = Arc::new(Mutex::new(0));
    let count = Arc::clone(&received);
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            read(&mut stream);
            *count.lock().unwrap() += 1;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nwait").unwrap();
            open.push(stream);
        }
    });
    let sink = WebhookSink::new(&url).unwrap().with_retries(quick()).unwrap();
    sink.send(&alert()).await.unwrap();
    assert_eq!(*received.lock().unwrap(), 1);
}
