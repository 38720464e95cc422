//! `.torrent` files, read as libtorrent reads them, and registered by the command line.

mod fake_api;
mod program;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use fake_api::Api;
use program::{accepted, outcome};
use serde_json::Value;
use shoal::wire::http::bencode::Dictionary;
use shoal::wire::metainfo::Metainfo;

/// A file with this name in its info dictionary.
fn torrent(name: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut whole = Dictionary::open(&mut file);
    let mut info = Dictionary::open(whole.key("info"));
    info.integer("length", 1536);
    info.bytes("name", name);
    info.integer("piece length", 16384);
    info.bytes("pieces", &[0x61; 20]);
    info.close();
    whole.close();
    file
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn torrents_of_both_versions_and_hybrids_have_the_info_hashes_that_libtorrent_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    let content = folder.path().join("content");
    for (name, len) in [("a.bin", 100_000), ("sub/b.bin", 70_001), ("sub/empty", 0)] {
        let mut bytes = vec![0; len];
        fastrand::fill(&mut bytes);
        write(&content, name, bytes);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/make_torrents.py");
    let mut made = Command::new("/usr/bin/python3");
    let made = made
        .arg(script)
        .arg(&content)
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(made.stdout).unwrap();
    let mistakes = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{mistakes}");
    let api = Api::start();
    let mut expected_in_all = Vec::new();
    for line in said.lines() {
        let [file, v1, v2, size] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let bytes = fs::read(folder.path().join(file)).unwrap();
        let read = Metainfo::parse(&bytes).expect(file);
        let hashes: Vec<_> = read.info_hashes.iter().map(ToString::to_string).collect();
        let expected = [v1, &v2[..v2.len().min(40)]];
        let expected: Vec<_> = expected.into_iter().filter(|hash| *hash != "-").collect();
        assert_eq!(hashes, expected, "{file}");
        assert_eq!(read.size.to_string(), size, "{file}");
        assert_eq!(read.name, "content");
        assert_eq!(read.comment, "<b>not bold</b>");
        assert_eq!(read.created_by, "libtorrent's own");
        assert!(read.piece_length >= 16384 && read.creation_date.is_some());
        expected_in_all.extend(hashes);
    }
    assert_eq!(expected_in_all.len(), 4, "{said}");
    let folder = folder.path().to_str().unwrap();
    let text = accepted(&mut api.shoal(&["torrent", "add", folder]));
    assert!(
        text.ends_with("3 torrents registered, new on the allowlist: 4\n"),
        "{text}"
    );
    let state = api.state();
    expected_in_all.sort();
    assert_eq!(
        state.allowed.iter().cloned().collect::<Vec<_>>(),
        expected_in_all
    );
    assert!(
        state
            .metadata
            .values()
            .all(|known| known["size"] == 170_001)
    );
}

#[test]
fn hostile_files_get_a_sentence_each_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| write(folder.path(), name, content);
    file(
        "deep.torrent",
        &[b"d4:info".to_vec(), vec![b'l'; 1 << 20]].concat(),
    );
    file("empty.torrent", b"");
    file(
        "html.torrent",
        &torrent(b"<script>alert(1)</script>\x1b[2J"),
    );
    file("page.torrent", b"<html>no</html>");
    file("types.torrent", b"d4:infod6:length1:x6:pieces0:ee");
    file("notes.txt", b"no torrent by its name");
    let huge = fs::File::create(folder.path().join("huge.torrent")).unwrap();
    huge.set_len((64 << 20) + 1).unwrap();
    let api = Api::start();
    let folder = folder.path().to_str().unwrap();
    let done = outcome(&mut api.shoal(&["torrent", "add", folder, "/nowhere"]));
    assert_eq!(done.code, Some(1), "{done:?}");
    let mistakes: Vec<_> = done.stderr.lines().collect();
    for (line, (name, part)) in mistakes.iter().zip([
        ("/nowhere", "cannot be read"),
        ("deep.torrent", "nested deeper"),
        ("empty.torrent", "is no .torrent file"),
        ("huge.torrent", "is longer than 64.0 MiB"),
        ("page.torrent", "is no .torrent file"),
        ("types.torrent", "found byte array in place of a number"),
    ]) {
        assert!(line.contains(name) && line.contains(part), "{line}");
    }
    assert_eq!(mistakes.len(), 6, "{mistakes:?}");
    let row = "1.5 KiB  <script>alert(1)</script>\\u{1b}[2J\n";
    assert!(done.stdout.contains(row), "{}", done.stdout);
    assert!(
        done.stdout
            .ends_with("1 torrent registered, new on the allowlist: 1, 6 failed\n")
    );
    let state = api.state();
    let [known] = state.metadata.values().collect::<Vec<_>>()[..] else {
        panic!("one torrent")
    };
    assert_eq!(known["name"], "<script>alert(1)</script>\u{1b}[2J");
}

#[test]
fn a_folder_is_searched_but_not_left_by_links() {
    let inside = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    write(inside.path(), "a.torrent", torrent(b"a"));
    write(inside.path(), "sub/deeper/b.TORRENT", torrent(b"b"));
    write(inside.path(), "sub/c", torrent(b"c"));
    let secret = write(outside.path(), "secret.torrent", torrent(b"secret"));
    symlink(&secret, inside.path().join("link.torrent")).unwrap();
    symlink(outside.path(), inside.path().join("folder")).unwrap();
    symlink(inside.path(), inside.path().join("sub/loop")).unwrap();
    symlink("c", inside.path().join("sub/c.torrent")).unwrap();
    let api = Api::start();
    let folder = inside.path().to_str().unwrap();
    accepted(&mut api.shoal(&["torrent", "add", "--no-allow", "--json", folder]));
    let state = api.state();
    let names: Vec<_> = state
        .metadata
        .values()
        .map(|known| &known["name"])
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(!names.contains(&&Value::from("secret")));
    assert!(state.allowed.is_empty(), "--no-allow");
}

#[test]
fn a_torrent_that_the_tracker_refuses_does_not_stop_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "refused by name", "z"] {
        write(
            folder.path(),
            &format!("{name}.torrent"),
            torrent(name.as_bytes()),
        );
    }
    let api = Api::start();
    let path = folder.path().to_str().unwrap();
    let done = outcome(&mut api.shoal(&["torrent", "add", "--json", path]));
    assert_eq!(done.code, Some(1));
    assert!(
        done.stderr.contains("refused by name.torrent: "),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.ends_with(": this name is refused\n"),
        "{}",
        done.stderr
    );
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(said["torrents"].as_array().unwrap().len(), 2);
    assert_eq!(said["failures"].as_array().unwrap().len(), 1);
    assert_eq!(said["added"], 2);
}

#[test]
fn a_folder_without_torrents_and_what_is_no_file_are_failures() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let pipe = folder.path().join("pipe.torrent");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let api = Api::start();
    let [empty, pipe] = [&empty, &pipe].map(|path| path.to_str().unwrap());
    let done = outcome(&mut api.shoal(&["torrent", "add", empty, pipe]));
    assert_eq!(done.code, Some(1));
    assert!(
        done.stderr.contains("holds no .torrent file"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("pipe.torrent: is no file"),
        "{}",
        done.stderr
    );
    assert_eq!(
        done.stdout,
        "0 torrents registered, new on the allowlist: 0, 2 failed\n"
    );
    assert!(api.asked().is_empty());
}

#[test]
fn an_info_hash_is_that_of_the_bytes_as_they_are() {
    // Sorted the wrong way: written again, it would change.
    let info = b"d6:pieces20:aaaaaaaaaaaaaaaaaaaa4:name1:x6:lengthi1ee";
    let file = [b"d4:info", &info[..], b"e"].concat();
    let read = Metainfo::parse(&file).unwrap();
    let expected: [u8; 20] = <sha1::Sha1 as sha1::Digest>::digest(info).into();
    assert_eq!(read.info_hashes[0].0, expected);
}
