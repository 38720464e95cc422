//! The manual, as tests read it: headings, blocks of code, links.

#![allow(
    dead_code,
    reason = "each test program uses its own part of this module"
)]

/// A fenced block.
pub(crate) struct Block<'a> {
    /// What stands behind the fence.
    pub(crate) language: &'a str,
    /// Its lines.
    pub(crate) text: &'a str,
}

/// The part of a document under a heading of the second level, without the heading.
#[track_caller]
pub(crate) fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let start = document.find(&format!("\n## {heading}\n"));
    let start = start.unwrap_or_else(|| panic!("no section {heading}")) + heading.len() + 5;
    let rest = &document[start..];
    rest.split("\n## ").next().unwrap_or_default()
}

/// The fenced blocks of a text. A block within a list is not read.
pub(crate) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (language, after) = after.split_once('\n').expect("a fence has a line");
        let (text, after) = after.split_once("```").expect("a fence is closed");
        blocks.push(Block { language, text });
        rest = after;
    }
    blocks
}

/// The lines of a document outside of its blocks, with their numbers from 1.
pub(crate) fn prose(document: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    document.lines().zip(1..).filter_map(move |(line, number)| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        (!in_block && !is_fence).then_some((number, line))
    })
}

/// The name by which a heading is linked to, as GitHub makes it.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
