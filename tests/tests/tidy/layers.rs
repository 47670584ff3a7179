//! The arrows inside of a package: which folder may use which, and what is named in some folders only.

use crate::modules::Package;
use crate::source::{line_of, words};

/// One folder (or file) of a package, and the folders that it may use beside itself: each of a row above in its table;
/// `*` for all of those.
pub(crate) type Row<'a> = (&'a str, &'a [&'a str]);

/// Every use of a name that the table does not allow. Folders that it does not know are problems as well. The root
/// of a package may use everything, and everything may use it.
pub(crate) fn backwards(src: &str, package: &Package, rows: &[Row<'_>]) -> Vec<String> {
    let row = |file: &str| rows.iter().filter(|(folder, _)| is_in(src, folder, file)).max_by_key(|row| row.0.len());
    let is_root = |file: &str| ["lib.rs", "main.rs"].iter().any(|root| file == format!("{src}/{root}"));
    let mut problems = Vec::new();
    for (_, file, _) in package.modules().filter(|(_, file, _)| !is_root(file) && row(file).is_none()) {
        problems.push(format!("{file}: no layer has this file"));
    }
    for arrow in package.arrows() {
        let Some((folder, may_use)) = row(&arrow.from) else { continue };
        let above = rows.iter().map(|(other, _)| other).take_while(|other| *other != folder);
        let may_use: Vec<&str> = if *may_use == ["*"] { above.copied().collect() } else { may_use.to_vec() };
        let allowed = may_use.iter().chain([folder]).any(|folder| is_in(src, folder, &arrow.to));
        if !allowed && !is_root(&arrow.to) {
            let (from, line, name, to) = (&arrow.from, arrow.line, &arrow.name, &arrow.to);
            problems.push(format!("{from}:{line}: {folder} must not use {name} of {to}"));
        }
    }
    problems
}

/// Every entry of a table that is no row above its own: so a table without any has no circle.
pub(crate) fn upwards(rows: &[Row<'_>]) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, (folder, may_use)) in rows.iter().enumerate() {
        let known = |other: &str| other == "*" || rows[..at].iter().any(|(above, _)| *above == other);
        let unknown = may_use.iter().filter(|other| !known(other));
        problems.extend(unknown.map(|other| format!("{folder} may use {other}, which is not above it in the table")));
    }
    problems
}

/// The file is the folder's, or the file of that name.
fn is_in(src: &str, folder: &str, file: &str) -> bool {
    let path = format!("{src}/{folder}");
    file.strip_prefix(&path).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Places outside of `folders` where code has `text` as whole words.
pub(crate) fn outside(src: &str, code: &str, file: &str, text: &str, folders: &[&str]) -> Vec<String> {
    if folders.iter().any(|folder| is_in(src, folder, file)) {
        return Vec::new();
    }
    let at = words(code, text);
    at.iter().map(|at| format!("{file}:{}: {text} only in {}", line_of(code, *at), folders.join(", "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_against_the_layers_is_found() {
        let files = [
            ("src/lib.rs", "mod low; mod high; mod other; pub struct Root;"),
            ("src/low.rs", "mod part; use crate::high::High; use crate::Root; pub struct Low;"),
            ("src/low/part.rs", "use super::Low; use crate::high::High;"),
            ("src/high.rs", "use crate::low::Low; pub struct High;"),
            ("src/other.rs", ""),
        ];
        let files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        let found = backwards("src", &Package::read("src", &files), &[("low", &[]), ("high", &["low"])]);
        assert_eq!(
            found,
            [
                "src/other.rs: no layer has this file",
                "src/low.rs:1: low must not use crate::high::High of src/high.rs",
                "src/low/part.rs:1: low must not use crate::high::High of src/high.rs",
            ]
        );
    }

    #[test]
    fn a_table_goes_upwards() {
        assert_eq!(upwards(&[("low", &[]), ("high", &["low"]), ("top", &["*"])]), Vec::<String>::new());
        assert_eq!(upwards(&[("low", &["high"]), ("high", &["low"])]).len(), 1);
    }

    #[test]
    fn what_is_on_top_uses_all_that_is_above_in_the_table() {
        let files = [
            ("src/lib.rs", "mod low; mod top; mod last;"),
            ("src/low.rs", "pub struct Low;"),
            ("src/top.rs", "use crate::low::Low; use crate::last::Last;"),
            ("src/last.rs", "pub struct Last;"),
        ];
        let files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        let found = backwards("src", &Package::read("src", &files), &[("low", &[]), ("top", &["*"]), ("last", &[])]);
        assert_eq!(found, ["src/top.rs:1: top must not use crate::last::Last of src/last.rs"]);
    }

    #[test]
    fn a_word_has_its_folders() {
        let code = "impl Worker {\n}\nimpl Workers {}\nimpl Worker {}";
        assert_eq!(outside("src", code, "src/worker/mod.rs", "impl Worker", &["worker"]), Vec::<String>::new());
        assert_eq!(
            outside("src", code, "src/workers.rs", "impl Worker", &["worker"]),
            ["src/workers.rs:1: impl Worker only in worker", "src/workers.rs:4: impl Worker only in worker"]
        );
    }
}
