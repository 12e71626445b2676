//! The labels of one key's events, and which of them are positive (fraud) as of when.
//!
//! An event is positive as of an instant when the latest label observed at or before it says so.
//! The timeline holds the positives as of the key's newest event; labels observed later wait until
//! it gets there, and a read as of an earlier or later instant corrects for the labels in between.
//! Labels may come before their event.

use std::sync::Arc;

use ahash::AHashSet;

use crate::hashing::SharedHashing;
use hashlink::LinkedHashMap;

use crate::error::{EngineError, Result};
use crate::limits::Limits;
use crate::state_bytes::{check_equal_lengths, pack_instants, pack_ints, pack_texts, StateReader};
use crate::timeline::{Timeline, Windows};
use crate::windows::{FAR_MS, NEVER_MS};

const SWEEP_MIN: usize = 64;

/// One label as it was delivered.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// Which event it speaks of.
    pub id: &'a str,
    /// When it became known, ms since 1970 UTC.
    pub observed_ms: i64,
    /// What it says.
    pub is_positive: bool,
    /// Event time of its event; `None` if that has not arrived.
    pub time_ms: Option<i64>,
}

/// One event's labels, in order of (observed time, arrival).
#[derive(Debug, Clone, Default)]
struct Labelled {
    /// The event's time; `None` while the event has not arrived.
    time_ms: Option<i64>,
    observed_ms: Vec<i64>,
    says: Vec<bool>,
    /// Whether the event is in the timeline of positives.
    is_counted: bool,
}

impl Labelled {
    /// What the latest label observed at or before an instant says; false without one.
    fn is_positive(&self, as_of_ms: i64) -> bool {
        let at = self
            .observed_ms
            .partition_point(|&known_ms| known_ms <= as_of_ms);
        at > 0 && self.says[at - 1]
    }

    /// Whether a label observed after an instant changes whether the event is positive.
    fn changes_after(&self, time_ms: i64) -> bool {
        let at = self
            .observed_ms
            .partition_point(|&known_ms| known_ms <= time_ms);
        self.says[at..].contains(&!self.is_positive(time_ms))
    }

    /// Adds a label; of equal observed times the later arrival counts. False if it is there already.
    fn add(&mut self, observed_ms: i64, is_positive: bool) -> bool {
        let at = self
            .observed_ms
            .partition_point(|&known_ms| known_ms <= observed_ms);
        let first = self
            .observed_ms
            .partition_point(|&known_ms| known_ms < observed_ms);
        if self.says[first..at].contains(&is_positive) {
            return false;
        }
        self.observed_ms.insert(at, observed_ms);
        self.says.insert(at, is_positive);
        true
    }

    fn last_observed_ms(&self) -> i64 {
        self.observed_ms.last().copied().unwrap_or(NEVER_MS)
    }
}

type Entries = LinkedHashMap<Arc<str>, Labelled, SharedHashing>;

/// The labels of one key.
#[derive(Debug, Clone)]
pub struct Labels {
    /// The event times of the events that are positive as of the newest event.
    pub positives: Timeline,
    /// The latest event time of an event whose labels were forgotten because of a cap.
    pub lost_until_ms: i64,
    lateness_ms: i64,
    entries: Entries,
    /// Observed time and id of the labels that a read or the next event can pass, sorted.
    observations: Vec<(i64, Arc<str>)>,
    next_observed_ms: i64,
    sweep_size: usize,
}

impl Labels {
    /// No labels yet.
    pub fn new(limits: &Limits, lateness_ms: i64, is_online: bool) -> Self {
        Labels {
            positives: Timeline::new(false, lateness_ms, is_online),
            lost_until_ms: NEVER_MS,
            lateness_ms,
            entries: Entries::default(),
            observations: Vec::new(),
            next_observed_ms: FAR_MS,
            sweep_size: SWEEP_MIN.min(limits.labelled_max + 1),
        }
    }

    /// How many labels and positive events it has.
    pub fn remembered(&self) -> usize {
        self.entries.len() + self.observations.len() + self.positives.remembered()
    }

    /// How many events have labels here; dead ones may be among them.
    #[cfg(test)]
    pub fn entries_len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a label.
    ///
    /// Returns whether anything changed: not for a label that is there already, nor for one that
    /// has waited too long for its event.
    pub fn add(
        &mut self,
        windows: &Windows,
        limits: &Limits,
        label: Observation<'_>,
        newest_ms: i64,
    ) -> bool {
        if !self.is_known(windows, limits, label.id, newest_ms) {
            let waited_ms = newest_ms - label.observed_ms;
            if label.time_ms.is_none() && waited_ms > limits.label_wait_ms {
                return false;
            }
            // A dead entry of the same id goes first, so that the order is that of arrival.
            self.entries.remove(label.id);
            let entry = Labelled {
                time_ms: label.time_ms,
                ..Labelled::default()
            };
            self.entries.insert(Arc::from(label.id), entry);
        }
        let Some((id, _)) = self.entries.get_key_value(label.id) else {
            return false;
        };
        let id = id.clone();
        let Some(entry) = self.entries.get_mut(label.id) else {
            return false;
        };
        if !entry.add(label.observed_ms, label.is_positive) {
            return false;
        }
        if entry.observed_ms.len() > limits.observations_max {
            entry.observed_ms.remove(0);
            entry.says.remove(0);
            let lost_ms = entry.time_ms.unwrap_or(entry.last_observed_ms());
            self.lost_until_ms = self.lost_until_ms.max(lost_ms);
        }
        if label.observed_ms > newest_ms - self.lateness_ms {
            let new = (label.observed_ms, id.clone());
            let at = self.observations.partition_point(|known| *known <= new);
            self.observations.insert(at, new);
        }
        if newest_ms < label.observed_ms && label.observed_ms < self.next_observed_ms {
            self.next_observed_ms = label.observed_ms;
        }
        self.evaluate(windows, limits, &id, newest_ms);
        self.forget_oldest(windows, limits, newest_ms);
        true
    }

    /// Says that an event has arrived, with its own event time, ms since 1970 UTC.
    pub fn join(
        &mut self,
        windows: &Windows,
        limits: &Limits,
        id: &str,
        time_ms: i64,
        newest_ms: i64,
    ) {
        if self.entries.is_empty() || !self.is_known(windows, limits, id, newest_ms) {
            return;
        }
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        if entry.time_ms == Some(time_ms) {
            return;
        }
        if let (true, Some(believed_ms)) = (entry.is_counted, entry.time_ms) {
            // Its label came after its time had become tiles, before the event itself.
            self.positives.remove(windows, believed_ms, newest_ms);
            entry.is_counted = false;
        }
        entry.time_ms = Some(time_ms);
        self.evaluate(windows, limits, id, newest_ms);
    }

    /// Lets the newest event time grow: labels observed until then now count.
    pub fn advance(&mut self, windows: &Windows, limits: &Limits, before_ms: i64, newest_ms: i64) {
        if newest_ms < self.next_observed_ms {
            return;
        }
        for id in self.ids_observed_between(before_ms, newest_ms) {
            if self.is_known(windows, limits, &id, newest_ms) {
                self.evaluate(windows, limits, &id, newest_ms);
            }
        }
        let end = self.position(newest_ms);
        self.next_observed_ms = self.observations.get(end).map_or(FAR_MS, |(ms, _)| *ms);
        let dead = self.position(newest_ms - self.lateness_ms);
        if 2 * dead > self.observations.len() {
            self.observations.drain(..dead);
        }
    }

    /// What differs as of an instant from as of the newest event: the event time, and 1 if the
    /// event is positive then and not as of the newest event, -1 the other way round.
    pub fn corrections(
        &self,
        windows: &Windows,
        limits: &Limits,
        as_of_ms: i64,
        newest_ms: i64,
    ) -> Vec<(i64, i64)> {
        let (low_ms, high_ms) = if as_of_ms < newest_ms {
            (as_of_ms.max(newest_ms - self.lateness_ms), newest_ms)
        } else {
            (newest_ms, as_of_ms)
        };
        if self.observations.is_empty() {
            return Vec::new();
        }
        let mut corrections = Vec::new();
        for id in self.ids_observed_between(low_ms, high_ms) {
            let Some(entry) = self.entries.get(&*id) else {
                continue;
            };
            if !self.is_live(windows, limits, entry, newest_ms) {
                continue;
            }
            if let Some(time_ms) = entry.time_ms {
                if entry.is_positive(as_of_ms) != entry.is_counted {
                    corrections.push((time_ms, if entry.is_counted { -1 } else { 1 }));
                }
            }
        }
        corrections
    }

    /// Writes the labels that can still change a read.
    ///
    /// Online these are the labels of the events that are positive as of one instant that can be
    /// read, and not as of another.
    pub fn pack(
        &self,
        windows: &Windows,
        limits: &Limits,
        out: &mut Vec<u8>,
        newest_ms: i64,
        is_online: bool,
    ) -> Result<()> {
        let since_ms = newest_ms - self.lateness_ms;
        let written: Vec<(&str, &Labelled)> = self
            .entries
            .iter()
            .filter(|(_, entry)| self.is_live(windows, limits, entry, newest_ms))
            .filter(|(_, entry)| {
                !is_online || (entry.time_ms.is_some() && entry.changes_after(since_ms))
            })
            .map(|(id, entry)| (&**id, entry))
            .collect();
        let entries = || written.iter().map(|(_, entry)| *entry);
        let lost = self.lost_until_ms > self.positives.horizon_ms(windows, newest_ms);
        self.positives.pack(windows, out, newest_ms, is_online)?;
        pack_texts(out, written.iter().map(|(id, _)| *id))?;
        pack_ints(
            out,
            entries().map(|entry| entry.time_ms.map_or(0, |ms| (newest_ms - ms) as i128 + 1)),
        )?;
        pack_ints(out, entries().map(|entry| entry.says.len() as i128))?;
        pack_instants(
            out,
            entries().flat_map(|entry| entry.observed_ms.iter().copied()),
        );
        pack_ints(
            out,
            entries().flat_map(|entry| entry.says.iter().map(|&says| says as i128)),
        )?;
        pack_instants(out, lost.then_some(self.lost_until_ms).into_iter());
        Ok(())
    }

    /// Reads what [`Labels::pack`] wrote into this empty object.
    pub fn unpack(
        &mut self,
        windows: &Windows,
        reader: &mut StateReader<'_>,
        newest_ms: i64,
    ) -> Result<()> {
        self.positives.unpack(windows, reader, newest_ms)?;
        let (ids, backs_ms, sizes) = (
            reader.texts()?,
            reader.narrow_ints()?,
            reader.narrow_ints()?,
        );
        let (observed_ms, says) = (reader.instants()?, reader.narrow_ints()?);
        check_equal_lengths(ids.len(), backs_ms.len())?;
        check_equal_lengths(ids.len(), sizes.len())?;
        check_equal_lengths(observed_ms.len(), says.len())?;
        let mut at = 0;
        for ((id, back_ms), size) in ids.into_iter().zip(backs_ms).zip(sizes) {
            let end = at + size as usize;
            let (Some(observed), Some(said)) = (observed_ms.get(at..end), says.get(at..end)) else {
                return Err(EngineError::StateBytes(
                    "sections of a state do not fit together: too few labels".into(),
                ));
            };
            let mut entry = Labelled {
                time_ms: (back_ms != 0).then_some(newest_ms - back_ms + 1),
                observed_ms: observed.to_vec(),
                says: said.iter().map(|&says| says != 0).collect(),
                is_counted: false,
            };
            entry.is_counted = entry.time_ms.is_some() && entry.is_positive(newest_ms);
            self.entries.insert(Arc::from(id), entry);
            at = end;
        }
        if let Some(&lost_until_ms) = reader.instants()?.last() {
            self.lost_until_ms = lost_until_ms;
        }
        let from_ms = newest_ms - self.lateness_ms;
        let mut observations: Vec<(i64, Arc<str>)> = Vec::new();
        for (id, entry) in &self.entries {
            let passed = entry.observed_ms.iter().filter(|&&ms| ms > from_ms);
            observations.extend(passed.map(|&ms| (ms, id.clone())));
        }
        observations.sort();
        self.observations = observations;
        if let Some((next_ms, _)) = self.observations.get(self.position(newest_ms)) {
            self.next_observed_ms = *next_ms;
        }
        Ok(())
    }

    fn position(&self, observed_ms: i64) -> usize {
        self.observations
            .partition_point(|(known_ms, _)| *known_ms <= observed_ms)
    }

    /// The events that have a label observed in `(after_ms, until_ms]`, each once.
    fn ids_observed_between(&self, after_ms: i64, until_ms: i64) -> Vec<Arc<str>> {
        let (start, end) = (self.position(after_ms), self.position(until_ms));
        let mut seen: AHashSet<&str> = AHashSet::new();
        let passed = self.observations.get(start..end).unwrap_or(&[]);
        passed
            .iter()
            .filter(|(_, id)| seen.insert(id))
            .map(|(_, id)| id.clone())
            .collect()
    }

    /// Brings the timeline of positives in line with an event's labels.
    fn evaluate(&mut self, windows: &Windows, limits: &Limits, id: &str, newest_ms: i64) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let is_positive = entry.is_positive(newest_ms);
        let Some(time_ms) = entry.time_ms else { return };
        if is_positive == entry.is_counted {
            return;
        }
        entry.is_counted = is_positive;
        if is_positive {
            self.positives.add(windows, limits, time_ms, newest_ms, 0);
        } else {
            self.positives.remove(windows, time_ms, newest_ms);
        }
    }

    /// Whether labels can still matter: to a window, or to an event to come.
    fn is_live(
        &self,
        windows: &Windows,
        limits: &Limits,
        entry: &Labelled,
        newest_ms: i64,
    ) -> bool {
        match entry.time_ms {
            None => newest_ms - entry.last_observed_ms() <= limits.label_wait_ms,
            Some(time_ms) => time_ms > self.positives.horizon_ms(windows, newest_ms),
        }
    }

    fn is_known(&self, windows: &Windows, limits: &Limits, id: &str, newest_ms: i64) -> bool {
        let entry = self.entries.get(id);
        entry.is_some_and(|entry| self.is_live(windows, limits, entry, newest_ms))
    }

    /// Drops what is dead now and then; past the cap the quarter that arrived first.
    fn forget_oldest(&mut self, windows: &Windows, limits: &Limits, newest_ms: i64) {
        if self.entries.len() < self.sweep_size {
            return;
        }
        let entries = std::mem::take(&mut self.entries);
        let mut live: Entries = entries
            .into_iter()
            .filter(|(_, entry)| self.is_live(windows, limits, entry, newest_ms))
            .collect();
        if live.len() > limits.labelled_max {
            for _ in 0..limits.labelled_max / 4 {
                let Some((_, entry)) = live.pop_front() else {
                    break;
                };
                let lost_ms = entry.time_ms.unwrap_or(entry.last_observed_ms());
                self.lost_until_ms = self.lost_until_ms.max(lost_ms);
            }
        }
        self.sweep_size = SWEEP_MIN.max(2 * live.len()).min(limits.labelled_max + 1);
        self.entries = live;
    }
}
