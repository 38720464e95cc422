//! Torrents with their counts, by pages or by name.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::get;
use hyper::body::Frame;
use serde::Serialize;

use super::{Refusal, info_hash};
use crate::control::state::State;
use crate::control::walk;
use crate::shard::Row;
use crate::wire::InfoHash;

/// Torrents of a page whose size nobody named.
const LIMIT_DEFAULT: u32 = 4000;

/// Torrents of a list that is made before it is sent.
const PLAIN_ROWS_MAX: usize = LIMIT_DEFAULT as usize;

/// Bytes of a piece of an answer.
const PIECE_LEN: usize = 64 << 10;

pub(super) fn routes() -> Router<State> {
    Router::new().route("/api/v1/torrents", get(torrents))
}

#[derive(Serialize)]
struct ListItem {
    info_hash: String,
    seeders: u32,
    completed: u32,
    leechers: u32,
}

impl ListItem {
    fn new((info_hash, totals): &Row) -> Self {
        Self {
            info_hash: info_hash.to_string(),
            seeders: totals.seeders,
            completed: totals.completed,
            leechers: totals.leechers,
        }
    }
}

/// What a query asks for.
#[derive(PartialEq, Eq, Debug)]
struct Wanted {
    offset: u32,
    limit: u32,
    /// These, and no page.
    info_hashes: Vec<InfoHash>,
}

impl Wanted {
    fn read(query: &str) -> Result<Self, Refusal> {
        let bad = |why: String| {
            Refusal::bad_request(format!("Failed to deserialize query string: {why}"))
        };
        let (mut offset, mut limit, mut info_hashes) = (None, None, Vec::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = match &*name {
                "offset" => &mut offset,
                "limit" => &mut limit,
                "info_hash" => {
                    info_hashes.push(value);
                    continue;
                }
                _ => continue,
            };
            let read = if value.is_empty() {
                None
            } else {
                let read = value.parse::<u32>();
                Some(read.map_err(|error| bad(error.to_string()))?)
            };
            if number.replace(read).is_some() {
                return Err(bad(format!("duplicate field `{name}`")));
            }
        }
        let info_hashes = info_hashes.iter().map(|text| info_hash(text));
        Ok(Self {
            offset: offset.flatten().unwrap_or(0),
            limit: limit.flatten().unwrap_or(LIMIT_DEFAULT),
            info_hashes: info_hashes.collect::<Result<_, _>>()?,
        })
    }
}

async fn torrents(state: State, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let wanted = Wanted::read(query.as_deref().unwrap_or_default())?;
    let rows = if wanted.info_hashes.is_empty() {
        let page = walk::torrents(&state, wanted.offset.into(), wanted.limit.into()).await;
        page.map_err(|walk::Stuck| Refusal::failed("failed to list torrents", "a core is busy"))?
    } else {
        named(&state, &wanted.info_hashes).await?
    };
    Ok(super::json(body(rows)))
}

/// These torrents, in this order, as often as they are named; those that nobody knows are left out.
async fn named(state: &State, info_hashes: &[InfoHash]) -> Result<Vec<Row>, Refusal> {
    let mut rows = Vec::new();
    for info_hash in info_hashes {
        let view = state.errands.swarm(*info_hash, 0).await;
        let view = view.map_err(|busy| Refusal::failed("failed to list torrents", busy))?;
        rows.extend(view.map(|view| (*info_hash, view.totals)));
    }
    Ok(rows)
}

/// A short list has a length, a long one comes in pieces.
fn body(rows: Vec<Row>) -> Body {
    if rows.len() > PLAIN_ROWS_MAX {
        return Body::new(Pieces::of(rows));
    }
    let mut pieces = Pieces::of(rows);
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next() {
        whole.extend(piece);
    }
    whole.into()
}

/// A list that becomes text while it is sent.
struct Pieces {
    rows: vec::IntoIter<Row>,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Within,
    End,
}

impl Pieces {
    fn of(rows: Vec<Row>) -> Self {
        Self {
            rows: rows.into_iter(),
            place: Place::Start,
        }
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.place == Place::End {
            return None;
        }
        let mut piece = Vec::new();
        while piece.len() < PIECE_LEN {
            let Some(row) = self.rows.next() else {
                piece.extend_from_slice(if self.place == Place::Start {
                    b"[]"
                } else {
                    b"]"
                });
                self.place = Place::End;
                break;
            };
            piece.push(if self.place == Place::Start {
                b'['
            } else {
                b','
            });
            self.place = Place::Within;
            serde_json::to_writer(&mut piece, &ListItem::new(&row))
                .expect("numbers and hexadecimal digits can be written into memory");
        }
        Some(piece)
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.next();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.place == Place::End
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::Totals;

    #[test]
    fn numbers_are_read_as_torrust_reads_them() {
        let wanted = |query: &str| Wanted::read(query).map(|wanted| (wanted.offset, wanted.limit));
        assert_eq!(wanted(""), Ok((0, 4000)));
        assert_eq!(wanted("offset=&limit=&token=x"), Ok((0, 4000)));
        assert_eq!(wanted("limit=4294967295&offset=7"), Ok((7, u32::MAX)));
        for bad in ["%20", "-1", "1.1", "INVALID+OFFSET"] {
            for name in ["offset", "limit"] {
                let query = format!("{name}={bad}");
                let refusal = wanted(&query).unwrap_err();
                assert_eq!(
                    refusal.1,
                    "Failed to deserialize query string: invalid digit found in string"
                );
            }
        }
        assert!(
            wanted("limit=1&limit=1")
                .unwrap_err()
                .1
                .ends_with("duplicate field `limit`")
        );
    }

    #[test]
    fn info_hashes_come_in_any_number_and_one_bad_one_is_told() {
        let query = format!("info_hash={}&info_hash={}", "a".repeat(40), "B".repeat(40));
        let wanted = Wanted::read(&query).unwrap();
        assert_eq!(
            wanted.info_hashes,
            [InfoHash([0xaa; 20]), InfoHash([0xbb; 20])]
        );
        let refusal = Wanted::read(&format!("{query}&info_hash=x%26")).unwrap_err();
        assert!(refusal.1.contains("string \"x&\", expected"), "{refusal:?}");
    }

    #[test]
    fn a_list_in_pieces_is_one_array() {
        for n in [0_u32, 1, 2, 5000] {
            let row = |n: u32| {
                let mut hash = [0; InfoHash::LEN];
                hash[..4].copy_from_slice(&n.to_be_bytes());
                let completed = n;
                let totals = Totals {
                    completed,
                    ..Totals::default()
                };
                (InfoHash(hash), totals)
            };
            let mut pieces = Pieces::of((0..n).map(row).collect());
            let mut text = Vec::new();
            while let Some(piece) = pieces.next() {
                assert!(piece.len() < PIECE_LEN + 200);
                text.extend(piece);
            }
            let list: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
            assert_eq!(list.len(), n as usize);
            for (n, item) in list.iter().enumerate() {
                assert_eq!(item["completed"], n);
            }
        }
    }
}
