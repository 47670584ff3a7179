//! Exit codes of the supervisor, for scripts and for systemd's `RestartPreventExitStatus=`.

/// Stopped as asked.
pub(crate) const STOPPED: u8 = 0;
/// Anything that has no code of its own.
pub(crate) const FAILED: u8 = 1;
/// A flag or setting is wrong (clap's code too).
pub(crate) const WRONG_SETTING: u8 = 2;
/// The HTTP address cannot be bound.
pub(crate) const CANNOT_LISTEN: u8 = 3;
/// `--io uring` and the host refuses io_uring.
pub(crate) const IO_URING_REFUSED: u8 = 4;
/// The server died before it was ready, too often in a row.
pub(crate) const NEVER_CAME_UP: u8 = 5;
/// A media address or port cannot be had.
pub(crate) const CANNOT_LISTEN_FOR_MEDIA: u8 = 6;
/// An announced name means nothing.
pub(crate) const NAME_UNKNOWN: u8 = 7;
/// Too few files may be opened.
pub(crate) const TOO_FEW_FILES: u8 = 8;
