//! Puts the page where readers look for it.

use std::fs;
use std::path::Path;

/// Where a page goes.
pub(crate) struct Marks {
    begin: &'static str,
    end: &'static str,
}

pub(super) const UDP: Marks = Marks {
    begin: "<!-- table:begin -->",
    end: "<!-- table:end -->",
};

pub(super) const HTTP: Marks = Marks {
    begin: "<!-- http-table:begin -->",
    end: "<!-- http-table:end -->",
};

pub(super) const COMPARE: Marks = Marks {
    begin: "<!-- compare:begin -->",
    end: "<!-- compare:end -->",
};

pub(crate) const CURVES: Marks = Marks {
    begin: "<!-- curves:begin -->",
    end: "<!-- curves:end -->",
};

pub(crate) const MEMORY: Marks = Marks {
    begin: "<!-- memory:begin -->",
    end: "<!-- memory:end -->",
};

pub(crate) fn replace(file: &Path, marks: &Marks, page: &str) -> Result<(), String> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {name}: {error}"))?;
    let text = replaced(&text, marks, page).ok_or_else(|| {
        let Marks { begin, end } = marks;
        format!("{name} has no line {begin} followed by a line {end}")
    })?;
    fs::write(file, text).map_err(|error| format!("cannot write {name}: {error}"))
}

/// `text` with `page` between the marks, which stand on lines of their own: prose may name them.
fn replaced(text: &str, marks: &Marks, page: &str) -> Option<String> {
    let Marks { begin, end } = marks;
    let begin = text.find(&format!("\n{begin}\n"))? + begin.len() + 2;
    let end = begin - 1 + text[begin - 1..].find(&format!("\n{end}\n"))? + 1;
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

    const BEGIN: &str = UDP.begin;
    const END: &str = UDP.end;

    #[test]
    fn a_page_replaces_the_last_one_and_nothing_else() {
        let text = format!("before `{BEGIN}`\n{BEGIN}\n{END}\nafter\n");
        let once = replaced(&text, &UDP, "one\n").unwrap();
        assert_eq!(
            once,
            format!("before `{BEGIN}`\n{BEGIN}\n\none\n\n{END}\nafter\n")
        );
        let twice = replaced(&once, &UDP, "two\n").unwrap();
        assert_eq!(twice, once.replace("one", "two"));
        assert_eq!(replaced(&twice, &UDP, "two\n").unwrap(), twice);
    }

    #[test]
    fn a_file_without_marks_is_left_alone() {
        assert_eq!(replaced("text\n", &UDP, "page"), None);
        assert_eq!(replaced(&format!("\n{END}\n{BEGIN}\n"), &UDP, "page"), None);
    }

    #[test]
    fn two_pages_in_one_file_do_not_disturb_each_other() {
        let text = format!("\n{BEGIN}\n{END}\n{}\n{}\n", HTTP.begin, HTTP.end);
        let both = replaced(&replaced(&text, &UDP, "one").unwrap(), &HTTP, "two").unwrap();
        assert_eq!(replaced(&both, &UDP, "one").unwrap(), both);
        assert!(both.find("one").unwrap() < both.find("two").unwrap());
    }
}
