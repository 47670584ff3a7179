//! What serde wanted, in words for people: the names of the program's types mean nothing to who has written the text.

/// The end of serde's sentence, behind "expected".
pub(crate) fn wanted(by_serde: &str) -> &str {
    match by_serde {
        "a sequence" => "a list",
        "u8" => "a whole number up to 255",
        "u16" => "a whole number up to 65535",
        "u32" | "u64" | "usize" => "a whole number",
        _ if by_serde.starts_with("struct ") => "an object",
        _ => by_serde,
    }
}

/// The whole sentence.
pub(crate) fn in_words(by_serde: &str) -> String {
    match by_serde.rsplit_once(", expected ") {
        Some((found, end)) => format!("{found}, expected {}", wanted(end)),
        None => by_serde.to_owned(),
    }
}
