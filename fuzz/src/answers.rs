//! What a tracker may answer to somebody who asks.

use shoal::query::decode;
use shoal::wire::InfoHash;

pub(crate) fn answers(data: &[u8]) {
    let asked = [InfoHash([b'a'; 20]), InfoHash([b'b'; 20])];
    let _ = decode::http_announce(data);
    let _ = decode::http_scrape(data, &asked);
    let _ = decode::udp_head(data, 1, 7);
    let _ = decode::udp_connect(data);
    for is_v6 in [false, true] {
        let _ = decode::udp_announce(data, is_v6);
    }
    let _ = decode::udp_scrape(data, &asked);
}
