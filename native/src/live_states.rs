//! The states of many keys of one entity: the recently used ones in memory, and which of them have
//! changed since they were written to the online store.
//!
//! Of those in memory the ones used last are live. The others are packed, which takes a fraction of
//! the memory, and packing and unpacking a state costs less than reading its journal.

use std::sync::Arc;

use hashlink::LinkedHashMap;

use crate::error::Result;
use crate::hashing::SharedHashing;
use crate::journal::{Live, Packed};
use crate::online::{OnlineLayout, OnlineRecord};
use crate::plan::{Entity, Plan};

/// A changed key: its state is live, or it no longer is and is here in its online form.
type Changed = Option<OnlineRecord>;

/// From so many bytes on no further key is taken at once: nothing is folded meanwhile.
const TAKEN_BYTES_MAX: usize = 256 * 1024;

/// The states of one entity's keys.
#[derive(Debug)]
pub struct LiveStates {
    live: LinkedHashMap<Arc<str>, Live, SharedHashing>,
    live_bytes: usize,
    packed: LinkedHashMap<Arc<str>, Packed, SharedHashing>,
    packed_bytes: usize,
    changed: LinkedHashMap<Arc<str>, Changed, SharedHashing>,
    in_flight: Vec<(Arc<str>, OnlineRecord)>,
    live_keys_max: usize,
    changed_keys_max: usize,
    /// Where changed states go; `None` keeps no account of changes.
    layout: Option<OnlineLayout>,
    /// Changed keys that were dropped because too many waited.
    pub dropped_total: u64,
}

impl LiveStates {
    /// No states yet.
    pub fn new(
        live_keys_max: usize,
        changed_keys_max: usize,
        layout: Option<OnlineLayout>,
    ) -> Self {
        LiveStates {
            live: LinkedHashMap::default(),
            live_bytes: 0,
            packed: LinkedHashMap::default(),
            packed_bytes: 0,
            changed: LinkedHashMap::default(),
            in_flight: Vec::new(),
            live_keys_max,
            changed_keys_max,
            layout,
            dropped_total: 0,
        }
    }

    /// How many states are live.
    pub fn live_len(&self) -> usize {
        self.live.len()
    }

    /// About how many bytes of memory the live states take.
    pub fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// How many states are packed.
    pub fn packed_len(&self) -> usize {
        self.packed.len()
    }

    /// About how many bytes of memory the packed states take.
    pub fn packed_bytes(&self) -> usize {
        self.packed_bytes
    }

    /// How many keys have changed since they were written.
    pub fn changed_len(&self) -> usize {
        self.changed.len()
    }

    /// Takes a key's state into memory.
    pub fn put(&mut self, key: &str, live: Live) {
        if let Some(packed) = self.packed.remove(key) {
            self.packed_bytes -= packed.bytes(key);
        }
        self.live_bytes += live.bytes();
        if let Some(before) = self.live.insert(Arc::from(key), live) {
            self.live_bytes -= before.bytes();
        }
    }

    /// Makes a key's state live if it is packed.
    pub fn unpack(&mut self, entity: &Entity, plan: &Plan, key: &str) -> Result<()> {
        if let Some((key, packed)) = self.packed.remove_entry(key) {
            self.packed_bytes -= packed.bytes(&key);
            let live = Live::unpack(&packed, entity, plan)?;
            self.live_bytes += live.bytes();
            self.live.insert(key, live);
        }
        Ok(())
    }

    /// A key's live state, as the most recently used one.
    pub fn get(&mut self, key: &str) -> Option<&mut Live> {
        self.live.to_back(key)
    }

    /// A key's live state; which one was used most recently does not change.
    pub fn look(&self, key: &str) -> Option<&Live> {
        self.live.get(key)
    }

    /// Notes that a key's live state has changed, and its bytes before and after.
    pub fn note_change(&mut self, key: &str, before_bytes: usize, after_bytes: usize) {
        self.live_bytes = self.live_bytes + after_bytes - before_bytes;
        self.mark(key);
    }

    fn mark(&mut self, key: &str) {
        if self.layout.is_none() {
            return;
        }
        if let Some(changed) = self.changed.get_mut(key) {
            *changed = None;
            return;
        }
        let shared = match self.live.get_key_value(key) {
            Some((shared, _)) => shared.clone(),
            None => Arc::from(key),
        };
        self.changed.insert(shared, None);
        self.drop_beyond_limit();
    }

    /// Notes that all live states have changed, the most recently used ones first, until as
    /// many wait as may. A state without an event is left out: only a repeat has named its key, which
    /// is nothing that the online store should know.
    pub fn mark_all(&mut self) {
        if self.layout.is_none() {
            return;
        }
        for (key, live) in self.live.iter().rev() {
            if self.changed.len() >= self.changed_keys_max {
                break;
            }
            if live.state.sequence > 0 && !self.changed.contains_key(key) {
                self.changed.insert(key.clone(), None);
            }
        }
    }

    /// Notes that a key has to be written whose journal was read for that.
    ///
    /// A state that is not live does not become so; only its online form waits.
    pub fn mark_journal(
        &mut self,
        entity: &Entity,
        plan: &Plan,
        key: &str,
        journal: &[u8],
    ) -> Result<()> {
        let Some(layout) = &self.layout else {
            return Ok(());
        };
        if self.live.contains_key(key) {
            self.mark(key);
        } else if !self.changed.contains_key(key) {
            let live = Live::restore(entity, plan, journal)?;
            let record = layout.record(entity, plan, &live.state)?;
            self.changed.insert(Arc::from(key), Some(record));
            self.drop_beyond_limit();
        }
        Ok(())
    }

    /// Whether more states are live than may be.
    pub fn is_above_keys_max(&self) -> bool {
        self.live.len() > self.live_keys_max
    }

    /// Packs the least recently used live state, or lets it go; between batches, so that it is not
    /// in use.
    pub fn pack_oldest(&mut self, entity: &Entity, plan: &Plan, is_kept: bool) -> Result<()> {
        let Some((key, live)) = self.live.pop_front() else {
            return Ok(());
        };
        self.live_bytes -= live.bytes();
        if let (Some(layout), Some(changed)) = (&self.layout, self.changed.get_mut(&key)) {
            *changed = Some(layout.record(entity, plan, &live.state)?);
        }
        if is_kept {
            let packed = live.pack(entity, plan)?;
            self.packed_bytes += packed.bytes(&key);
            self.packed.insert(key, packed);
        }
        Ok(())
    }

    /// Lets the packed state go that was packed first.
    pub fn drop_oldest(&mut self) {
        if let Some((key, packed)) = self.packed.pop_front() {
            self.packed_bytes -= packed.bytes(&key);
        }
    }

    /// Takes up to `keys_max` changed keys, the longest waiting first, in their online form; fewer
    /// where their states are large.
    ///
    /// Gives the keys of their hashes and their values. They count as being written until [`LiveStates::confirm`] or [`LiveStates::give_back`].
    pub fn take_changed(
        &mut self,
        entity: &Entity,
        plan: &Plan,
        keys_max: usize,
    ) -> Result<Vec<(Vec<u8>, OnlineRecord)>> {
        self.give_back();
        let mut taken = Vec::new();
        if let Some(layout) = &self.layout {
            let mut bytes = 0;
            while self.in_flight.len() < keys_max && bytes < TAKEN_BYTES_MAX {
                let Some((key, changed)) = self.changed.pop_front() else {
                    break;
                };
                let record = match (changed, self.live.get(&key)) {
                    (Some(record), _) => record,
                    (None, Some(live)) => layout.record(entity, plan, &live.state)?,
                    (None, None) => continue,
                };
                bytes += record.0.iter().map(Vec::len).sum::<usize>();
                taken.push((layout.key(&key), record.clone()));
                self.in_flight.push((key, record));
            }
        }
        Ok(taken)
    }

    /// Says that what was taken has been written.
    pub fn confirm(&mut self) {
        self.in_flight.clear();
    }

    /// Says that what was taken has not been written; newer changes of the same keys win.
    pub fn give_back(&mut self) {
        for (key, record) in std::mem::take(&mut self.in_flight) {
            if !self.changed.contains_key(&key) {
                let changed = if self.live.contains_key(&key) {
                    None
                } else {
                    Some(record)
                };
                self.changed.insert(key, changed);
            }
        }
        self.drop_beyond_limit();
    }

    fn drop_beyond_limit(&mut self) {
        while self.changed.len() > self.changed_keys_max {
            self.changed.pop_front();
            self.dropped_total += 1;
        }
    }
}
