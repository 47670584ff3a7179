//! Names that come from outside.

use super::error::Error;

const MAX_NAME_BYTES: usize = 128;
const MAX_DISPLAY_NAME_BYTES: usize = 256;

/// Names of rooms and peers stand in URLs, logs and the status page.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(Error::field(field, format!("must be 1 to {MAX_NAME_BYTES} bytes long")));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::field(field, "must not have control characters"));
    }
    Ok(())
}

/// What people call a peer.
pub(crate) fn check_display_name(field: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_DISPLAY_NAME_BYTES {
        return Err(Error::field(field, format!("must be 1 to {MAX_DISPLAY_NAME_BYTES} bytes long")));
    }
    Ok(())
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
    }
}
