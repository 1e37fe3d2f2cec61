//! Listing many versions of a model.

use mlops_core::{Query, Registry};

use super::{Systems, Turn, seconds, turns};
use crate::Failure;
use crate::mlflow::Client;
use crate::report::{Row, Section, Unit};

const PAGE: usize = 100;

pub async fn measure(systems: &Systems<'_>) -> Result<Section, Failure> {
    let versions = systems.scale.versions;
    let mut section = Section::new(
        format!("listing {versions} versions of a model"),
        "all at once: `versions`, beside `model-versions/search` with one page. in pages of 100: `search`, beside the\n\
         same request with pages. The time is that of all pages together. Ours has looked into its store each time.",
    );
    let mut client = match systems.mlflow {
        Some(mlflow) => Some(mlflow.connect().await?),
        None => None,
    };
    let (mut whole, mut their_whole, mut paged, mut their_paged) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=2 * systems.scale.rounds {
        for turn in turns(round) {
            match (turn, &mut client) {
                (Turn::Ours, _) => {
                    whole.push(seconds(list(systems, versions)).await?);
                    paged.push(seconds(list(systems, PAGE)).await?);
                }
                (Turn::Theirs, Some(client)) => {
                    their_whole.push(seconds(search(systems, client, versions)).await?);
                    their_paged.push(seconds(search(systems, client, PAGE)).await?);
                }
                _ => {}
            }
        }
    }
    for times in [&mut whole, &mut their_whole, &mut paged, &mut their_paged] {
        if !times.is_empty() {
            times.remove(0);
        }
    }
    section.add(Row::new("all at once", Unit::Seconds, whole).beside("MLflow", their_whole));
    section.add(Row::new("in pages of 100", Unit::Seconds, paged).beside("MLflow", their_paged));
    Ok(section)
}

async fn list(systems: &Systems<'_>, page: usize) -> Result<(), Failure> {
    let wanted = systems.scale.versions;
    let found = if page >= wanted {
        systems.ours.versions(&systems.model).await?.len()
    } else {
        let first = Query::new().with_model(systems.model.clone()).with_limit(page);
        let (mut query, mut found) = (first.clone(), 0);
        loop {
            let versions = systems.ours.search(&query).await?;
            found += versions.len();
            match versions.last() {
                Some(last) if versions.len() == page => query = first.clone().after(last.id.clone()),
                _ => break found,
            }
        }
    };
    check(found, wanted)
}

async fn search(systems: &Systems<'_>, client: &mut Client, page: usize) -> Result<(), Failure> {
    let (mut found, mut token) = (0, None);
    loop {
        let page = client.search(systems.model.as_str(), page, token.as_deref()).await?;
        found += page.versions;
        token = page.next;
        if token.is_none() {
            return check(found, systems.scale.versions);
        }
    }
}

fn check(found: usize, wanted: usize) -> Result<(), Failure> {
    if found == wanted { Ok(()) } else { Err(format!("{found} versions are listed, not {wanted}").into()) }
}
