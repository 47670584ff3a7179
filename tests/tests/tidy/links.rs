//! Links between documents lead to a file that is there, and to a heading that is in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::workspace::{assert_none, files, read, root};

/// Every link of `documents` (path and text) that leads nowhere. Links to other sites are not looked at.
fn dead_links(documents: &BTreeMap<String, String>, is_file: impl Fn(&str) -> bool) -> Vec<String> {
    let anchors: BTreeMap<_, _> = documents.iter().map(|(file, text)| (file.as_str(), anchors(text))).collect();
    let mut problems = Vec::new();
    for (file, text) in documents {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, target) in prose(text).flat_map(|(number, line)| targets(line).map(move |to| (number, to))) {
            let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
            let path = if path.is_empty() { file.clone() } else { join(folder, path) };
            let found = match (anchors.get(path.as_str()), anchor) {
                (Some(anchors), Some(anchor)) => anchors.contains(anchor),
                _ => is_file(&path),
            };
            if !found {
                problems.push(format!("{file}:{number}: {target} leads nowhere"));
            }
        }
    }
    problems
}

/// Lines that are no code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then_some((number + 1, line))
    })
}

/// Where the links of a line lead, those to other sites left out.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let ends = line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    ends.filter(|target| !target.contains("://"))
}

/// `path` as seen from `folder`.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<_> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// What a document's headings are called in links.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| line.trim_start_matches('#'));
    let kept = |c: char| c.is_alphanumeric() || c == ' ' || c == '-' || c == '_';
    let slug = |heading: &str| heading.trim().to_lowercase().chars().filter(|c| kept(*c)).collect::<String>();
    headings.map(|heading| slug(heading).replace(' ', "-")).collect()
}

#[test]
fn links_of_documents_lead_somewhere() {
    let is_document = |file: &String| file.ends_with(".md") && (file.starts_with("docs/") || file == "README.md");
    let documents: BTreeMap<_, _> =
        files().into_iter().filter(is_document).map(|file| (file.clone(), read(&file))).collect();
    assert_none(&dead_links(&documents, |path| root().join(path).exists()));
}

#[test]
fn documents_that_sources_name_are_there() {
    let kinds = [".rs", ".toml", ".md", ".js", ".html", ".json", ".yml", ".service", "Containerfile", "run", ".sh"];
    let mut problems = Vec::new();
    for file in files().into_iter().filter(|file| kinds.iter().any(|kind| file.ends_with(kind))) {
        for (number, line) in read(&file).lines().enumerate() {
            for rest in line.split("docs/").skip(1) {
                let name =
                    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.').next().unwrap_or("");
                let name = name.trim_end_matches('.');
                if name.ends_with(".md") && !root().join("docs").join(name).exists() {
                    problems.push(format!("{file}:{}: there is no docs/{name}", number + 1));
                }
            }
        }
    }
    assert_none(&problems);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_what_is_not_there_is_found() {
        let text = "# A `b` and c\n[1](#a-b-and-c) [2](#gone) [3](x.md#x) [4](../README.md) [5](https://a.example/b)\n\
                    ```\n# no heading, [no link](#there)\n```\n[6](y.md) [7](x.md#no-heading-no-linkthere)\n";
        let documents =
            [("pages/a.md", text), ("pages/x.md", "# X\n"), ("README.md", "[8](pages/a.md#a-b-and-c) [9](a.md)\n")];
        let documents = documents.map(|(file, text)| (file.to_owned(), text.to_owned())).into();
        let found = dead_links(&documents, |path| documents.contains_key(path));
        let wanted = [
            "README.md:1: a.md leads nowhere",
            "pages/a.md:2: #gone leads nowhere",
            "pages/a.md:6: y.md leads nowhere",
            "pages/a.md:6: x.md#no-heading-no-linkthere leads nowhere",
        ];
        assert_eq!(found, wanted);
    }
}
