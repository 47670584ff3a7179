//! What the command line's words mean to the link.

use corecast_wire::{Coalesce, Executor, Io, Sandbox};

/// A time in seconds: between a tenth and an hour.
///
/// # Errors
/// Says what is allowed.
pub fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3_600.0).contains(seconds));
    seconds.ok_or_else(|| "give seconds, from 0.1 to 3600".into())
}

/// A driver.
///
/// # Errors
/// Says what is allowed.
pub fn io(text: &str) -> Result<Io, String> {
    match text {
        "auto" => Ok(Io::Auto),
        "uring" => Ok(Io::Uring),
        "syscalls" => Ok(Io::Syscalls),
        _ => Err("give auto, uring or syscalls".into()),
    }
}

/// A driver's name.
#[must_use]
pub const fn io_name(io: Io) -> &'static str {
    match io {
        Io::Auto => "auto",
        Io::Uring => "uring",
        Io::Syscalls => "syscalls",
    }
}

/// An executor.
///
/// # Errors
/// Says what is allowed.
pub fn executor(text: &str) -> Result<Executor, String> {
    match text {
        "glommio" => Ok(Executor::Glommio),
        "thread" => Ok(Executor::Thread),
        _ => Err("give glommio or thread".into()),
    }
}

/// Whether the worker gives up what it does not need.
///
/// # Errors
/// Says what is allowed.
pub fn sandbox(text: &str) -> Result<Sandbox, String> {
    match text {
        "on" => Ok(Sandbox::On),
        "log" => Ok(Sandbox::Log),
        "off" => Ok(Sandbox::Off),
        _ => Err("give on, log or off".into()),
    }
}

/// Interrupt moderation.
///
/// # Errors
/// Says what is allowed.
pub fn coalesce(text: &str) -> Result<Coalesce, String> {
    match (text, text.parse()) {
        ("auto", _) => Ok(Coalesce::Auto),
        ("off", _) | (_, Ok(0)) => Ok(Coalesce::Off),
        (_, Ok(microseconds @ 1..=1_000)) => Ok(Coalesce::Fixed(microseconds)),
        _ => Err("give auto, off or microseconds up to 1000".into()),
    }
}
