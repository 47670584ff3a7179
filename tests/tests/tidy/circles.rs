//! Circles of files: files that can only be understood, tested and moved together.

use std::collections::BTreeMap;

use crate::modules::{Arrow, Package};

/// Every circle of files in a package, as a text that names its files and the names that make it. A module and what is
/// inside of it may use each other.
pub(crate) fn circles(package: &Package) -> Vec<String> {
    let arrows: Vec<Arrow> = package.arrows().into_iter().filter(|a| !package.are_family(&a.from, &a.to)).collect();
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for arrow in &arrows {
        next.entry(&arrow.from).or_default().push(&arrow.to);
    }
    knots(&next).iter().map(|knot| describe(knot, &arrows)).collect()
}

fn describe(knot: &[&str], arrows: &[Arrow]) -> String {
    let mut text = format!("circle of {} files: {}", knot.len(), knot.join(", "));
    let inside = |file: &String| knot.contains(&file.as_str());
    for arrow in arrows.iter().filter(|arrow| inside(&arrow.from) && inside(&arrow.to)) {
        text += &format!("\n    {}:{} uses {} of {}", arrow.from, arrow.line, arrow.name, arrow.to);
    }
    text
}

/// Groups of two and more nodes of which each can be reached from each.
fn knots<'a>(next: &BTreeMap<&'a str, Vec<&'a str>>) -> Vec<Vec<&'a str>> {
    let reached: BTreeMap<&str, Vec<&str>> = next.keys().map(|from| (*from, reachable(next, from))).collect();
    let mut knots: Vec<Vec<&str>> = Vec::new();
    for (node, others) in &reached {
        if !others.contains(node) || knots.iter().any(|knot| knot.contains(node)) {
            continue;
        }
        let back = |other: &&&str| reached.get(**other).is_some_and(|back| back.contains(node));
        let mut knot: Vec<&str> = others.iter().filter(back).copied().collect();
        knot.sort_unstable();
        knots.push(knot);
    }
    knots
}

/// Everything that can be reached from `from` in at least one step.
fn reachable<'a>(next: &BTreeMap<&'a str, Vec<&'a str>>, from: &str) -> Vec<&'a str> {
    let mut seen: Vec<&str> = Vec::new();
    let mut open: Vec<&str> = next.get(from).cloned().unwrap_or_default();
    while let Some(node) = open.pop() {
        if !seen.contains(&node) {
            seen.push(node);
            open.extend(next.get(node).into_iter().flatten());
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(file, text)| (format!("src/{file}"), (*text).to_owned())).collect();
        circles(&Package::read("src", &files))
    }

    #[test]
    fn a_circle_is_found_with_the_names_that_make_it() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B;\npub struct A;"),
            ("b.rs", "use crate::c::C;\npub struct B;"),
            ("c.rs", "\nuse crate::a::A;\npub struct C;"),
            ("d.rs", "use crate::a::A;"),
        ];
        let circles = found(&files);
        assert_eq!(circles.len(), 1, "{circles:#?}");
        assert!(circles[0].starts_with("circle of 3 files: src/a.rs, src/b.rs, src/c.rs"), "{circles:#?}");
        assert!(circles[0].contains("src/c.rs:2 uses crate::a::A of src/a.rs"), "{circles:#?}");
    }

    #[test]
    fn two_circles_are_two() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use crate::a::A; pub struct B; use crate::c::C;"),
            ("c.rs", "use crate::d::D; pub struct C;"),
            ("d.rs", "use crate::c::C; pub struct D;"),
        ];
        assert_eq!(found(&files).len(), 2);
    }

    #[test]
    fn parent_and_child_are_no_circle_but_siblings_are() {
        let family = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod b; use b::B; pub struct A;"),
            ("a/b.rs", "use super::A; pub struct B;"),
        ];
        assert_eq!(found(&family), Vec::<String>::new());
        let siblings = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod b; mod c; pub use b::B; pub use c::C;"),
            ("a/b.rs", "use super::C; pub struct B;"),
            ("a/c.rs", "use super::B; pub struct C;"),
        ];
        assert_eq!(found(&siblings).len(), 1);
    }
}
