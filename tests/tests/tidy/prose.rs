//! Words that plain English does without, in comments, texts and documents.

/// Rust's comments and texts, or a document: every banned phrase with its line, even one that a line break parts.
pub(crate) fn banned_phrases(file: &str, text: &str) -> Vec<String> {
    let is_rust = file.ends_with(".rs");
    let (joined, lines) = join(text);
    let mut problems = Vec::new();
    for (phrase, instead) in banned() {
        for (at, _) in joined.match_indices(phrase.as_str()) {
            let end = joined[at + phrase.len()..].bytes().next();
            let begins = at == 0 || !joined.as_bytes()[at - 1].is_ascii_alphanumeric();
            if begins && !end.is_some_and(|byte| byte.is_ascii_alphanumeric()) {
                problems.push(format!("{file}:{}: \"{phrase}\"; {instead}", lines[at]));
            }
        }
    }
    for (number, line) in text.lines().enumerate() {
        let comment = line.trim_start().trim_start_matches(['/', '!']);
        if is_rust && line.trim_start().starts_with("//") && comment.starts_with(" Of ") {
            problems.push(format!("{file}:{}: begins with \"Of\"; begin with the noun", number + 1));
        }
    }
    problems
}

/// Phrase and advice. Put together here, so that this file does not hold them.
fn banned() -> Vec<(String, &'static str)> {
    [
        (["who", "ever"], "name the actor"),
        (["an", "ew"], "say \"again\""),
        (["nobody", "'s"], "name the owner, or say that there is none"),
        (["anybody", "'s"], "name the owner"),
        (["any ", "more"], "say \"no longer\""),
        (["any", "more"], "say \"no longer\""),
        (["would ", "else"], "say \"otherwise\", or a condition with \"if\""),
    ]
    .map(|(parts, instead)| (parts.concat(), instead))
    .to_vec()
}

/// The text in lower case without markers of comments and with single blanks, and the line of each of its bytes.
fn join(text: &str) -> (String, Vec<usize>) {
    let (mut joined, mut lines) = (String::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let words = line.trim_start().trim_start_matches("//").trim_start_matches(['/', '!']);
        for word in words.split_whitespace() {
            joined += &word.to_ascii_lowercase();
            joined.push(' ');
            lines.resize(joined.len(), number + 1);
        }
    }
    (joined, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pattern: &str) -> String {
        pattern.replace('_', "")
    }

    #[test]
    fn banned_words_are_found_as_words_and_over_the_end_of_a_line() {
        let bad = text("/// Who_ever comes.\nlet a = 1; // not any_\n    // more, canew\n");
        let bad = bad.replace("any\n", "any \n");
        let found = banned_phrases("a.rs", &bad);
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found[0].starts_with("a.rs:1: ") && found[1].starts_with("a.rs:2: "), "{found:#?}");
        assert_eq!(banned_phrases("a.md", &text("It is nobody_'s.\n")).len(), 1);
    }

    #[test]
    fn a_comment_begins_with_a_noun() {
        assert_eq!(banned_phrases("a.rs", "    /// Of the next packet.\n/// Off.\nfn Of() {}\n").len(), 1);
        assert_eq!(banned_phrases("a.md", "Of the twelve tests.\n").len(), 0);
    }
}
