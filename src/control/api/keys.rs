//! All keys. To make and remove one is in `torrust/keys.rs`.

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::lists::Items;
use super::named::Page;
use super::torrust::keys::AuthKey;
use crate::control::problem::{Params, Problem};
use crate::control::state::State;
use crate::gate::keys::{AnnounceKey, KeyRow};
use crate::registrar::RegistrarError;

pub(super) fn routes() -> Router<State> {
    Router::new().route("/api/v1/keys", get(keys))
}

/// A key in the list of all.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    key: AuthKey,
    /// When it was made, in Unix seconds.
    created: u64,
}

async fn keys(state: State, Params(page): Params<Page>) -> Result<Json<Items<Row>>, Problem> {
    let read = state
        .on_disk(move |state| {
            let records = state.registrar.records().ok_or(RegistrarError::NoStore)?;
            let read = records.keys_page(page.offset, page.limit());
            read.map_err(RegistrarError::from)
        })
        .await;
    let (total, rows) = read?;
    let row = |(key, row): (AnnounceKey, KeyRow)| Row {
        key: AuthKey::new(&key, &row),
        created: row.created_unix_s,
    };
    let items = rows.into_iter().map(row).collect();
    Ok(Json(Items { total, items }))
}
