//! The two generations of mediasoup-demo.

/// Which generation of mediasoup-demo a client is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Not known yet. Such a client is taken for a typed one.
    Unknown,
    /// The JavaScript one.
    Legacy,
    /// The TypeScript one.
    Typed,
}
