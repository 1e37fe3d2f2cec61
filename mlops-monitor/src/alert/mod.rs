//! Rules over signals: when somebody has to know, whom to tell, and when to train again.
//!
//! | part | is |
//! |---|---|
//! | [`AlertRule`], [`Silence`] | what somebody wants to know, and what not; from TOML or code |
//! | [`Alerts`] | the rules through time: a state machine from signals to alerts |
//! | [`Sink`], [`Dispatcher`] | who is told, and how, without anybody waiting |
//! | [`RetrainTrigger`] | when to train again: by drift, by performance, by schedule |
//! | [`Watch`] | all of it together, on a schedule |

mod alerts;
mod condition;
mod event;
mod instance;
mod retrain;
mod rule;
mod schedule;
mod selector;
mod silence;
mod sink;
mod watch;

pub use alerts::{Alerts, AlertsState};
pub use condition::Condition;
pub use event::{Alert, AlertStatus};
pub use retrain::{RetrainCondition, RetrainEvent, RetrainReason, RetrainState, RetrainTrigger};
pub use rule::{AlertRule, Severity};
pub use schedule::Schedule;
pub use selector::{Matcher, Selector};
pub use silence::Silence;
pub use sink::{ChannelSink, Delivery, Dispatcher, LogSink, Sink};
#[cfg(feature = "webhook")]
#[cfg_attr(docsrs, doc(cfg(feature = "webhook")))]
pub use sink::{Retries, SlackSink, WebhookSecret, WebhookSink};
pub use watch::{Step, Watch, WatchHandle, WatchState};

#[cfg(test)]
mod tests;
