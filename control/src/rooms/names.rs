//! Names that come from outside.

use super::ApiError;

const MAX_NAME_BYTES: usize = 128;

/// Names of rooms and broadcasters stand in URLs, logs and the status page.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(ApiError::field(field, format!("must be 1 to {MAX_NAME_BYTES} bytes long")));
    }
    if name.chars().any(char::is_control) {
        return Err(ApiError::field(field, "must not have control characters"));
    }
    Ok(())
}

/// Text for a header: everything that a path segment cannot hold as it is becomes `%XX`.
pub(crate) fn path_segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names() {
        for wrong in ["", "a\nb", "\u{7f}", &"x".repeat(129)] {
            assert!(check_name("roomId", wrong).is_err(), "{wrong:?}");
        }
        assert!(check_name("roomId", "Überraum 7/8").is_ok());
        assert_eq!(path_segment("a b/ü"), "a%20b%2F%C3%BC");
    }
}
