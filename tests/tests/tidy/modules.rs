//! Which file uses which, within one package: the tree of modules from `lib.rs` or `main.rs` on, and every name that a
//! file takes from another, followed through `use` declarations to the file that defines it. Test code is left out. Not
//! seen: what only macros write out, and methods that are called on values.

use std::collections::BTreeMap;

use crate::source::{blank, is_word, line_of, without_tests, words};

/// Re-exports are followed so many times. A chain of them that is longer is a circle of globs.
const MAX_HOPS: usize = 16;

/// One use of another file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrow {
    pub(crate) from: String,
    pub(crate) to: String,
    /// As it is written: `crate::time::Instant`.
    pub(crate) name: String,
    pub(crate) line: usize,
}

/// The modules of one package.
#[derive(Default)]
pub(crate) struct Package {
    modules: BTreeMap<Vec<String>, Module>,
}

struct Module {
    file: String,
    code: String,
    imports: Vec<Import>,
}

/// One name that a `use` declaration brings in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Import {
    path: Vec<String>,
    /// `None` for a glob.
    bound: Option<String>,
    line: usize,
}

/// Where a path leads.
enum Found {
    Module(Vec<String>),
    Item(String),
}

impl Package {
    /// The package whose sources are below `src`, of which `files` holds path and text. Empty if it has no root.
    pub(crate) fn read(src: &str, files: &BTreeMap<String, String>) -> Self {
        let root =
            ["lib.rs", "main.rs"].map(|name| format!("{src}/{name}")).into_iter().find(|f| files.contains_key(f));
        let mut package = Self::default();
        if let Some(root) = root {
            package.add(Vec::new(), root, files);
        }
        package
    }

    fn add(&mut self, path: Vec<String>, file: String, files: &BTreeMap<String, String>) {
        let code = without_tests(&blank(&files[&file]));
        for name in declared_modules(&code) {
            let folder = folder_of_children(&file);
            let places = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")];
            if let Some(child) = places.into_iter().find(|place| files.contains_key(place)) {
                self.add([path.as_slice(), &[name]].concat(), child, files);
            }
        }
        let imports = imports(&code);
        self.modules.insert(path, Module { file, code, imports });
    }

    /// Each module's path, file and code, in which comments, literals and tests are blank; files of tests are left out.
    pub(crate) fn modules(&self) -> impl Iterator<Item = (&[String], &str, &str)> {
        self.modules.iter().map(|(path, module)| (path.as_slice(), module.file.as_str(), module.code.as_str()))
    }

    /// One of the two files is a module that the other is inside of.
    pub(crate) fn are_family(&self, one: &str, other: &str) -> bool {
        let path = |file: &str| self.modules.iter().find(|(_, module)| module.file == file).map(|(path, _)| path);
        let (Some(one), Some(other)) = (path(one), path(other)) else { return false };
        one.starts_with(other) || other.starts_with(one)
    }

    /// Every use of another file's name, in the order of files and lines, each name once a file.
    pub(crate) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows: Vec<Arrow> = Vec::new();
        for (path, module) in &self.modules {
            let mut named = Vec::new();
            for import in &module.imports {
                match self.find(path, &import.path, 0) {
                    Some(Found::Item(file)) => named.push((import.line, import.path.join("::"), file)),
                    Some(Found::Module(of)) if import.bound.is_none() => {
                        named.push((
                            import.line,
                            format!("{}::*", import.path.join("::")),
                            self.modules[&of].file.clone(),
                        ));
                    }
                    // What is taken from the module stands in the code, behind its name.
                    Some(Found::Module(_)) | None => {}
                }
            }
            for (line, segments) in paths(&without_imports(&module.code)) {
                // What belongs to an item that is imported by name came with that import.
                let of_item = matches!(self.find(path, &segments[..1], 0), Some(Found::Item(_)));
                match self.find(path, &segments, 0) {
                    Some(Found::Item(file)) if !of_item => named.push((line, segments.join("::"), file)),
                    _ => {}
                }
            }
            named.sort();
            for (line, name, to) in named {
                let from = module.file.clone();
                let known = arrows.iter().any(|a| a.from == from && a.to == to && a.name == name);
                if to != from && !known {
                    arrows.push(Arrow { from, to, name, line });
                }
            }
        }
        arrows
    }

    /// Where `segments` lead that stand in the module `at`; `None` out of the package.
    fn find(&self, at: &[String], segments: &[String], hops: usize) -> Option<Found> {
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" => self.descend(&[], rest, hops),
            "self" => self.descend(at, rest, hops),
            "super" => {
                let (_, parent) = at.split_last()?;
                let ups = rest.iter().take_while(|segment| *segment == "super").count();
                let parent = parent.get(..parent.len().checked_sub(ups)?)?;
                self.descend(parent, &rest[ups..], hops)
            }
            _ if self.knows(at, first) => self.descend(at, segments, hops),
            _ => None,
        }
    }

    /// `name` is a module below `at`, or imported there by name.
    fn knows(&self, at: &[String], name: &String) -> bool {
        self.modules.contains_key(&[at, std::slice::from_ref(name)].concat())
            || self.modules[at].imports.iter().any(|import| import.bound.as_ref() == Some(name))
    }

    /// Where `segments` lead from inside of the module `at`.
    fn descend(&self, at: &[String], segments: &[String], hops: usize) -> Option<Found> {
        let Some((name, rest)) = segments.split_first() else { return Some(Found::Module(at.to_vec())) };
        if name == "self" && rest.is_empty() {
            return Some(Found::Module(at.to_vec()));
        }
        let child = [at, std::slice::from_ref(name)].concat();
        if self.modules.contains_key(&child) {
            return self.descend(&child, rest, hops);
        }
        let module = self.modules.get(at)?;
        if hops == MAX_HOPS || defines(&module.code, name) {
            return Some(Found::Item(module.file.clone()));
        }
        if let Some(import) = module.imports.iter().find(|import| import.bound.as_ref() == Some(name)) {
            return match self.find(at, &import.path, hops + 1)? {
                Found::Module(of) => self.descend(&of, rest, hops + 1),
                item @ Found::Item(_) => Some(item),
            };
        }
        for glob in module.imports.iter().filter(|import| import.bound.is_none()) {
            if let Some(Found::Module(of)) = self.find(at, &glob.path, hops + 1)
                && of != at
                && (self.knows(&of, name) || defines(&self.modules[&of].code, name))
            {
                return self.descend(&of, segments, hops + 1);
            }
        }
        Some(Found::Item(module.file.clone()))
    }
}

/// Folder in which the modules are that a file declares.
fn folder_of_children(file: &str) -> String {
    let (folder, name) = file.rsplit_once('/').unwrap_or_default();
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => file.trim_end_matches(".rs").to_owned(),
    }
}

fn word_at(code: &str, at: usize) -> &str {
    let len = code[at..].bytes().take_while(|byte| is_word(*byte)).count();
    &code[at..at + len]
}

/// Offset of the first byte from `at` on that is no blank.
fn skip_blanks(code: &str, at: usize) -> usize {
    at + code[at..].bytes().take_while(u8::is_ascii_whitespace).count()
}

/// Modules with a file of their own: `mod name;`.
fn declared_modules(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for at in words(code, "mod") {
        let name = word_at(code, skip_blanks(code, at + "mod".len()));
        let behind = skip_blanks(code, at + "mod".len()) + name.len();
        if code[behind..].trim_start().starts_with(';') {
            names.push(name.to_owned());
        }
    }
    names
}

/// The file has an item of that name.
fn defines(code: &str, name: &str) -> bool {
    let kinds = ["fn", "struct", "enum", "union", "const", "static", "type", "trait", "mod", "macro_rules!"];
    words(code, name).into_iter().any(|at| {
        let before = code[..at].trim_end();
        before.len() < at && kinds.iter().any(|kind| before.ends_with(kind))
    })
}

/// Offsets of each `use` declaration's first byte behind the word, and of its semicolon.
fn declarations(code: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for at in words(code, "use") {
        let from = skip_blanks(code, at + "use".len());
        let begins = code[from..].bytes().next().is_some_and(|byte| is_word(byte) || byte == b'{' || byte == b':');
        // Not the `use<'a>` of a bound.
        if begins
            && from > at + "use".len()
            && let Some(len) = code[from..].find(';')
        {
            found.push((from, from + len));
        }
    }
    found
}

fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for (from, to) in declarations(code) {
        expand(&code[from..to], &[], line_of(code, from), &mut found);
    }
    found
}

/// One tree of a `use` declaration, `a::{b, c as d, e::*}`, as one entry for each leaf.
fn expand(tree: &str, prefix: &[String], line: usize, found: &mut Vec<Import>) {
    let tree = tree.trim().trim_start_matches("::");
    if let Some(open) = tree.find('{') {
        let inner = tree[open + 1..].trim_end().trim_end_matches('}');
        let prefix = [prefix, &segments(&tree[..open])].concat();
        for branch in branches(inner) {
            expand(branch, &prefix, line, found);
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let mut path = [prefix, &segments(path)].concat();
    let glob = path.last().is_some_and(|last| last == "*");
    if glob {
        path.pop();
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(last) = path.last().cloned() {
        let bound = (!glob).then(|| alias.map_or(last, str::to_owned));
        found.push(Import { path, bound, line });
    }
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Splits at the commas outside of braces.
fn branches(inner: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&inner[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[from..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn without_imports(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for (from, to) in declarations(code) {
        out[from..to].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    }
    String::from_utf8(out).expect("blanks were put in place of whole declarations")
}

/// Every path of two segments and more in code, with its line; not those that say how far a name is visible.
fn paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let bytes = code.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let begin = at;
        let mut parts = vec![word_at(code, at).to_owned()];
        at += parts[0].len();
        while code[at..].starts_with("::") && bytes.get(at + 2).copied().is_some_and(is_word) {
            let part = word_at(code, at + 2);
            at += 2 + part.len();
            parts.push(part.to_owned());
        }
        let before = &code[..begin];
        let visibility = before.ends_with("(in ");
        let continued = before.ends_with('.') || before.ends_with("::");
        if parts.len() > 1 && !visibility && !continued {
            found.push((line_of(code, begin), parts));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(files: &[(&str, &str)]) -> Package {
        let files = files.iter().map(|(file, text)| (format!("src/{file}"), (*text).to_owned())).collect();
        Package::read("src", &files)
    }

    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let short = |file: &str| file.trim_start_matches("src/").to_owned();
        let arrows = package(files).arrows();
        arrows.iter().map(|a| format!("{} > {}: {}", short(&a.from), short(&a.to), a.name)).collect()
    }

    #[test]
    fn a_use_tree_is_taken_apart() {
        let found =
            imports("use a::{b, c::{self, D as E}, f::*};\npub(crate) use super::g;\nfn x() -> impl use<'a> {}");
        let shown: Vec<_> = found.iter().map(|i| format!("{} {:?} {}", i.path.join("::"), i.bound, i.line)).collect();
        assert_eq!(
            shown,
            [
                "a::b Some(\"b\") 1",
                "a::c Some(\"c\") 1",
                "a::c::D Some(\"E\") 1",
                "a::f None 1",
                "super::g Some(\"g\") 2"
            ]
        );
    }

    #[test]
    fn names_lead_to_the_file_that_defines_them() {
        let files = [
            ("lib.rs", "mod a; mod b; mod time;\npub use a::Deep;"),
            ("a/mod.rs", "mod deep;\npub(crate) use deep::Deep;\npub(crate) use deep::inner::*;\npub struct Own;"),
            ("a/deep.rs", "pub mod inner;\npub struct Deep;"),
            ("a/deep/inner.rs", "pub fn far() {}"),
            (
                "b.rs",
                "use crate::a::{self, Deep};\nuse crate::time;\n\
                fn f() { a::Own; a::far(); time::now(); Deep::new(); std::mem::take(); }",
            ),
            ("time.rs", "pub fn now() {}\nuse super::Deep;"),
        ];
        let found = arrows(&files);
        for expected in [
            "b.rs > a/deep.rs: crate::a::Deep",
            "b.rs > a/mod.rs: a::Own",
            "b.rs > a/deep/inner.rs: a::far",
            "b.rs > time.rs: time::now",
            "time.rs > a/deep.rs: super::Deep",
            "lib.rs > a/deep.rs: a::Deep",
        ] {
            assert!(found.iter().any(|arrow| arrow == expected), "{expected} is missing in {found:#?}");
        }
        assert_eq!(found.len(), 8, "and crate::a::Deep of b.rs, once: {found:#?}");
    }

    #[test]
    fn tests_strings_and_visibility_are_no_arrows() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub struct A;\n#[cfg(test)]\nmod tests { use crate::b::B; }\n// use crate::b::B;"),
            ("b.rs", "pub struct B { pub(in crate::a) x: u8 }\nconst S: &str = \"crate::a::A\";"),
        ];
        assert_eq!(arrows(&files), Vec::<String>::new());
    }

    #[test]
    fn a_circle_of_globs_ends() {
        let files =
            [("lib.rs", "mod a; mod b; use a::X;"), ("a.rs", "pub use crate::b::*;"), ("b.rs", "pub use crate::a::*;")];
        assert!(arrows(&files).contains(&"lib.rs > a.rs: a::X".to_owned()));
    }

    #[test]
    fn a_module_and_what_is_inside_are_family() {
        let files = [("lib.rs", "mod a;"), ("a.rs", "mod b; mod c;"), ("a/b.rs", ""), ("a/c.rs", "")];
        let package = package(&files);
        assert!(package.are_family("src/a.rs", "src/a/b.rs") && package.are_family("src/a/b.rs", "src/lib.rs"));
        assert!(!package.are_family("src/a/b.rs", "src/a/c.rs"));
    }
}
