//! What is logged, line by line.
#![allow(dead_code, clippy::unwrap_used)]

use std::cell::RefCell;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Whether an event is of interest.
pub(crate) type Interest = fn(&Metadata<'_>) -> bool;

/// The records of the audit.
pub(crate) const AUDIT: Interest = |metadata| metadata.target() == "mlops::audit";

thread_local! {
    static RECORDED: RefCell<Option<(Interest, Vec<String>)>> = const { RefCell::new(None) };
}

/// The events of what is done on this thread.
pub(crate) fn recorded<T>(interest: Interest, done: impl FnOnce() -> T) -> (Vec<String>, T) {
    record(interest);
    let outcome = done();
    (lines(), outcome)
}

/// Records the events of this thread from now on.
///
/// The subscriber is that of the process: one of a thread may miss what another thread has met first.
pub(crate) fn record(interest: Interest) {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Recorder)).unwrap();
    });
    RECORDED.set(Some((interest, Vec::new())));
}

/// What came since the last time it was asked: the level, the fields, and the message.
pub(crate) fn lines() -> Vec<String> {
    RECORDED.with_borrow_mut(|recorded| {
        recorded.as_mut().map(|(_, lines)| std::mem::take(lines)).unwrap_or_default()
    })
}

struct Recorder;

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        RECORDED.with_borrow_mut(|recorded| match recorded {
            Some((interest, lines)) if interest(event.metadata()) => {
                let mut line = Line { fields: event.metadata().level().to_string(), message: String::new() };
                event.record(&mut line);
                lines.push(format!("{} message={}", line.fields, line.message));
            }
            _ => {}
        });
    }
}

struct Line {
    fields: String,
    message: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields += &format!(" {name}={value:?}"),
        }
    }
}
