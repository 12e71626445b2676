//! Entries of a key's journal: a snapshot, then one short entry for each event folded since.
//!
//! Writing the whole state of a key for every event would cost more the longer its history is. So
//! each event appends one entry, and the snapshot is renewed only when the entries outweigh it: the
//! cost of an event stays flat, and the stored bytes stay within twice the snapshot.

use crate::error::{EngineError, Result};
use crate::plan::{Entity, Plan};
use crate::state::{Event, Label, State};

/// What an entry that is a whole state begins with.
pub const SNAPSHOT: u8 = b'S';
/// An event; `E`, which earlier versions wrote, lacks its rest.
const EVENT: u8 = b'F';
/// Its kind, time and value, and the lengths of its id and its distinct value.
const EVENT_HEAD_BYTES: usize = 1 + 8 + 8 + 2 + 2;
const LABEL: u8 = b'L';
/// Below this many bytes of entries a journal is never compacted.
const JOURNAL_BYTES_MIN: usize = 4_096;
/// Bytes of memory of a state without an event, with its key: measured.
const LIVE_BYTES: usize = 1_700;
/// Bytes of memory of one thing that a state remembers: measured, with ids of 30 characters.
const REMEMBERED_BYTES: usize = 70;
/// Bytes of memory of a packed state beside its own and those of its key: node, place in the map.
const PACKED_BYTES: usize = 200;

/// One key's state in memory, with what its journal weighs.
#[derive(Debug, Clone)]
pub struct Live {
    /// The state.
    pub state: State,
    snapshot_bytes: usize,
    entries_bytes: usize,
}

/// A key's state in memory that is not in use: its bytes, a fifth to a twentieth of [`Live`].
#[derive(Debug)]
pub struct Packed {
    state: Box<[u8]>,
    snapshot_bytes: usize,
    entries_bytes: usize,
}

impl Live {
    /// The state of a key never seen.
    pub fn new(entity: &Entity, plan: &Plan) -> Self {
        let state = State::new(entity, &plan.limits);
        Live {
            state,
            snapshot_bytes: 0,
            entries_bytes: 0,
        }
    }

    /// Folds a journal: entries in order, each behind its length as a big-endian i32.
    pub fn restore(entity: &Entity, plan: &Plan, journal: &[u8]) -> Result<Self> {
        let mut live = Live::new(entity, plan);
        let mut rest = journal;
        while !rest.is_empty() {
            let entry = take_entry(&mut rest)?;
            if entry.first() == Some(&SNAPSHOT) {
                let (limits, digest) = (&plan.limits, &plan.digest_bytes);
                live.state = State::decode(&entry[1..], entity, limits, digest)?;
                live.snapshot_bytes = entry.len();
                live.entries_bytes = 0;
            } else {
                replay(entity, plan, &mut live.state, entry)?;
                live.entries_bytes += entry.len();
            }
        }
        Ok(live)
    }

    /// Notes that an entry was folded into the state, to be made durable.
    ///
    /// Gives the snapshot to store instead of all entries, this one included; `None` if the entry
    /// is to be added to them.
    pub fn record(
        &mut self,
        entity: &Entity,
        plan: &Plan,
        entry: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        self.entries_bytes += entry.len();
        if self.entries_bytes <= self.snapshot_bytes.max(JOURNAL_BYTES_MIN) {
            return Ok(None);
        }
        let snapshot = self.snapshot(entity, plan)?;
        self.snapshot_bytes = snapshot.len();
        self.entries_bytes = 0;
        Ok(Some(snapshot))
    }

    /// About how many bytes it takes in memory, its key included, with texts of usual lengths.
    pub fn bytes(&self) -> usize {
        LIVE_BYTES + REMEMBERED_BYTES * self.state.remembered()
    }

    /// The same as bytes, for a state that is not in use.
    pub fn pack(&self, entity: &Entity, plan: &Plan) -> Result<Packed> {
        let state = self
            .state
            .encode(entity, &plan.limits, &plan.digest_bytes)?;
        Ok(Packed {
            // A copy: a vector that is cut off leaves a hole that nothing fits into.
            state: state.as_slice().into(),
            snapshot_bytes: self.snapshot_bytes,
            entries_bytes: self.entries_bytes,
        })
    }

    /// The same as it was when it was packed.
    pub fn unpack(packed: &Packed, entity: &Entity, plan: &Plan) -> Result<Self> {
        let (limits, digest) = (&plan.limits, &plan.digest_bytes);
        Ok(Live {
            state: State::decode(&packed.state, entity, limits, digest)?,
            snapshot_bytes: packed.snapshot_bytes,
            entries_bytes: packed.entries_bytes,
        })
    }

    /// The whole state as an entry.
    pub fn snapshot(&self, entity: &Entity, plan: &Plan) -> Result<Vec<u8>> {
        let mut snapshot = vec![SNAPSHOT];
        snapshot.extend(
            self.state
                .encode(entity, &plan.limits, &plan.digest_bytes)?,
        );
        Ok(snapshot)
    }
}

impl Packed {
    /// About how many bytes it takes in memory under its key.
    pub fn bytes(&self, key: &str) -> usize {
        PACKED_BYTES + key.len() + self.state.len()
    }
}

/// Writes the entry of an event.
pub fn write_event(entry: &mut Vec<u8>, event: &Event<'_>) {
    entry.clear();
    entry.push(EVENT);
    entry.extend_from_slice(&event.time_ms.to_be_bytes());
    entry.extend_from_slice(&event.value.to_be_bytes());
    for text in [event.id, event.distinct] {
        // The wire refuses fields that can be longer.
        entry.extend_from_slice(&(text.len() as u16).to_be_bytes());
    }
    for text in [event.id, event.distinct, event.rest] {
        entry.extend_from_slice(text.as_bytes());
    }
}

/// Writes the entry of a label.
pub fn write_label(entry: &mut Vec<u8>, label: &Label<'_>) {
    entry.clear();
    entry.push(LABEL);
    entry.extend_from_slice(&label.time_ms.to_be_bytes());
    entry.extend_from_slice(&label.observed_ms.to_be_bytes());
    entry.push(label.is_positive as u8);
    entry.extend_from_slice(label.id.as_bytes());
}

fn replay(entity: &Entity, plan: &Plan, state: &mut State, entry: &[u8]) -> Result<()> {
    let limits = &plan.limits;
    match entry.first() {
        Some(&EVENT) => {
            let length = |at| array(entry, at).map(u16::from_be_bytes);
            let id_end = EVENT_HEAD_BYTES + length(17)? as usize;
            let distinct_end = id_end + length(19)? as usize;
            let event = Event {
                id: text(entry, EVENT_HEAD_BYTES, id_end)?,
                time_ms: i64::from_be_bytes(array(entry, 1)?),
                value: i64::from_be_bytes(array(entry, 9)?),
                distinct: text(entry, id_end, distinct_end)?,
                rest: text(entry, distinct_end, entry.len())?,
            };
            state.fold(entity, limits, event, false).map(|_| ())
        }
        Some(&LABEL) => {
            let label = Label {
                id: text(entry, 18, entry.len())?,
                time_ms: i64::from_be_bytes(array(entry, 1)?),
                observed_ms: i64::from_be_bytes(array(entry, 9)?),
                is_positive: array::<1>(entry, 17)?[0] != 0,
            };
            state.fold_label(entity, limits, label)
        }
        _ => Err(broken(entry)),
    }
}

fn take_entry<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = i32::from_be_bytes(array(rest, 0)?).max(0) as usize;
    let entry = rest.get(4..4 + length).ok_or_else(|| broken(rest))?;
    *rest = &rest[4 + length..];
    Ok(entry)
}

fn array<const N: usize>(entry: &[u8], at: usize) -> Result<[u8; N]> {
    let found = entry
        .get(at..at + N)
        .and_then(|bytes| bytes.try_into().ok());
    found.ok_or_else(|| broken(entry))
}

fn text(entry: &[u8], start: usize, end: usize) -> Result<&str> {
    let bytes = entry.get(start..end).ok_or_else(|| broken(entry))?;
    std::str::from_utf8(bytes).map_err(|_| broken(entry))
}

fn broken(entry: &[u8]) -> EngineError {
    EngineError::StateBytes(format!(
        "a journal's entry of {} bytes begins with {}: it is of another format; remove the job's \
         state to compute everything anew from the topics",
        entry.len(),
        entry[..entry.len().min(8)].escape_ascii()
    ))
}
