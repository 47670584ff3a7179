//! Fields that more than the struct's own folder can touch. A struct with an identity keeps its fields to its folder; a
//! plain value, which can be cloned or is written out as it is, has nothing to protect.

use crate::source::{is_word, line_of, matching, words};

/// Every field in blanked code, tests left out, that is visible outside of the file's folder, as `line: what`. `module`
/// is the file's path of modules. Values that are copied about (`Copy`) and records that are written out as they are
/// (`Serialize`, `Deserialize`) have no secrets.
pub(crate) fn visible_fields(code: &str, module: &[String], is_folder: bool) -> Vec<(usize, String)> {
    let folder = if is_folder { module } else { &module[..module.len().saturating_sub(1)] };
    let mut found = Vec::new();
    for at in words(code, "struct") {
        let from = at + "struct".len() + 1;
        let name: String = code[from..].bytes().take_while(|byte| is_word(*byte)).map(char::from).collect();
        if is_open(code, at, &name) {
            continue;
        }
        let Some(open) = body(code, from + name.len()) else { continue };
        let end = matching(code.as_bytes(), open) - 1;
        for field in split(&code[open + 1..end]) {
            let offset = open + 1 + field.0;
            if leaves(field.1, module, folder) {
                found.push((line_of(code, offset), format!("{name}: {}", one_line(field.1))));
            }
        }
    }
    found
}

/// Offset of the bracket in which the fields are, of a struct whose name ends at `at`.
fn body(code: &str, at: usize) -> Option<usize> {
    let at = if code[at..].starts_with('<') { at + angle_len(&code.as_bytes()[at..]) } else { at };
    let open = at + code[at..].find(|c: char| !c.is_ascii_whitespace())?;
    if code[open..].starts_with('(') {
        return Some(open);
    }
    // Behind a `where` clause.
    let open = open + code[open..].find(['{', ';'])?;
    code[open..].starts_with('{').then_some(open)
}

/// The struct's fields may be seen: it is a plain value.
fn is_open(code: &str, at: usize, name: &str) -> bool {
    let item = attributes(&code[..at]);
    let derived = ["Copy", "Clone", "Serialize", "Deserialize"].iter().any(|derive| !words(item, derive).is_empty());
    derived || ["Copy", "Clone"].iter().any(|plain| code.contains(&format!("impl {plain} for {name} ")))
}

/// What stands between the end of the item before and the `struct` that `before` ends at.
fn attributes(before: &str) -> &str {
    // Brackets of attributes hold neither of the three, since literals are blank.
    let begin = before.rfind([';', '{', '}']).map_or(0, |at| at + 1);
    &before[begin..]
}

/// The parts between commas outside of brackets, each with its offset, attributes cut off.
fn split(fields: &str) -> Vec<(usize, &str)> {
    let bytes = fields.as_bytes();
    let (mut parts, mut from, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'#' if fields[from..at].trim().is_empty() => {
                at = matching(bytes, at + 1);
                from = at;
            }
            b'(' | b'[' | b'{' => at = matching(bytes, at),
            b'<' => at += angle_len(&bytes[at..]),
            b',' => {
                parts.push((from, &fields[from..at]));
                at += 1;
                from = at;
            }
            _ => at += 1,
        }
    }
    parts.push((from, &fields[from..]));
    parts.retain(|(_, field)| !field.trim().is_empty());
    parts.iter().map(|(from, field)| (from + field.len() - field.trim_start().len(), field.trim())).collect()
}

/// Length of `<...>`; an arrow's `>` closes nothing.
fn angle_len(rest: &[u8]) -> usize {
    let mut depth = 0;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' if rest[at - 1] != b'-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    rest.len()
}

/// The field can be seen outside of `folder`, which is a path of modules.
fn leaves(field: &str, module: &[String], folder: &[String]) -> bool {
    let Some(rest) = field.strip_prefix("pub") else { return false };
    let Some(scope) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
        return rest.starts_with(|c: char| c.is_ascii_whitespace()); // `pub`, not `publisher`
    };
    let seen: Vec<String> = match scope.0.trim() {
        "self" => return false,
        "super" => module[..module.len().saturating_sub(1)].to_vec(),
        other => match other.strip_prefix("in crate::") {
            Some(path) => path.split("::").map(|part| part.trim().to_owned()).collect(),
            None => Vec::new(), // the crate
        },
    };
    seen.is_empty() || !seen.starts_with(folder)
}

fn one_line(field: &str) -> String {
    field.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::blank;

    fn found(code: &str, module: &str, is_folder: bool) -> Vec<String> {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        visible_fields(&blank(code), &module, is_folder)
            .into_iter()
            .map(|(line, text)| format!("{line} {text}"))
            .collect()
    }

    #[test]
    fn fields_of_the_whole_package_are_found() {
        let code = "#[derive(Debug)]\npub struct A {\n#[doc = \"}\"]\npub(crate) a: Vec<(u8, u8)>,\nb: u8,\n\
            pub c: BTreeMap<u8, u8>,\npublisher: u8,\n}\nstruct T(pub u8, u8);";
        assert_eq!(
            found(code, "room::file", false),
            ["4 A: pub(crate) a: Vec<(u8, u8)>", "6 A: pub c: BTreeMap<u8, u8>", "9 T: pub u8"]
        );
    }

    #[test]
    fn fields_of_the_own_folder_are_fine() {
        let code = "struct A { pub(super) a: u8, pub(in crate::room) b: u8, pub(self) c: u8 }";
        assert_eq!(found(code, "room::file", false), Vec::<String>::new());
        // The file is the folder's `mod.rs`: `super` is one above.
        assert_eq!(found(code, "room", true), ["1 A: pub(super) a: u8"]);
        // The file is in another folder.
        assert_eq!(found(code, "other::file", false), ["1 A: pub(in crate::room) b: u8"]);
        // The file is at the top: `super` is the package.
        assert_eq!(found("struct A { pub(super) a: u8 }", "file", false), ["1 A: pub(super) a: u8"]);
    }

    #[test]
    fn values_and_records_are_open() {
        let code = "#[derive(Clone)]\nstruct A { pub a: u8 }\n#[derive(Serialize)]\nstruct B { pub a: u8 }\n\
            struct C { pub a: u8 }\nimpl Copy for C {}\nstruct D;\nstruct E { pub a: u8 }";
        assert_eq!(found(code, "room::file", false), ["8 E: pub a: u8"]);
    }

    #[test]
    fn types_with_arrows_and_generics_are_one_field() {
        let code = "struct A<T: Fn(u8) -> u8> { pub a: Box<dyn Fn(u8, u8) -> Result<u8, T>>, b: u8 }\n\
            struct B<T>\nwhere T: Fn(u8) { pub b: T }";
        assert_eq!(found(code, "room::file", false).len(), 2);
    }
}
