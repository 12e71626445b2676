//! The limits that the state of one key keeps to, as data that comes with the plan.

use serde::Deserialize;

/// The limits of one key's state; `features.definitions.Caps` and the periods beside it.
#[derive(Debug, Clone, Deserialize)]
pub struct Limits {
    /// How much older than its key's newest event an event may be and still be exact, ms.
    pub lateness_ms: i64,
    /// How long an id is remembered, ms of event time.
    pub identity_ms: i64,
    /// How long a label waits for its event, ms of event time.
    pub label_wait_ms: i64,
    /// Tiles in one window.
    pub tiles_per_window: i64,
    /// Single events kept.
    pub events_max: usize,
    /// Ids remembered.
    pub ids_max: usize,
    /// Distinct values kept.
    pub distinct_max: usize,
    /// Single visits kept for late events.
    pub visits_max: usize,
    /// Events whose labels are kept.
    pub labelled_max: usize,
    /// Labels kept of one event.
    pub observations_max: usize,
}
