//! Windows as edges in event time. Open on the left, closed on the right.

use serde::Deserialize;

use crate::error::{EngineError, Result};

/// Before every instant: nothing has happened yet.
pub const NEVER_MS: i64 = -(1 << 62);
/// The newest event time of a key without events: before all that comes, after [`NEVER_MS`].
pub const BEFORE_ALL_MS: i64 = NEVER_MS / 2;
/// After every instant.
pub const FAR_MS: i64 = 1 << 62;
/// The farthest from 1970 that a time may be, before or after: differences still fit into 64 bits,
/// and a time without events is before all others.
pub const TIME_MS_MAX: i64 = 1 << 60;

/// Refuses a time that is too far from 1970.
pub fn check_time(time_ms: i64) -> Result<()> {
    if (-TIME_MS_MAX..=TIME_MS_MAX).contains(&time_ms) {
        return Ok(());
    }
    Err(EngineError::Value(format!(
        "a time of {time_ms} ms, limits -{TIME_MS_MAX} and {TIME_MS_MAX}"
    )))
}

/// A window and its delay, both in ms: `(t - delay - window, t - delay]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Span {
    /// Window length, ms.
    pub window_ms: i64,
    /// How far before the event the window ends, ms.
    pub delay_ms: i64,
}

impl Span {
    /// How far back the window's open edge lies, ms.
    pub fn reach_ms(&self) -> i64 {
        self.window_ms + self.delay_ms
    }

    /// The edges of the window as of an instant.
    pub fn edges(&self, as_of_ms: i64) -> Edges {
        Edges {
            after_ms: as_of_ms - self.window_ms - self.delay_ms,
            until_ms: as_of_ms - self.delay_ms,
        }
    }
}

/// An interval of event time, `(after_ms, until_ms]`, in ms since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edges {
    /// The open edge.
    pub after_ms: i64,
    /// The closed edge.
    pub until_ms: i64,
}
