//! The page "A packet's way" of the design: the functions that it names are where it says.

use std::collections::BTreeMap;

use crate::source::{blank, functions};

const HEADING: &str = "## A packet's way";

/// What is wrong with the page. Its list items have the form "- `file.rs` `function`, `function`: text"; each file is
/// in one of the folders `roots`, each function in its file.
pub(crate) fn wrong_steps(document: &str, roots: &[&str], files: &BTreeMap<String, String>) -> Vec<String> {
    let Some(section) = section(document) else { return vec![format!("there is no page {HEADING:?}")] };
    let mut problems = Vec::new();
    let mut steps = 0;
    for item in items(section) {
        steps += 1;
        let names = names(&item);
        if names.len() < 2 || !names[0].ends_with(".rs") {
            problems.push(format!("names no file and function before its colon: {item}"));
            continue;
        }
        let mut defined: Vec<String> = Vec::new();
        let mut place = "";
        for name in names {
            if name.ends_with(".rs") {
                let found: Vec<_> = roots.iter().filter_map(|root| files.get(&format!("{root}/{name}"))).collect();
                if found.is_empty() {
                    problems.push(format!("there is no file {name}"));
                }
                defined = found.iter().flat_map(|text| functions(&blank(text))).map(|function| function.name).collect();
                place = name;
            } else if !defined.iter().any(|function| function == name.rsplit("::").next().unwrap_or(name)) {
                problems.push(format!("{place} has no function {name}"));
            }
        }
    }
    if steps == 0 {
        problems.push(format!("{HEADING:?} lists nothing"));
    }
    problems
}

/// The text from the heading to the next one of its kind.
fn section(document: &str) -> Option<&str> {
    let from = document.find(&format!("{HEADING}\n"))? + HEADING.len();
    let rest = &document[from..];
    Some(rest.find("\n## ").map_or(rest, |len| &rest[..len]))
}

/// List items, `- ` or `1. `, with the lines that continue them.
fn items(section: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut inside = false;
    for line in section.lines() {
        let text = line.trim_start();
        let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let begins = text.strip_prefix("- ").or_else(|| number.strip_prefix(". ").filter(|_| number != text));
        if let Some(item) = begins {
            items.push(item.to_owned());
            inside = true;
        } else if text.is_empty() {
            inside = false;
        } else if let Some(item) = items.last_mut().filter(|_| inside) {
            *item += " ";
            *item += text;
        }
    }
    items
}

/// What stands in backticks before the item's first colon outside of them.
fn names(item: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (number, part) in item.split('`').enumerate() {
        if number % 2 == 1 {
            names.push(part.trim_end_matches("()"));
        } else if part.contains(':') {
            return names;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(page: &str) -> Vec<String> {
        let text = "fn receive() {}\nimpl A { fn open(&self) {} }".to_owned();
        let files = BTreeMap::from([("core/src/worker/receive.rs".to_owned(), text)]);
        wrong_steps(&format!("# Design\n\n{page}\n## Next\n- no: item\n"), &["core/src", "src"], &files)
    }

    #[test]
    fn functions_that_exist_pass() {
        let page = "## A packet's way\n\nIn:\n\n- `worker/receive.rs` `receive`,\n  `A::open`: reads `x.rs` and\n  \
            opens: all.\n\n1. `worker/receive.rs` `open()`: so.\n";
        assert_eq!(wrong(page), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let page = "## A packet's way\n- `worker/receive.rs` `close`: a\n- `gone.rs` `open`: b\n- just text\n";
        assert_eq!(
            wrong(page),
            [
                "worker/receive.rs has no function close",
                "there is no file gone.rs",
                "gone.rs has no function open",
                "names no file and function before its colon: just text"
            ]
        );
        assert_eq!(wrong("no page"), ["there is no page \"## A packet's way\""]);
        assert_eq!(wrong("## A packet's way\n\nText.\n"), ["\"## A packet's way\" lists nothing"]);
    }
}
