//! Puts the page where readers look for it.

use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- table:begin -->";
const END: &str = "<!-- table:end -->";

pub(super) fn replace(file: &Path, page: &str) -> Result<(), String> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {name}: {error}"))?;
    let text = replaced(&text, page)
        .ok_or_else(|| format!("{name} has no line {BEGIN} followed by a line {END}"))?;
    fs::write(file, text).map_err(|error| format!("cannot write {name}: {error}"))
}

/// `text` with `page` between the marks, which stand on lines of their own: prose may name them.
fn replaced(text: &str, page: &str) -> Option<String> {
    let begin = text.find(&format!("\n{BEGIN}\n"))? + BEGIN.len() + 2;
    let end = begin - 1 + text[begin - 1..].find(&format!("\n{END}\n"))? + 1;
    Some(format!(
        "{}\n{}\n\n{}",
        &text[..begin],
        page.trim(),
        &text[end..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_replaces_the_last_one_and_nothing_else() {
        let text = format!("before `{BEGIN}`\n{BEGIN}\n{END}\nafter\n");
        let once = replaced(&text, "one\n").unwrap();
        assert_eq!(
            once,
            format!("before `{BEGIN}`\n{BEGIN}\n\none\n\n{END}\nafter\n")
        );
        let twice = replaced(&once, "two\n").unwrap();
        assert_eq!(twice, once.replace("one", "two"));
        assert_eq!(replaced(&twice, "two\n").unwrap(), twice);
    }

    #[test]
    fn a_file_without_marks_is_left_alone() {
        assert_eq!(replaced("text\n", "page"), None);
        assert_eq!(replaced(&format!("\n{END}\n{BEGIN}\n"), "page"), None);
    }
}
