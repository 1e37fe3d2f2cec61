//! The decisions of GrowthBook's SDK: its evaluation alone, for its client copies all features before each.

use std::collections::HashMap;

use growthbook_rust::growthbook::GrowthBook;
use growthbook_rust::model_public::GrowthBookAttribute;
use serde_json::json;

use crate::{Decide, Failure, Task, User};

pub struct Users(Vec<Option<Vec<GrowthBookAttribute>>>);

impl Users {
    pub fn new(users: &[User]) -> Self {
        let attributes = |user: &User| {
            GrowthBookAttribute::from(json!({ "id": user.key, "country": user.country, "app": user.app }))
                .ok()
        };
        Self(users.iter().map(attributes).collect())
    }

    pub fn decide(&self, task: Task) -> Result<Decide<'_>, Failure> {
        let share = json!({
            "key": "salt", "seed": "salt", "hashVersion": 2, "hashAttribute": "id",
            "variations": [false, true], "weights": [0.75, 0.25],
        });
        let rules = match task {
            Task::Share => json!([share]),
            // There is no prefix but by a regular expression.
            Task::Rules => json!([
                { "condition": { "staff": "yes" }, "force": true },
                { "condition": { "country": { "$in": ["SE", "DK", "FI", "IS"] } }, "force": true },
                { "condition": { "app": { "$regex": "^1\\." } }, "force": true },
                { "condition": { "app": { "$vgt": "3.0.0" } }, "force": true },
                { "force": true, "coverage": 0.01, "seed": "sample", "hashVersion": 2, "hashAttribute": "id" },
                share,
            ]),
        };
        let feature = serde_json::from_value(json!({ "defaultValue": false, "rules": rules }))?;
        let engine = GrowthBook {
            forced_variations: None,
            features: HashMap::from([("new".to_owned(), feature)]),
            attributes: None,
            sticky_bucket_service: None,
            saved_groups: HashMap::new(),
        };
        Ok(Box::new(move |user| engine.check("new", &self.0[user]).on))
    }
}
