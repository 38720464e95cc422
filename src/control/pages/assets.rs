//! What a page needs beside itself. A hash of the content is part of each name, so that a browser may keep
//! them for ever and has the right ones after an update.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::control::state::State;

/// A file of the pages.
pub(super) struct Asset {
    /// Where it is served.
    pub(super) path: String,
    tag: String,
    kind: &'static str,
    text: &'static str,
}

/// Colours and layout, of all pages.
pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let text = concat!(
        include_str!("assets/style.css"),
        include_str!("assets/admin.css")
    );
    Asset::new("style", "css", "text/css", text)
});

/// What moves.
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "stats",
        "js",
        "text/javascript",
        include_str!("assets/stats.js"),
    )
});

/// What a browser shows on a tab.
pub(super) static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "shoal",
        "svg",
        "image/svg+xml",
        include_str!("assets/shoal.svg"),
    )
});

impl Asset {
    fn new(name: &str, extension: &str, kind: &'static str, text: &'static str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let hash = digest.iter().take(8).fold(String::new(), |mut hash, byte| {
            // Writing into a string cannot fail.
            let _ = write!(hash, "{byte:02x}");
            hash
        });
        Self {
            path: format!("/assets/{name}.{hash}.{extension}"),
            tag: format!("\"{hash}\""),
            kind,
            text,
        }
    }

    fn serve(&self, headers: &HeaderMap) -> Response {
        let known = headers
            .get(header::IF_NONE_MATCH)
            .map(HeaderValue::as_bytes);
        let fields = [
            (header::ETAG, self.tag.as_str()),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ];
        if known == Some(self.tag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, fields).into_response();
        }
        let kind = [(
            header::CONTENT_TYPE,
            format!("{}; charset=utf-8", self.kind),
        )];
        (fields, kind, self.text).into_response()
    }
}

pub(super) fn routes() -> Router<State> {
    [&STYLE, &SCRIPT, &ICON]
        .into_iter()
        .fold(Router::new(), |router, asset| {
            router.route(
                &asset.path,
                get(move |headers: HeaderMap| async move { asset.serve(&headers) }),
            )
        })
}
