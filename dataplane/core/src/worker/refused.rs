//! Why a command is refused.

use corecast_wire::CommandError;

/// What became of a command.
pub(crate) type Applied<T = ()> = Result<T, CommandError>;

pub(crate) fn not_found(kind: &str, id: u64) -> CommandError {
    CommandError::NotFound { kind: kind.into(), id }
}

pub(crate) fn exists(kind: &str, id: u64) -> CommandError {
    CommandError::Exists { kind: kind.into(), id }
}

pub(crate) fn invalid(field: &str, cause: impl Into<String>) -> CommandError {
    CommandError::Invalid { field: field.into(), cause: cause.into() }
}

/// Refuses more than `max` of something in one command.
pub(crate) fn at_most(count: usize, max: usize, what: &str) -> Applied {
    if count > max {
        return Err(CommandError::Limit { what: what.into(), max: max as u64 });
    }
    Ok(())
}

/// Refuses one more of something of which there are `max`.
pub(crate) fn limit(count: usize, max: usize, what: &str) -> Applied {
    if count >= max {
        return Err(CommandError::Limit { what: what.into(), max: max as u64 });
    }
    Ok(())
}
