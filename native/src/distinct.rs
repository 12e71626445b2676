//! How many different values of a field a key had, in any window: merchants of a user, for example.
//!
//! Reads as of the newest event need, for each window, only the values in order of their last
//! visit: those that have left it go from the front, O(1) an event. Reads as of an earlier instant
//! (late events) scan a log of single visits. Both are capped; past a cap a count is a lower bound.

use std::sync::Arc;

use ahash::AHashSet;

use crate::hashing::SharedHashing;
use hashlink::LinkedHashMap;
use smallvec::SmallVec;

use crate::error::{EngineError, Result};
use crate::limits::Limits;
use crate::state_bytes::{check_equal_lengths, pack_ints, pack_numbered, pack_texts, StateReader};
use crate::windows::NEVER_MS;

/// Value to last visit, the oldest visit first.
type LastVisits = LinkedHashMap<Arc<str>, i64, SharedHashing>;

/// For each window the count, and whether it is a lower bound.
#[derive(Debug, Clone, Default)]
pub struct DistinctReading {
    /// How many different values, for each window.
    pub counts: SmallVec<[i64; 4]>,
    /// Which of the counts are lower bounds.
    pub bounds: SmallVec<[bool; 4]>,
}

/// The values of one key.
#[derive(Debug, Clone)]
pub struct DistinctValues {
    /// All windows hold the newest part of the longest one's, so that one alone is written.
    last_visits: Vec<LastVisits>,
    forgotten_until_ms: i64,
    visits: Vec<(i64, Arc<str>)>,
    lost_until_ms: i64,
    lateness_ms: i64,
}

impl DistinctValues {
    /// Nothing visited yet. `lateness_ms`: how much older than the newest event a read may be and
    /// still be exact.
    pub fn new(windows_ms: &[i64], lateness_ms: i64) -> Self {
        DistinctValues {
            last_visits: windows_ms.iter().map(|_| LastVisits::default()).collect(),
            forgotten_until_ms: NEVER_MS,
            visits: Vec::new(),
            lost_until_ms: NEVER_MS,
            lateness_ms,
        }
    }

    /// How many visits it has.
    pub fn remembered(&self) -> usize {
        self.visits.len() + self.last_visits.iter().map(LastVisits::len).sum::<usize>()
    }

    /// Adds a visit that is not older than any before, and counts each window as of it. `shared`: the
    /// value, as [`DistinctValues::known`] gives it.
    pub fn add(
        &mut self,
        windows_ms: &[i64],
        limits: &Limits,
        time_ms: i64,
        shared: Arc<str>,
    ) -> DistinctReading {
        let mut reading = DistinctReading::default();
        for (position, &window_ms) in windows_ms.iter().enumerate() {
            let last_visits = &mut self.last_visits[position];
            last_visits.insert(shared.clone(), time_ms);
            last_visits.to_back(&*shared);
            let after_ms = time_ms - window_ms;
            while last_visits
                .front()
                .is_some_and(|(_, &last_ms)| last_ms <= after_ms)
            {
                last_visits.pop_front();
            }
            if last_visits.len() > limits.distinct_max {
                self.forget_one(position);
            }
            reading.counts.push(self.last_visits[position].len() as i64);
        }
        self.visits.push((time_ms, shared));
        self.shrink_log(windows_ms, limits, time_ms);
        self.bound(windows_ms, limits, time_ms, &mut reading);
        reading
    }

    /// Adds a visit that is older than the newest. O(newer visits).
    pub fn add_late(
        &mut self,
        windows_ms: &[i64],
        limits: &Limits,
        time_ms: i64,
        shared: Arc<str>,
        newest_ms: i64,
    ) {
        for (position, &window_ms) in windows_ms.iter().enumerate() {
            if time_ms > newest_ms - window_ms {
                insert_late(&mut self.last_visits[position], &shared, time_ms);
                if self.last_visits[position].len() > limits.distinct_max {
                    self.forget_one(position);
                }
            }
        }
        if time_ms > self.log_horizon_ms(windows_ms, newest_ms) {
            let at = self
                .visits
                .partition_point(|(known_ms, _)| *known_ms <= time_ms);
            self.visits.insert(at, (time_ms, shared));
            self.shrink_log(windows_ms, limits, newest_ms);
        }
    }

    /// Counts each window as of an instant, with one more visit then if a value is given.
    pub fn read(
        &self,
        windows_ms: &[i64],
        limits: &Limits,
        as_of_ms: i64,
        newest_ms: i64,
        value: Option<&str>,
    ) -> DistinctReading {
        if as_of_ms < newest_ms {
            return self.read_late(windows_ms, as_of_ms, newest_ms, value);
        }
        let mut reading = DistinctReading::default();
        for (&window_ms, last_visits) in windows_ms.iter().zip(&self.last_visits) {
            let after_ms = as_of_ms - window_ms;
            let left = last_visits
                .values()
                .take_while(|&&last_ms| last_ms <= after_ms)
                .count();
            let mut count = (last_visits.len() - left) as i64;
            if let Some(value) = value {
                if last_visits.get(value).copied().unwrap_or(after_ms) <= after_ms {
                    count += 1;
                }
            }
            reading.counts.push(count);
        }
        self.bound(windows_ms, limits, as_of_ms, &mut reading);
        reading
    }

    /// Marks the counts that forgotten values may be missing from, and caps them.
    fn bound(
        &self,
        windows_ms: &[i64],
        limits: &Limits,
        as_of_ms: i64,
        reading: &mut DistinctReading,
    ) {
        let distinct_max = limits.distinct_max as i64;
        let fits = reading.counts.iter().all(|&count| count <= distinct_max);
        if self.forgotten_until_ms == NEVER_MS && fits {
            reading.bounds = windows_ms.iter().map(|_| false).collect();
            return;
        }
        for (&window_ms, count) in windows_ms.iter().zip(&mut reading.counts) {
            let misses = self.forgotten_until_ms > as_of_ms - window_ms || *count > distinct_max;
            reading.bounds.push(misses);
            *count = (*count).min(distinct_max);
        }
    }

    /// Writes the last visits and the log of visits.
    pub fn pack(&self, windows_ms: &[i64], out: &mut Vec<u8>, newest_ms: i64) -> Result<()> {
        self.pack_last_visits(windows_ms, out, newest_ms)?;
        let horizon_ms = self.log_horizon_ms(windows_ms, newest_ms);
        let live = self.visits_after(horizon_ms);
        pack_ints(
            out,
            live.iter()
                .map(|(time_ms, _)| (newest_ms - time_ms) as i128),
        )?;
        pack_texts(out, live.iter().map(|(_, value)| &**value))?;
        pack_limit(out, self.lost_until_ms, newest_ms, horizon_ms)
    }

    /// Writes a smaller log: each value once, and for each visit the number of its value.
    ///
    /// The times of the visits are not written. Each visit is an event of the timeline, whose
    /// times are written there. Visits up to `tiled_until_ms` are left out: their times are in
    /// tiles.
    pub fn pack_online(
        &self,
        windows_ms: &[i64],
        out: &mut Vec<u8>,
        newest_ms: i64,
        tiled_until_ms: i64,
    ) -> Result<()> {
        self.pack_last_visits(windows_ms, out, newest_ms)?;
        let horizon_ms = self.log_horizon_ms(windows_ms, newest_ms);
        let lost_until_ms = self.lost_until_ms.max(tiled_until_ms);
        let visited = self.visits_after(lost_until_ms.max(horizon_ms));
        let visited = visited.iter().map(|(_, value)| &**value);
        pack_numbered(out, self.known_values(windows_ms), visited)?;
        pack_limit(out, lost_until_ms, newest_ms, horizon_ms)
    }

    fn pack_last_visits(
        &self,
        windows_ms: &[i64],
        out: &mut Vec<u8>,
        newest_ms: i64,
    ) -> Result<()> {
        let longest = longest(windows_ms);
        let last_visits = &self.last_visits[longest];
        pack_ints(
            out,
            last_visits
                .values()
                .map(|last_ms| (newest_ms - last_ms) as i128),
        )?;
        pack_texts(out, last_visits.keys().map(|value| &**value))?;
        let window_from_ms = newest_ms - windows_ms[longest];
        pack_limit(out, self.forgotten_until_ms, newest_ms, window_from_ms)
    }

    /// Reads what [`DistinctValues::pack`] wrote into this empty object.
    pub fn unpack(
        &mut self,
        windows_ms: &[i64],
        reader: &mut StateReader<'_>,
        newest_ms: i64,
    ) -> Result<()> {
        self.unpack_last_visits(windows_ms, reader, newest_ms)?;
        let (backs_ms, values) = (reader.narrow_ints()?, reader.texts()?);
        check_equal_lengths(backs_ms.len(), values.len())?;
        self.visits = backs_ms
            .into_iter()
            .zip(values)
            .map(|(back_ms, value)| (newest_ms - back_ms, self.known(windows_ms, value)))
            .collect();
        self.lost_until_ms = unpack_limit(reader, newest_ms)?;
        Ok(())
    }

    /// Reads what [`DistinctValues::pack_online`] wrote into this empty object.
    ///
    /// `times_ms`: times of the key's single events, in order of (time, arrival); `None` if the
    /// form has no log of visits.
    pub fn unpack_online(
        &mut self,
        windows_ms: &[i64],
        reader: &mut StateReader<'_>,
        newest_ms: i64,
        times_ms: Option<&[i64]>,
    ) -> Result<()> {
        self.unpack_last_visits(windows_ms, reader, newest_ms)?;
        let Some(times_ms) = times_ms else {
            return Ok(());
        };
        let visited = reader.numbered(self.known_texts(windows_ms))?;
        let Some(first) = times_ms.len().checked_sub(visited.len()) else {
            return Err(EngineError::StateBytes(format!(
                "sections of a state do not fit together: {} visits, {} events",
                visited.len(),
                times_ms.len()
            )));
        };
        self.visits = times_ms[first..].iter().copied().zip(visited).collect();
        self.lost_until_ms = unpack_limit(reader, newest_ms)?;
        Ok(())
    }

    fn unpack_last_visits(
        &mut self,
        windows_ms: &[i64],
        reader: &mut StateReader<'_>,
        newest_ms: i64,
    ) -> Result<()> {
        let (backs_ms, values) = (reader.narrow_ints()?, reader.texts()?);
        check_equal_lengths(backs_ms.len(), values.len())?;
        for (back_ms, value) in backs_ms.into_iter().zip(values) {
            let shared: Arc<str> = Arc::from(value);
            for (&window_ms, last_visits) in windows_ms.iter().zip(&mut self.last_visits) {
                if back_ms < window_ms {
                    last_visits.insert(shared.clone(), newest_ms - back_ms);
                }
            }
        }
        self.forgotten_until_ms = unpack_limit(reader, newest_ms)?;
        Ok(())
    }

    fn read_late(
        &self,
        windows_ms: &[i64],
        as_of_ms: i64,
        newest_ms: i64,
        value: Option<&str>,
    ) -> DistinctReading {
        let mut reading = DistinctReading::default();
        for &window_ms in windows_ms {
            let after_ms = as_of_ms - window_ms;
            let from_ms = after_ms.max(self.log_horizon_ms(windows_ms, newest_ms));
            let mut visited = self.visited(from_ms, as_of_ms);
            if let Some(value) = value {
                visited.insert(value);
            }
            reading.counts.push(visited.len() as i64);
            reading.bounds.push(after_ms < self.lost_until_ms);
        }
        reading
    }

    fn visits_after(&self, time_ms: i64) -> &[(i64, Arc<str>)] {
        let start = self
            .visits
            .partition_point(|(known_ms, _)| *known_ms <= time_ms);
        &self.visits[start..]
    }

    fn visited(&self, after_ms: i64, until_ms: i64) -> AHashSet<&str> {
        let low = self
            .visits
            .partition_point(|(time_ms, _)| *time_ms <= after_ms);
        let high = self
            .visits
            .partition_point(|(time_ms, _)| *time_ms <= until_ms)
            .max(low);
        self.visits[low..high]
            .iter()
            .map(|(_, value)| &**value)
            .collect()
    }

    fn forget_one(&mut self, position: usize) {
        if let Some((_, last_ms)) = self.last_visits[position].pop_front() {
            self.forgotten_until_ms = self.forgotten_until_ms.max(last_ms);
        }
    }

    fn log_horizon_ms(&self, windows_ms: &[i64], newest_ms: i64) -> i64 {
        newest_ms - windows_ms[longest(windows_ms)] - self.lateness_ms
    }

    /// Drops dead visits when they are the majority; past the cap the oldest quarter, too.
    fn shrink_log(&mut self, windows_ms: &[i64], limits: &Limits, newest_ms: i64) {
        let horizon_ms = self.log_horizon_ms(windows_ms, newest_ms);
        let dead = |visits: &[(i64, Arc<str>)]| {
            visits.partition_point(|(time_ms, _)| *time_ms <= horizon_ms)
        };
        let size = self.visits.len();
        let mut end = 0;
        if self.visits[size >> 1].0 <= horizon_ms {
            end = dead(&self.visits);
        } else if size > limits.visits_max {
            let start = dead(&self.visits);
            if size - start > limits.visits_max {
                end = start + limits.visits_max / 4;
                self.lost_until_ms = self.lost_until_ms.max(self.visits[end - 1].0);
            }
        }
        self.visits.drain(..end);
    }

    /// The values that are written first, in order; what is written after them may refer to them.
    pub fn known_values(&self, windows_ms: &[i64]) -> impl Iterator<Item = &str> {
        self.last_visits[longest(windows_ms)]
            .keys()
            .map(|value| &**value)
    }

    /// The same values as they are kept.
    pub fn known_texts(&self, windows_ms: &[i64]) -> Vec<Arc<str>> {
        self.last_visits[longest(windows_ms)]
            .keys()
            .cloned()
            .collect()
    }

    /// The text of a value as it is kept already, so that each is in memory once.
    pub fn known(&self, windows_ms: &[i64], value: &str) -> Arc<str> {
        match self.last_visits[longest(windows_ms)].get_key_value(value) {
            Some((known, _)) => known.clone(),
            None => Arc::from(value),
        }
    }
}

/// Notes a visit in its place: after those that are not newer.
fn insert_late(last_visits: &mut LastVisits, value: &Arc<str>, time_ms: i64) {
    if last_visits
        .get(&**value)
        .is_some_and(|&last_ms| last_ms >= time_ms)
    {
        return;
    }
    last_visits.remove(&**value);
    let mut newer = Vec::new();
    while last_visits
        .back()
        .is_some_and(|(_, &last_ms)| last_ms > time_ms)
    {
        newer.extend(last_visits.pop_back());
    }
    last_visits.insert(value.clone(), time_ms);
    last_visits.extend(newer.into_iter().rev());
}

/// Writes an instant if it lies after the horizon: before, it can matter no more.
fn pack_limit(out: &mut Vec<u8>, limit_ms: i64, newest_ms: i64, horizon_ms: i64) -> Result<()> {
    pack_ints(
        out,
        (limit_ms > horizon_ms)
            .then_some((newest_ms - limit_ms) as i128)
            .into_iter(),
    )
}

fn unpack_limit(reader: &mut StateReader<'_>, newest_ms: i64) -> Result<i64> {
    Ok(reader
        .narrow_ints()?
        .first()
        .map_or(NEVER_MS, |back_ms| newest_ms - back_ms))
}

fn longest(windows_ms: &[i64]) -> usize {
    let mut longest = 0;
    for position in 1..windows_ms.len() {
        if windows_ms[position] > windows_ms[longest] {
            longest = position;
        }
    }
    longest
}
