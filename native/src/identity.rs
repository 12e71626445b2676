//! Which events a key has already sent: identity is the event's id alone.
//!
//! An id is remembered until the key's newest event is more than `identity_ms` past what it was at
//! the id's first delivery; past a cap the oldest goes first.

use std::sync::Arc;

use crate::hashing::SharedHashing;
use hashlink::LinkedHashMap;

use crate::error::Result;
use crate::limits::Limits;
use crate::state_bytes::{check_equal_lengths, pack_ints, pack_texts, StateReader};

/// When an id was first delivered.
#[derive(Debug, Clone, Copy)]
struct Delivery {
    event_time_ms: i64,
    /// What was newest at the first delivery: the event itself, except for late ones.
    newest_ms: i64,
}

/// The ids of one key, with the event time of the first delivery, in order of first delivery.
#[derive(Debug, Clone, Default)]
pub struct IdMemory {
    deliveries: LinkedHashMap<Arc<str>, Delivery, SharedHashing>,
}

impl IdMemory {
    /// The event time of an id's first delivery; `None` if it is not remembered.
    pub fn first_delivery_ms(&self, id: &str) -> Option<i64> {
        self.deliveries
            .get(id)
            .map(|delivery| delivery.event_time_ms)
    }

    /// Remembers a first delivery; the id is not remembered yet.
    pub fn add(&mut self, limits: &Limits, id: &str, event_time_ms: i64, newest_ms: i64) {
        self.deliveries.insert(
            Arc::from(id),
            Delivery {
                event_time_ms,
                newest_ms,
            },
        );
        if event_time_ms >= newest_ms {
            while let Some((_, oldest)) = self.deliveries.front() {
                if newest_ms - oldest.newest_ms <= limits.identity_ms {
                    break;
                }
                self.deliveries.pop_front();
            }
        }
        if self.deliveries.len() > limits.ids_max {
            self.deliveries.pop_front();
        }
    }

    /// Writes ids in the order of first delivery.
    pub fn pack(&self, out: &mut Vec<u8>, newest_ms: i64) -> Result<()> {
        let deliveries = || self.deliveries.values();
        pack_texts(out, self.deliveries.keys().map(|id| &**id))?;
        pack_ints(
            out,
            deliveries().map(|found| (newest_ms - found.event_time_ms) as i128),
        )?;
        if deliveries().all(|found| found.event_time_ms == found.newest_ms) {
            return pack_ints(out, std::iter::empty());
        }
        pack_ints(
            out,
            deliveries().map(|found| (newest_ms - found.newest_ms) as i128),
        )
    }

    /// Reads what [`IdMemory::pack`] wrote into this empty memory.
    pub fn unpack(&mut self, reader: &mut StateReader<'_>, newest_ms: i64) -> Result<()> {
        let (ids, backs_ms, at_delivery) = (
            reader.texts()?,
            reader.narrow_ints()?,
            reader.narrow_ints()?,
        );
        check_equal_lengths(ids.len(), backs_ms.len())?;
        for (position, (id, back_ms)) in ids.into_iter().zip(backs_ms).enumerate() {
            let newest_back_ms = at_delivery.get(position).copied().unwrap_or(back_ms);
            let delivery = Delivery {
                event_time_ms: newest_ms - back_ms,
                newest_ms: newest_ms - newest_back_ms,
            };
            self.deliveries.insert(Arc::from(id), delivery);
        }
        Ok(())
    }
}
