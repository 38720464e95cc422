//! Looks through an LMDB file before LMDB does, which trusts every number that it reads: a damaged
//! page would end the process by a signal instead of an error.
//!
//! What the newer of the two meta pages leads to is walked: the trees of free pages, of databases and of
//! each database. Every page must lie in the file, be of the right kind, be reached once, and hold
//! nodes that lie in it one behind the other, with keys in order; what the free list names must be
//! reached by nobody. Values are not looked at, they are the schema's business. Branches and leaves are a
//! few percent of the swarms' file, so this costs little, and all of the records, which are small.
//!
//! ```text
//!   page   number 8 | pad 2 | flags 2 | lower 2, upper 2 (or pages 4) | offsets of nodes 2 each ..
//!   meta   magic 4 | version 4 | address 8 | map size 8 | free tree 48 | main tree 48 | last page 8
//!          | transaction 8
//!   tree   pad 4 (of the free tree: page size) | flags 2 | depth 2 | counts 32 | root 8
//!   node   low 2, high 2 (size of the value, or child) | flags 2 | key size 2 | key | value
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const HEAD_LEN: usize = 16;
const NODE_HEAD_LEN: usize = 8;
const TREE_LEN: usize = 48;
const META_LEN: usize = 136;

const MAGIC: u32 = 0xbeef_c0de;
const DATA_VERSION: u32 = 1;

const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
const META: u16 = 8;

/// The value is on pages of its own.
const BIG: u16 = 1;
/// The value is a tree.
const SUB_TREE: u16 = 2;

/// Keys are numbers: only the tree of free pages is so.
const INTEGER_KEYS: u16 = 8;

/// The flags of the tree of free pages are those of the file too: it was made by its name, or by that of
/// its folder.
const NO_SUB_DIR: u16 = 0x4000;

/// The root of an empty tree.
const NOWHERE: u64 = u64::MAX;

/// What LMDB takes for a key.
const KEY_LEN_MAX: usize = 511;

/// More levels than a file of any size needs.
const DEPTH_MAX: u16 = 32;

const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// Why a file is not what LMDB wrote.
#[derive(Debug)]
pub(super) enum Fault {
    /// It could not be read.
    Unreadable(io::Error),
    /// A phrase that says what is wrong.
    Damaged(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends too early".to_owned()),
            _ => Self::Unreadable(error),
        }
    }
}

fn damaged<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Damaged(what.into()))
}

/// Looks through a file that has at least a byte.
pub(super) fn check(file: &File) -> Result<(), Fault> {
    let mut head = [0; HEAD_LEN + META_LEN];
    file.read_exact_at(&mut head, 0)?;
    let page_len = number::<4>(&head, HEAD_LEN + 24) as u32;
    if !PAGE_SIZES.contains(&page_len) || !page_len.is_power_of_two() {
        return damaged(format!("it claims pages of {page_len} bytes"));
    }
    let mut newest: Option<Meta> = None;
    for page in 0..2 {
        file.read_exact_at(&mut head, page * u64::from(page_len))?;
        let meta = Meta::read(&head, page)?;
        if number::<4>(&head, HEAD_LEN + 24) as u32 != page_len {
            return damaged("its two heads disagree on the size of a page");
        }
        if newest
            .as_ref()
            .is_none_or(|newest| newest.transaction < meta.transaction)
        {
            newest = Some(meta);
        }
    }
    let Some(meta) = newest else { return Ok(()) };
    let mut walk = Walk {
        file,
        page_len: page_len as usize,
        file_pages: file.metadata()?.len() / u64::from(page_len),
        pages: meta.last_page.saturating_add(1),
        transaction: meta.transaction,
        seen: Vec::new(),
    };
    let mut free = Vec::new();
    walk.tree(&meta.free, Kind::Free(&mut free))?;
    walk.tree(&meta.main, Kind::Main)?;
    // What lies behind the end of the file was never written, so it is free.
    if walk.pages > walk.file_pages.saturating_add(free.len() as u64) {
        return damaged(format!("it claims {} pages", walk.pages));
    }
    free.sort_unstable();
    for pair in free.windows(2) {
        if pair[0] == pair[1] {
            return damaged(format!("page {} is free twice", pair[0]));
        }
    }
    match free
        .iter()
        .find(|page| **page < 2 || **page >= walk.pages || walk.was_seen(**page))
    {
        Some(page) => damaged(format!("page {page} is in use and free at once")),
        None => Ok(()),
    }
}

/// A little-endian number of `LEN` bytes; shorter ones are widened. LMDB writes numbers as the machine
/// has them, and Shoal runs on little-endian ones.
fn number<const LEN: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..LEN].copy_from_slice(&bytes[at..at + LEN]);
    u64::from_le_bytes(wide)
}

struct Tree {
    flags: u16,
    depth: u16,
    root: u64,
}

impl Tree {
    fn read(bytes: &[u8]) -> Self {
        Self {
            flags: number::<2>(bytes, 4) as u16,
            depth: number::<2>(bytes, 6) as u16,
            root: number::<8>(bytes, 40),
        }
    }
}

struct Meta {
    free: Tree,
    main: Tree,
    last_page: u64,
    transaction: u64,
}

impl Meta {
    fn read(page: &[u8], at: u64) -> Result<Self, Fault> {
        let meta = &page[HEAD_LEN..];
        let is_meta = number::<2>(page, 10) as u16 & META != 0;
        if !is_meta || number::<4>(meta, 0) as u32 != MAGIC {
            return damaged(format!("page {at} is no head of an LMDB file"));
        }
        if number::<4>(meta, 4) as u32 != DATA_VERSION {
            return damaged(format!("page {at} is of another version of LMDB"));
        }
        Ok(Self {
            free: Tree::read(&meta[24..]),
            main: Tree::read(&meta[72..]),
            last_page: number::<8>(meta, 120),
            transaction: number::<8>(meta, 128),
        })
    }
}

/// What the leaves of a tree hold.
enum Kind<'a> {
    /// Lists of free pages, collected here.
    Free(&'a mut Vec<u64>),
    /// Databases.
    Main,
    /// Anything.
    Values,
}

impl Kind<'_> {
    /// How long keys may be.
    fn key_lens(&self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Free(_) => 8..=8,
            Self::Main | Self::Values => 1..=KEY_LEN_MAX,
        }
    }
}

struct Walk<'a> {
    file: &'a File,
    page_len: usize,
    file_pages: u64,
    /// Pages that the file claims to have; the last may be missing when they are free.
    pages: u64,
    /// The last transaction.
    transaction: u64,
    /// A bit for each page that was reached.
    seen: Vec<u64>,
}

impl Walk<'_> {
    fn tree(&mut self, tree: &Tree, kind: Kind<'_>) -> Result<(), Fault> {
        let are_right = match kind {
            Kind::Free(_) => tree.flags & !NO_SUB_DIR == INTEGER_KEYS,
            Kind::Main | Kind::Values => tree.flags == 0,
        };
        if !are_right {
            return damaged(format!("a tree claims the flags {:#x}", tree.flags));
        }
        if tree.root == NOWHERE {
            return Ok(());
        }
        if !(1..=DEPTH_MAX).contains(&tree.depth) {
            return damaged(format!("a tree claims {} levels", tree.depth));
        }
        let mut kind = kind;
        self.page(tree.root, tree.depth, &mut kind, (None, None))
    }

    /// Notes that pages are in use, for the first time.
    fn take(&mut self, first: u64, count: u64) -> Result<(), Fault> {
        let end = first.saturating_add(count);
        if first < 2 || end > self.pages || end > self.file_pages {
            return damaged(format!("page {first} lies beyond its end"));
        }
        if self.seen.len() as u64 * 64 < end {
            self.seen.resize(end.div_ceil(64) as usize, 0);
        }
        match (first..end).find(|page| self.see(*page)) {
            Some(page) => damaged(format!("page {page} is used twice")),
            None => Ok(()),
        }
    }

    /// Notes that a page is in use; true if that was known.
    fn see(&mut self, page: u64) -> bool {
        let was_seen = self.was_seen(page);
        self.seen[(page / 64) as usize] |= 1 << (page % 64);
        was_seen
    }

    fn was_seen(&self, page: u64) -> bool {
        let word = self.seen.get((page / 64) as usize);
        word.is_some_and(|word| word >> (page % 64) & 1 != 0)
    }

    /// Looks through the page `at` and those below it, whose keys must lie within `span`: from the one
    /// up to the other.
    fn page(
        &mut self,
        at: u64,
        levels: u16,
        kind: &mut Kind<'_>,
        span: (Option<&[u8]>, Option<&[u8]>),
    ) -> Result<(), Fault> {
        self.take(at, 1)?;
        let mut page = vec![0; self.page_len];
        self.file
            .read_exact_at(&mut page, at * self.page_len as u64)?;
        let flags = number::<2>(&page, 10) as u16;
        let wanted = if levels == 1 { LEAF } else { BRANCH };
        let (lower, upper) = (
            number::<2>(&page, 12) as usize,
            number::<2>(&page, 14) as usize,
        );
        let in_order = HEAD_LEN <= lower && lower <= upper && upper <= self.page_len;
        let count = lower.saturating_sub(HEAD_LEN) / 2;
        let enough = count >= if levels == 1 { 1 } else { 2 };
        if number::<8>(&page, 0) != at || flags != wanted || !in_order || !enough {
            return damaged(format!("page {at} is not what it should be"));
        }
        let mut nodes = Vec::with_capacity(count);
        let mut places = Vec::with_capacity(count);
        for node in 0..count {
            let from = number::<2>(&page, HEAD_LEN + 2 * node) as usize;
            let Some(node) = page.get(from..).and_then(Node::read) else {
                return damaged(format!("page {at} has a node outside of it"));
            };
            places.push((from, node.len(levels)));
            nodes.push(node);
        }
        // Between the offsets and the end nodes lie one behind the other: LMDB moves them by their sizes.
        places.sort_unstable();
        let ends_at = places.iter().try_fold(upper, |end, (from, len)| {
            (end == *from).then_some(end + len)
        });
        if ends_at != Some(self.page_len) {
            return damaged(format!("page {at} has a node outside of its place"));
        }
        // The first key of a branch is never looked at: all that is less than the second lies there.
        let keys = nodes
            .iter()
            .skip(usize::from(levels > 1))
            .map(|node| node.key);
        let borders = span.0.into_iter().chain(keys).chain(span.1);
        let lengths = kind.key_lens();
        let first_is_border = span.0.is_some();
        let mut last: Option<&[u8]> = None;
        for (place, key) in borders.enumerate() {
            // The least key of a page may be the border itself.
            let may_equal = place == 1 && first_is_border;
            let in_order =
                last.is_none_or(|last| precedes(last, key, kind) || may_equal && last == key);
            if !in_order || !lengths.contains(&key.len()) {
                return damaged(format!("page {at} has its keys in disorder"));
            }
            last = Some(key);
        }
        for (place, node) in nodes.iter().enumerate() {
            if levels == 1 {
                self.value(at, node, kind)?;
                continue;
            }
            let first = if place == 0 { span.0 } else { Some(node.key) };
            let end = nodes.get(place + 1).map_or(span.1, |next| Some(next.key));
            self.page(node.child, levels - 1, kind, (first, end))?;
        }
        Ok(())
    }

    fn value(&mut self, at: u64, node: &Node<'_>, kind: &mut Kind<'_>) -> Result<(), Fault> {
        let big = node.flags & BIG != 0;
        let bytes = node.rest.get(..if big { 8 } else { node.value_len });
        let Some(bytes) = bytes else {
            return damaged(format!("page {at} has a value that is too long"));
        };
        let mut on_pages = Vec::new();
        let mut value = bytes;
        if big {
            let first = number::<8>(bytes, 0);
            let count = (HEAD_LEN - 1 + node.value_len) / self.page_len + 1;
            self.take(first, count as u64)?;
            let mut head = [0; HEAD_LEN];
            self.file
                .read_exact_at(&mut head, first * self.page_len as u64)?;
            let pages = number::<4>(&head, 12);
            let flags = number::<2>(&head, 10) as u16;
            if number::<8>(&head, 0) != first || flags != OVERFLOW || pages != count as u64 {
                return damaged(format!("page {first} is not what it should be"));
            }
            if matches!(kind, Kind::Free(_)) {
                on_pages.resize(node.value_len, 0);
                let place = first * self.page_len as u64 + HEAD_LEN as u64;
                self.file.read_exact_at(&mut on_pages, place)?;
            }
            value = &on_pages;
        }
        match (node.flags & !BIG, kind) {
            (0, Kind::Free(free)) => {
                let count = value.first_chunk().map(|count| u64::from_le_bytes(*count));
                let pages = value.get(8..).unwrap_or_default().as_chunks().0;
                let Some(pages) = count.and_then(|count| pages.get(..usize::try_from(count).ok()?))
                else {
                    return damaged(format!(
                        "page {at} has a list of free pages that is too long"
                    ));
                };
                let from = free.len();
                free.extend(pages.iter().map(|page| u64::from_le_bytes(*page)));
                let descends = free[from..].is_sorted_by(|a, b| a > b);
                // LMDB takes 0 for "none yet", and would give the pages out twice.
                let freed_by = number::<8>(node.key, 0);
                if !descends || !(1..=self.transaction).contains(&freed_by) {
                    return damaged(format!("page {at} has a list of free pages in disorder"));
                }
                Ok(())
            }
            (SUB_TREE, Kind::Main) if value.len() == TREE_LEN => {
                self.tree(&Tree::read(value), Kind::Values)
            }
            (0, Kind::Main | Kind::Values) => Ok(()),
            _ => damaged(format!("page {at} has a value of an unknown kind")),
        }
    }
}

struct Node<'a> {
    child: u64,
    value_len: usize,
    flags: u16,
    key: &'a [u8],
    /// What follows the key: the value, and other nodes.
    rest: &'a [u8],
}

impl<'a> Node<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<NODE_HEAD_LEN>()?;
        let flags = number::<2>(head, 4) as u16;
        let value_len = number::<4>(head, 0);
        let (key, rest) = rest.split_at_checked(number::<2>(head, 6) as usize)?;
        Some(Self {
            child: value_len | u64::from(flags) << 32,
            value_len: value_len as usize,
            flags,
            key,
            rest,
        })
    }

    /// Bytes that it takes on a page so many levels above the ground.
    fn len(&self, levels: u16) -> usize {
        let value_len = match (levels, self.flags & BIG) {
            (1, 0) => self.value_len,
            (1, _) => 8,
            _ => 0,
        };
        (NODE_HEAD_LEN + self.key.len() + value_len).next_multiple_of(2)
    }
}

/// Transactions are numbers, all other keys are bytes.
fn precedes(a: &[u8], b: &[u8], kind: &Kind<'_>) -> bool {
    match kind {
        Kind::Free(_) => match (a.as_chunks::<8>(), b.as_chunks::<8>()) {
            (([a], []), ([b], [])) => u64::from_le_bytes(*a) < u64::from_le_bytes(*b),
            _ => false,
        },
        Kind::Main | Kind::Values => a < b,
    }
}
