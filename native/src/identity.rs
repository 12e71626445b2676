//! Which events a key has already sent, and what each of them said: identity is the event's id
//! alone, and a repeat is answered with the content of the first delivery.
//!
//! An id is remembered until the key's newest event is more than `identity_ms` past what it was at
//! the id's first delivery; past a cap the oldest goes first. Contents are mostly alike, so texts
//! are shared: the distinct value with the visits of the state, the rest with other deliveries.

use std::sync::Arc;

use crate::hashing::SharedHashing;
use hashlink::LinkedHashMap;

use crate::error::Result;
use crate::limits::Limits;
use crate::state_bytes::{check_equal_lengths, pack_ints, pack_numbered, pack_texts, StateReader};

/// How many of the newest deliveries are searched for an equal rest.
const RESTS_SEARCHED: usize = 8;

/// What an event said that was the first of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content<'a> {
    /// Its event time, ms since 1970 UTC.
    pub time_ms: i64,
    /// What is summed.
    pub value: i64,
    /// The field whose different values are counted; empty where none is.
    pub distinct: &'a str,
    /// Its other fields, as one text; see [`crate::content`].
    pub rest: &'a str,
}

#[derive(Debug, Clone)]
struct Delivery {
    event_time_ms: i64,
    /// What was newest at the first delivery: the event itself, except for late ones.
    newest_ms: i64,
    value: i64,
    /// `None` for an empty one.
    distinct: Option<Arc<str>>,
    rest: Arc<str>,
}

impl Delivery {
    fn distinct(&self) -> &str {
        self.distinct.as_deref().unwrap_or("")
    }
}

/// The ids of one key with the content of their first deliveries, in order of first delivery.
#[derive(Debug, Clone, Default)]
pub struct IdMemory {
    deliveries: LinkedHashMap<Arc<str>, Delivery, SharedHashing>,
}

impl IdMemory {
    /// How many ids it has.
    pub fn remembered(&self) -> usize {
        self.deliveries.len()
    }

    /// The content of an id's first delivery; `None` if it is not remembered.
    pub fn first(&self, id: &str) -> Option<Content<'_>> {
        self.deliveries.get(id).map(|delivery| Content {
            time_ms: delivery.event_time_ms,
            value: delivery.value,
            distinct: delivery.distinct(),
            rest: &delivery.rest,
        })
    }

    /// Remembers a first delivery; the id is not remembered yet. `distinct`: the text of the
    /// content's distinct value where it is in memory already.
    pub fn add(
        &mut self,
        limits: &Limits,
        id: &str,
        content: Content<'_>,
        distinct: Option<Arc<str>>,
        newest_ms: i64,
    ) {
        let event_time_ms = content.time_ms;
        let new = || (!content.distinct.is_empty()).then(|| Arc::from(content.distinct));
        let delivery = Delivery {
            event_time_ms,
            newest_ms,
            value: content.value,
            distinct: distinct.or_else(new),
            rest: self.known_rest(content.rest),
        };
        self.deliveries.insert(Arc::from(id), delivery);
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

    /// Writes ids and contents in the order of first delivery. `known`: distinct values that the
    /// bytes before have already, in order; they are not written again.
    pub fn pack<'a>(
        &'a self,
        out: &mut Vec<u8>,
        newest_ms: i64,
        known: impl Iterator<Item = &'a str>,
    ) -> Result<()> {
        let deliveries = || self.deliveries.values();
        pack_texts(out, self.deliveries.keys().map(|id| &**id))?;
        let backs_ms = deliveries().map(|found| (newest_ms - found.event_time_ms) as i128);
        pack_ints(out, backs_ms)?;
        if deliveries().all(|found| found.event_time_ms == found.newest_ms) {
            pack_ints(out, std::iter::empty())?;
        } else {
            let backs_ms = deliveries().map(|found| (newest_ms - found.newest_ms) as i128);
            pack_ints(out, backs_ms)?;
        }
        pack_ints(out, deliveries().map(|found| found.value as i128))?;
        pack_numbered(out, known, deliveries().map(Delivery::distinct))?;
        let rests = deliveries().map(|found| &*found.rest);
        pack_numbered(out, std::iter::empty(), rests)
    }

    /// Reads what [`IdMemory::pack`] wrote into this empty memory.
    pub fn unpack(
        &mut self,
        reader: &mut StateReader<'_>,
        newest_ms: i64,
        known: Vec<Arc<str>>,
    ) -> Result<()> {
        let (ids, backs_ms, at_delivery) = (
            reader.texts()?,
            reader.narrow_ints()?,
            reader.narrow_ints()?,
        );
        let (values, distinct, rests) = (
            reader.values()?,
            reader.numbered(known)?,
            reader.numbered(Vec::new())?,
        );
        for found in [backs_ms.len(), values.len(), distinct.len(), rests.len()] {
            check_equal_lengths(ids.len(), found)?;
        }
        let contents = values.into_iter().zip(distinct).zip(rests);
        for (position, ((id, back_ms), ((value, distinct), rest))) in
            ids.into_iter().zip(backs_ms).zip(contents).enumerate()
        {
            let newest_back_ms = at_delivery.get(position).copied().unwrap_or(back_ms);
            let delivery = Delivery {
                event_time_ms: newest_ms - back_ms,
                newest_ms: newest_ms - newest_back_ms,
                value,
                distinct: (!distinct.is_empty()).then_some(distinct),
                rest,
            };
            self.deliveries.insert(Arc::from(id), delivery);
        }
        Ok(())
    }

    /// The rest as one of the newest deliveries has it, so that a frequent one is in memory once.
    fn known_rest(&self, rest: &str) -> Arc<str> {
        let newest = self.deliveries.values().rev().take(RESTS_SEARCHED);
        newest
            .map(|delivery| &delivery.rest)
            .find(|known| &***known == rest)
            .map_or_else(|| Arc::from(rest), Arc::clone)
    }
}
