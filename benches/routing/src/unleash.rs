//! The decisions of Unleash's engine.

use std::collections::HashMap;

use serde_json::json;
use unleash_types::client_features::ClientFeatures;
use unleash_yggdrasil::{Context, EngineState};

use crate::{Decide, Failure, Task, User};

pub struct Users(Vec<Context>);

impl Users {
    pub fn new(users: &[User]) -> Self {
        let context = |user: &User| {
            let properties = [("country", user.country), ("app", user.app)];
            let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let properties = Some(HashMap::from(properties));
            Context { user_id: Some(user.key.clone()), properties, ..Context::default() }
        };
        Self(users.iter().map(context).collect())
    }

    pub fn decide(&self, task: Task) -> Result<Decide<'_>, Failure> {
        let rollout = |percent: &str, group: &str| {
            json!({
                "name": "flexibleRollout", "variants": [],
                "parameters": { "rollout": percent, "stickiness": "userId", "groupId": group },
            })
        };
        let rule = |attribute: &str, operator: &str, compared: serde_json::Value| {
            let mut constraint = json!({ "contextName": attribute, "operator": operator });
            constraint.as_object_mut().into_iter().for_each(|constraint| {
                constraint.extend(compared.as_object().cloned().unwrap_or_default());
            });
            json!({ "name": "default", "variants": [], "constraints": [constraint] })
        };
        let strategies = match task {
            Task::Share => json!([rollout("25", "salt")]),
            Task::Rules => json!([
                rule("staff", "IN", json!({ "values": ["yes"] })),
                rule("country", "IN", json!({ "values": ["SE", "DK", "FI", "IS"] })),
                rule("app", "STR_STARTS_WITH", json!({ "values": ["1."] })),
                rule("app", "SEMVER_GT", json!({ "value": "3.0.0" })),
                rollout("1", "sample"),
                rollout("25", "salt"),
            ]),
        };
        let features: ClientFeatures = serde_json::from_value(json!({
            "version": 2,
            "features": [{ "name": "new", "enabled": true, "strategies": strategies }],
        }))?;
        let engine = EngineState::default();
        match engine.apply_client_features(features) {
            None => Ok(Box::new(move |user| engine.is_enabled("new", &self.0[user], &None))),
            Some(warnings) => Err(format!("{warnings:?}").into()),
        }
    }
}
