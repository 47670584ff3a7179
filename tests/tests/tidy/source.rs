//! Rust source as plain text with comments and literals blanked out: enough to count lines and to find words, without a
//! parser. Newlines stay where they are, so line numbers hold.

/// One function: its name and its first and last line, from 1.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// Replaces comments, strings and characters by spaces.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("whole characters are replaced")
}

/// End of the comment or literal that begins at `at`; `at` itself if none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let word_before = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment_len(rest),
        [b'"', ..] => at + string_len(rest),
        [b'r' | b'b' | b'c', ..] if !word_before => raw_string_len(rest).map_or(at, |len| at + len),
        [b'\'', ..] => at + char_len(rest),
        _ => at,
    }
}

fn block_comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_len(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of `r"..."`, `br#"..."#` and the like; of the prefix alone if an ordinary string follows.
fn raw_string_len(rest: &[u8]) -> Option<usize> {
    let prefix = rest.iter().position(|byte| !matches!(byte, b'r' | b'b' | b'c'))?;
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    if prefix > 2 || rest.get(prefix + hashes) != Some(&b'"') || !rest[..prefix].contains(&b'r') {
        return None;
    }
    let close = [b"\"", "#".repeat(hashes).as_bytes()].concat();
    let body = prefix + hashes + 1;
    let end = rest[body..].windows(close.len()).position(|window| window == close)?;
    Some(body + end + close.len())
}

/// Length of a character literal; 0 for a lifetime.
fn char_len(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return 3 + rest[3..].iter().position(|byte| *byte == b'\'').unwrap_or(0) + 1;
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)]).or_else(|error| {
        std::str::from_utf8(&rest[1..1 + error.valid_up_to()]) // the window cut a character
    });
    let width = text.ok().and_then(|text| text.chars().next()).map_or(1, char::len_utf8);
    if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
}

pub(crate) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Line of an offset, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Offsets of a word that stands alone.
pub(crate) fn words(blanked: &str, word: &str) -> Vec<usize> {
    let bytes = blanked.as_bytes();
    blanked
        .match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || !is_word(bytes[at - 1]))
        .filter(|at| !bytes.get(at + word.len()).copied().is_some_and(is_word))
        .collect()
}

/// Offset behind the bracket that closes the one at `open`.
pub(crate) fn matching(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0_i32;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    bytes.len()
}

/// Blanks every `#[cfg(test)]` item with a body, and a body-less one up to its semicolon.
pub(crate) fn without_tests(blanked: &str) -> String {
    let mut out = blanked.as_bytes().to_vec();
    for (at, _) in blanked.match_indices("#[cfg(test)]") {
        let end = body(blanked.as_bytes(), at + "#[cfg(test)]".len()).1;
        out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    }
    String::from_utf8(out).expect("ASCII was put in place of whole items")
}

/// From `from` on: the offsets of the next `{` outside of other brackets and behind its match; both behind the `;` if
/// that comes first.
fn body(bytes: &[u8], from: usize) -> (usize, usize) {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'(' | b'[' => at = matching(bytes, at),
            b'{' => return (at, matching(bytes, at)),
            b';' => return (at + 1, at + 1),
            _ => at += 1,
        }
    }
    (at, at)
}

/// Every function that has a body.
pub(crate) fn functions(blanked: &str) -> Vec<Function> {
    let bytes = blanked.as_bytes();
    let line = |at: usize| bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let mut found = Vec::new();
    for at in words(blanked, "fn") {
        let name: String = blanked[at + 2..].trim_start().bytes().take_while(|b| is_word(*b)).map(char::from).collect();
        if name.is_empty() {
            continue; // a type, fn(u8) -> u8
        }
        let (open, end) = body(bytes, at);
        if open != end {
            found.push(Function { name, first: line(at), last: line(end - 1) });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_what_is_no_code() {
        let text = "let a = \"fn x() { \\\" \"; // fn\nlet b = '{'; /* { /* */ */ let c: &'a str = r#\"{\"#; 'é'";
        let blanked = blank(text);
        assert!(!blanked.contains('{') && !blanked.contains("fn") && !blanked.contains('é'), "{blanked}");
        assert!(blanked.contains("let c: &'a str"));
        assert_eq!(blanked.lines().count(), text.lines().count());
    }

    #[test]
    fn finds_functions_and_hides_tests() {
        let shipped = "fn one(a: [u8; 2]) -> u8 {\n  if true { 1 }\n}\ntrait T { fn none(); }\n";
        let text = &format!("{shipped}#[cfg(test)]\nmod tests {{\n fn two() {{\n }}\n}}\n");
        let names = |text: &str| functions(text).iter().map(|f| f.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(text), ["one", "two"]);
        assert_eq!(names(&without_tests(text)), ["one"]);
        let one = &functions(text)[0];
        assert_eq!((one.first, one.last), (1, 3));
    }
}
