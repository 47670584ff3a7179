//! The two descriptors of the channel, which this process is born with and knows by number alone.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::channel::{READ_FD, WRITE_FD};

/// Both ends of the channel: the one that is read, and the one that is written.
///
/// # Errors
/// A descriptor is not open: this process was not started by the library.
pub(crate) fn channel() -> Result<(OwnedFd, OwnedFd), String> {
    Ok((duplicate(READ_FD)?, duplicate(WRITE_FD)?))
}

#[allow(unsafe_code, reason = "a descriptor is known by number")]
fn duplicate(number: i32) -> Result<OwnedFd, String> {
    let missing = |error: &std::io::Error| format!("descriptor {number} is not open: {error}");
    // SAFETY: asks about a number, whatever is behind it.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(missing(&std::io::Error::last_os_error()));
    }
    // SAFETY: it is open, and nothing in this process closes it: what is used from here on is a duplicate.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    borrowed.try_clone_to_owned().map_err(|error| missing(&error))
}
