//! One key's state, and the folds of events and labels into it.
//!
//! Deterministic: a state decoded from bytes gives the same values and the same bytes as the one
//! that wrote them, whatever is folded afterwards.

use std::sync::Arc;

use crate::hashing::SharedHashing;
use hashlink::LinkedHashMap;
use smallvec::SmallVec;

use crate::distinct::{DistinctReading, DistinctValues};
use crate::error::{EngineError, Result};
use crate::identity::{Content, IdMemory};
use crate::labels::{Labels, Observation};
use crate::limits::Limits;
use crate::plan::{Aggregate, Entity};
use crate::state_bytes::{
    check_equal_lengths, pack_header, pack_ints, pack_texts, Form, Header, StateReader,
};
use crate::timeline::{Reading, Timeline};
use crate::values::{read_all, Contents, Values};
use crate::windows::{check_time, Edges, BEFORE_ALL_MS, NEVER_MS};

/// One event, as a state needs it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Identity of the event.
    pub id: &'a str,
    /// Event time, ms since 1970 UTC.
    pub time_ms: i64,
    /// What is summed; 0 where nothing is.
    pub value: i64,
    /// The field whose different values are counted; empty where none is.
    pub distinct: &'a str,
    /// Its other fields, as [`crate::content`] writes them; only remembered, with the id.
    pub rest: &'a str,
}

impl<'a> Event<'a> {
    fn content(&self) -> Content<'a> {
        Content {
            time_ms: self.time_ms,
            value: self.value,
            distinct: self.distinct,
            rest: self.rest,
        }
    }
}

/// One label, as a state needs it.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// Identity of its event.
    pub id: &'a str,
    /// Time of its event, as the label says it, ms since 1970 UTC.
    pub time_ms: i64,
    /// When it was observed, ms since 1970 UTC.
    pub observed_ms: i64,
    /// What it says.
    pub is_positive: bool,
}

/// The labels of an entity, and where its events are.
#[derive(Debug, Clone)]
struct LabelledEvents {
    labels: Labels,
    /// Of the single events only: one that is in tiles is placed by what its label says.
    times_ms_of_ids: LinkedHashMap<Arc<str>, i64, SharedHashing>,
}

/// What is remembered of one key.
#[derive(Debug, Clone)]
pub struct State {
    /// How many events were counted and labels taken; a repeat is not.
    pub sequence: u64,
    /// Newest event time, ms since 1970 UTC; `None` before the first.
    pub newest_ms: Option<i64>,
    /// The form of the bytes that it was read from; durable for a state that was not.
    pub form: Form,
    timeline: Timeline,
    distinct: Option<DistinctValues>,
    ids: Option<IdMemory>,
    labelled: Option<LabelledEvents>,
}

impl State {
    /// The state of a key never seen.
    pub fn new(entity: &Entity, limits: &Limits) -> Self {
        State::empty(entity, limits, Form::Durable)
    }

    fn empty(entity: &Entity, limits: &Limits, form: Form) -> Self {
        let lateness_ms = form.lateness_ms(limits);
        let is_online = form.is_online();
        let has_distinct = !entity.distinct_ms.is_empty();
        State {
            sequence: 0,
            newest_ms: None,
            form,
            timeline: Timeline::new(entity.has_sums, lateness_ms, is_online),
            distinct: has_distinct.then(|| DistinctValues::new(&entity.distinct_ms, lateness_ms)),
            ids: entity.has_identity.then(IdMemory::default),
            labelled: entity.has_labels.then(|| LabelledEvents {
                labels: Labels::new(limits, lateness_ms, is_online),
                times_ms_of_ids: LinkedHashMap::default(),
            }),
        }
    }

    /// How many things it remembers: events, ids, visits and labels. They take its memory.
    pub fn remembered(&self) -> usize {
        let labelled =
            |found: &LabelledEvents| found.labels.remembered() + found.times_ms_of_ids.len();
        self.timeline.remembered()
            + self.distinct.as_ref().map_or(0, DistinctValues::remembered)
            + self.ids.as_ref().map_or(0, IdMemory::remembered)
            + self.labelled.as_ref().map_or(0, labelled)
    }

    /// The content of an id's first delivery; `None` if it is not remembered.
    pub fn first(&self, id: &str) -> Option<Content<'_>> {
        self.ids.as_ref().and_then(|ids| ids.first(id))
    }

    /// Counts an event and gives the values as of it.
    ///
    /// An event whose id is remembered changes nothing and gives the values as of its first
    /// delivery's time. `is_repeat`: another entity has seen it before; nothing changes either.
    pub fn fold(
        &mut self,
        entity: &Entity,
        limits: &Limits,
        event: Event<'_>,
        is_repeat: bool,
    ) -> Result<Values> {
        let repeated_ms = if is_repeat {
            Some(event.time_ms)
        } else {
            self.first(event.id).map(|first| first.time_ms)
        };
        match repeated_ms {
            Some(as_of_ms) => self.read_repeat(entity, limits, as_of_ms),
            None => self.count(entity, limits, event),
        }
    }

    /// Gives the values as of a first delivery's time, ms since 1970 UTC; nothing changes.
    pub fn read_repeat(&self, entity: &Entity, limits: &Limits, as_of_ms: i64) -> Result<Values> {
        self.refuse_online()?;
        check_time(as_of_ms)?;
        Ok(Values {
            is_repeat: true,
            ..self.read(entity, limits, as_of_ms)
        })
    }

    /// Counts an event whose id is not remembered and gives the values as of it.
    pub fn count(&mut self, entity: &Entity, limits: &Limits, event: Event<'_>) -> Result<Values> {
        self.refuse_online()?;
        check_time(event.time_ms)?;
        if entity.counts_own() {
            Ok(self.fold_own(entity, limits, event))
        } else {
            Ok(self.fold_delayed(entity, limits, event))
        }
    }

    /// Gives what [`State::fold`] would return, and changes nothing; of entities that count their
    /// own events. An online state remembers no ids and answers a known id like a new one.
    pub fn peek(&self, entity: &Entity, limits: &Limits, event: Event<'_>) -> Result<Values> {
        if !entity.counts_own() {
            return Err(EngineError::Value(
                "only an entity without delay can be peeked".into(),
            ));
        }
        check_time(event.time_ms)?;
        if let Some(first) = self.first(event.id) {
            return Ok(Values {
                is_repeat: true,
                ..self.read(entity, limits, first.time_ms)
            });
        }
        let newest_ms = self.newest_with(event.time_ms);
        let reading = self
            .timeline
            .read(&entity.windows, event.time_ms, newest_ms, None);
        let value = Some(event.distinct);
        let distinct = self.read_distinct(entity, limits, event.time_ms, newest_ms, value);
        let mut values =
            self.own_values(entity, event.time_ms, reading, distinct, Some(event.value));
        values.sequence += 1;
        Ok(values)
    }

    /// Gives the values as of an instant, ms since 1970 UTC, and changes nothing.
    ///
    /// As of more than the lateness before the newest event they are of what is left, and all are
    /// approximate. For an online state, see [`State::encode_online`].
    pub fn read(&self, entity: &Entity, limits: &Limits, as_of_ms: i64) -> Values {
        if !entity.counts_own() {
            return self.read_delayed(entity, limits, as_of_ms);
        }
        let newest_ms = self.newest_with(as_of_ms);
        let reading = self
            .timeline
            .read(&entity.windows, as_of_ms, newest_ms, None);
        let distinct = self.read_distinct(entity, limits, as_of_ms, newest_ms, None);
        self.own_values(entity, as_of_ms, reading, distinct, None)
    }

    /// Takes a label of one of this key's events, arrived or still to come.
    pub fn fold_label(&mut self, entity: &Entity, limits: &Limits, label: Label<'_>) -> Result<()> {
        self.refuse_online()?;
        check_time(label.time_ms)?;
        check_time(label.observed_ms)?;
        let newest_ms = self.newest_ms.unwrap_or(BEFORE_ALL_MS);
        let known_after_ms = self.known_after_ms(entity, newest_ms);
        let horizon_ms = self.timeline.horizon_ms(&entity.windows, newest_ms);
        let tiled_until_ms = self.timeline.tiled_until_ms;
        let Some(labelled) = &mut self.labelled else {
            return Err(EngineError::Value(
                "an entity without labels takes none".into(),
            ));
        };
        let known_ms = labelled
            .times_ms_of_ids
            .get(label.id)
            .copied()
            .unwrap_or(NEVER_MS);
        // One that is in tiles, its id forgotten, is believed to be where its label says.
        let is_in_tiles = horizon_ms < label.time_ms && label.time_ms <= tiled_until_ms;
        let time_ms = if known_ms > known_after_ms {
            Some(known_ms)
        } else {
            is_in_tiles.then_some(label.time_ms)
        };
        let observation = Observation {
            id: label.id,
            observed_ms: label.observed_ms,
            is_positive: label.is_positive,
            time_ms,
        };
        if labelled
            .labels
            .add(&entity.windows, limits, observation, newest_ms)
        {
            self.sequence += 1;
        }
        Ok(())
    }

    /// Writes the full durable form.
    pub fn encode(&self, entity: &Entity, limits: &Limits, digest: &[u8; 8]) -> Result<Vec<u8>> {
        if self.form.is_online() {
            return Err(EngineError::Value(
                "an online state has no durable form".into(),
            ));
        }
        self.pack(entity, limits, digest, Form::Durable)
    }

    /// Writes a smaller form, enough to read and to peek with the same values.
    ///
    /// It lacks the ids. For a key with so many events that some are in tiles, it also lacks part
    /// of the tiles and the distinct values of their times. A read as of an instant before the
    /// newest event may need them: such a value is approximate and may miss events.
    pub fn encode_online(
        &self,
        entity: &Entity,
        limits: &Limits,
        digest: &[u8; 8],
    ) -> Result<Vec<u8>> {
        if self.form == Form::OnlineAtNewest {
            return Err(EngineError::Value(
                "a state read from the former online form has no present one".into(),
            ));
        }
        self.pack(entity, limits, digest, Form::Online)
    }

    /// Reads any form.
    pub fn decode(
        data: &[u8],
        entity: &Entity,
        limits: &Limits,
        digest: &[u8; 8],
    ) -> Result<State> {
        let mut reader = StateReader::new(data, entity.kind, digest)?;
        let header = reader.header;
        let mut state = State::empty(entity, limits, header.form);
        state.sequence = header.sequence;
        state.newest_ms = header.newest_ms;
        let newest_ms = state.newest_of_bytes(entity);
        state
            .timeline
            .unpack(&entity.windows, &mut reader, newest_ms)?;
        if let Some(distinct) = &mut state.distinct {
            let times_ms = state.timeline.times_ms();
            let times_ms = (header.form == Form::Online).then_some(times_ms);
            let windows_ms = &entity.distinct_ms;
            if header.form.is_online() {
                distinct.unpack_online(windows_ms, &mut reader, newest_ms, times_ms)?;
            } else {
                distinct.unpack(windows_ms, &mut reader, newest_ms)?;
            }
        }
        if let Some(labelled) = &mut state.labelled {
            labelled
                .labels
                .unpack(&entity.windows, &mut reader, newest_ms)?;
        }
        if !header.form.is_online() {
            if let Some(ids) = &mut state.ids {
                let known = state.distinct.as_ref();
                let known = known.map(|distinct| distinct.known_texts(&entity.distinct_ms));
                ids.unpack(&mut reader, newest_ms, known.unwrap_or_default())?;
            }
            if let Some(labelled) = &mut state.labelled {
                let (ids, backs_ms) = (reader.texts()?, reader.narrow_ints()?);
                check_equal_lengths(ids.len(), backs_ms.len())?;
                for (id, back_ms) in ids.into_iter().zip(backs_ms) {
                    labelled
                        .times_ms_of_ids
                        .insert(Arc::from(id), newest_ms - back_ms);
                }
            }
        }
        reader.finish()?;
        Ok(state)
    }

    fn pack(
        &self,
        entity: &Entity,
        limits: &Limits,
        digest: &[u8; 8],
        form: Form,
    ) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(512);
        let (sequence, newest) = (self.sequence, self.newest_ms);
        let header = Header {
            kind: entity.kind,
            form,
            sequence,
            newest_ms: newest,
        };
        pack_header(&mut out, &header, digest);
        let newest_ms = self.newest_of_bytes(entity);
        let is_online = form.is_online();
        self.timeline
            .pack(&entity.windows, &mut out, newest_ms, is_online)?;
        if let Some(distinct) = &self.distinct {
            let windows_ms = &entity.distinct_ms;
            if is_online {
                let tiled_until_ms = self.timeline.tiled_until_ms;
                distinct.pack_online(windows_ms, &mut out, newest_ms, tiled_until_ms)?;
            } else {
                distinct.pack(windows_ms, &mut out, newest_ms)?;
            }
        }
        if let Some(labelled) = &self.labelled {
            labelled
                .labels
                .pack(&entity.windows, limits, &mut out, newest_ms, is_online)?;
        }
        if is_online {
            return Ok(out);
        }
        if let Some(ids) = &self.ids {
            let distinct = self.distinct.iter();
            let known = distinct.flat_map(|distinct| distinct.known_values(&entity.distinct_ms));
            ids.pack(&mut out, newest_ms, known)?;
        }
        if let Some(labelled) = &self.labelled {
            let known_after_ms = self.known_after_ms(entity, newest_ms);
            let known = || {
                labelled
                    .times_ms_of_ids
                    .iter()
                    .filter(move |(_, &ms)| ms > known_after_ms)
            };
            pack_texts(&mut out, known().map(|(id, _)| &**id))?;
            pack_ints(&mut out, known().map(|(_, ms)| (newest_ms - ms) as i128))?;
        }
        Ok(out)
    }

    /// The newest event time that the bytes count from.
    fn newest_of_bytes(&self, entity: &Entity) -> i64 {
        let of_nothing = if entity.has_labels { BEFORE_ALL_MS } else { 0 };
        self.newest_ms.unwrap_or(of_nothing)
    }

    fn refuse_online(&self) -> Result<()> {
        if !self.form.is_online() {
            return Ok(());
        }
        Err(EngineError::Value(
            "an online state is for reading; decode the durable form to fold".into(),
        ))
    }

    fn newest_with(&self, time_ms: i64) -> i64 {
        self.newest_ms
            .map_or(time_ms, |newest_ms| newest_ms.max(time_ms))
    }

    // --- entities whose windows end with the event ---

    fn fold_own(&mut self, entity: &Entity, limits: &Limits, event: Event<'_>) -> Values {
        let newest_ms = self.newest_with(event.time_ms);
        self.newest_ms = Some(newest_ms);
        let reading = self
            .timeline
            .read(&entity.windows, event.time_ms, newest_ms, None);
        let (distinct, shared) = self.fold_distinct(entity, limits, event, newest_ms);
        self.timeline.add(
            &entity.windows,
            limits,
            event.time_ms,
            newest_ms,
            event.value,
        );
        if let Some(ids) = &mut self.ids {
            ids.add(limits, event.id, event.content(), shared, newest_ms);
        }
        self.sequence += 1;
        self.own_values(entity, event.time_ms, reading, distinct, Some(event.value))
    }

    fn fold_distinct(
        &mut self,
        entity: &Entity,
        limits: &Limits,
        event: Event<'_>,
        newest_ms: i64,
    ) -> (DistinctReading, Option<Arc<str>>) {
        let windows_ms = &entity.distinct_ms;
        let Some(distinct) = &mut self.distinct else {
            return (DistinctReading::default(), None);
        };
        let shared = distinct.known(windows_ms, event.distinct);
        let kept = Some(shared.clone());
        if event.time_ms == newest_ms {
            let reading = distinct.add(windows_ms, limits, event.time_ms, shared);
            return (reading, kept);
        }
        let value = Some(event.distinct);
        let reading = distinct.read(windows_ms, limits, event.time_ms, newest_ms, value);
        distinct.add_late(windows_ms, limits, event.time_ms, shared, newest_ms);
        (reading, kept)
    }

    fn read_distinct(
        &self,
        entity: &Entity,
        limits: &Limits,
        as_of_ms: i64,
        newest_ms: i64,
        value: Option<&str>,
    ) -> DistinctReading {
        match &self.distinct {
            Some(distinct) => {
                distinct.read(&entity.distinct_ms, limits, as_of_ms, newest_ms, value)
            }
            None => DistinctReading::default(),
        }
    }

    /// The values; `own`: the value of the event itself, which was read around, not yet added.
    fn own_values(
        &self,
        entity: &Entity,
        as_of_ms: i64,
        mut reading: Reading,
        distinct: DistinctReading,
        own: Option<i64>,
    ) -> Values {
        if let Some(value) = own {
            for count in &mut reading.counts {
                *count += 1;
            }
            if entity.has_sums {
                for total in &mut reading.totals {
                    *total += value as i128;
                }
            }
        }
        let contents = Contents {
            counts: &reading.counts,
            totals: &reading.totals,
            positives: &[],
            distinct: &distinct.counts,
        };
        let values = read_all(entity, &contents);
        let is_late = self.is_too_late(as_of_ms, self.newest_ms);
        let approximate = entity
            .features
            .iter()
            .map(|feature| match feature.aggregate {
                _ if is_late => true,
                Aggregate::Distinct => distinct.bounds[feature.position],
                _ => reading.touched[feature.position].is_some(),
            })
            .collect();
        Values {
            values,
            approximate,
            sequence: self.sequence,
            is_repeat: false,
        }
    }

    /// Whether an instant is older than what is still exact.
    fn is_too_late(&self, as_of_ms: i64, newest_ms: Option<i64>) -> bool {
        newest_ms.is_some_and(|newest_ms| as_of_ms < newest_ms - self.timeline.lateness_ms())
    }

    // --- entities whose windows end before the event, and those with labels ---

    fn fold_delayed(&mut self, entity: &Entity, limits: &Limits, event: Event<'_>) -> Values {
        let mut newest_ms = self.newest_ms.unwrap_or(BEFORE_ALL_MS);
        if event.time_ms > newest_ms {
            if let Some(labelled) = &mut self.labelled {
                labelled
                    .labels
                    .advance(&entity.windows, limits, newest_ms, event.time_ms);
            }
            newest_ms = event.time_ms;
            self.newest_ms = Some(newest_ms);
        }
        self.add_delayed(entity, limits, event, newest_ms);
        if let Some(ids) = &mut self.ids {
            ids.add(limits, event.id, event.content(), None, newest_ms);
        }
        self.sequence += 1;
        self.read_delayed(entity, limits, event.time_ms)
    }

    fn add_delayed(&mut self, entity: &Entity, limits: &Limits, event: Event<'_>, newest_ms: i64) {
        let windows = &entity.windows;
        let has_shrunk = self
            .timeline
            .add(windows, limits, event.time_ms, newest_ms, event.value);
        let known_after_ms = self.known_after_ms(entity, newest_ms);
        let horizon_ms = self.timeline.horizon_ms(windows, newest_ms);
        let Some(labelled) = &mut self.labelled else {
            return;
        };
        let times_ms = &mut labelled.times_ms_of_ids;
        let known_ms = times_ms.get(event.id).copied().unwrap_or(NEVER_MS);
        // Of two events with one id (keys may choose the same) labels concern the first.
        if known_ms <= known_after_ms {
            if event.time_ms > horizon_ms {
                labelled
                    .labels
                    .join(windows, limits, event.id, event.time_ms, newest_ms);
            }
            if event.time_ms > known_after_ms {
                // A dead entry goes first, so that the order is that of arrival.
                times_ms.remove(event.id);
                times_ms.insert(Arc::from(event.id), event.time_ms);
            }
        }
        if has_shrunk {
            times_ms.retain(|_, time_ms| *time_ms > known_after_ms);
        }
    }

    fn read_delayed(&self, entity: &Entity, limits: &Limits, as_of_ms: i64) -> Values {
        let windows = &entity.windows;
        let newest_ms = self.newest_ms.unwrap_or(BEFORE_ALL_MS);
        let mut reading = self.timeline.read(windows, as_of_ms, newest_ms, None);
        let mut positives: SmallVec<[i64; 8]> = SmallVec::new();
        let mut lost: SmallVec<[bool; 8]> = SmallVec::from_elem(false, windows.spans.len());
        if let Some(labelled) = &self.labelled {
            let labels = &labelled.labels;
            // Positives are counted between the same edges as events, and the other way round.
            let moved = reading.is_touched().then_some(&reading.touched);
            let found = labels.positives.read(windows, as_of_ms, newest_ms, moved);
            positives = found.counts;
            for (position, edges) in found.touched.iter().enumerate() {
                if let Some(edges) = *edges {
                    reading.touched[position] = Some(edges);
                    reading.counts[position] =
                        self.timeline.between(windows, position, edges, newest_ms).0;
                }
            }
            if as_of_ms != newest_ms {
                self.correct(entity, limits, labels, &mut positives, as_of_ms, newest_ms);
            }
            for (position, span) in windows.spans.iter().enumerate() {
                lost[position] = labels.lost_until_ms > as_of_ms - span.reach_ms();
            }
            if reading.is_touched() || lost.contains(&true) {
                // A label may have been believed of an event that never came.
                for (positive, count) in positives.iter_mut().zip(&reading.counts) {
                    *positive = (*positive).min(*count).max(0);
                }
            }
        }
        let contents = Contents {
            counts: &reading.counts,
            totals: &reading.totals,
            positives: &positives,
            distinct: &[],
        };
        let values = read_all(entity, &contents);
        let is_late = self.is_too_late(as_of_ms, Some(newest_ms));
        let approximate = entity
            .features
            .iter()
            .map(|feature| {
                let is_touched = reading.touched[feature.position].is_some();
                let is_lost = feature.aggregate == Aggregate::Rate && lost[feature.position];
                is_late || is_touched || is_lost
            })
            .collect();
        Values {
            values,
            approximate,
            sequence: self.sequence,
            is_repeat: false,
        }
    }

    /// Turns positives as of the newest event into positives as of another instant.
    fn correct(
        &self,
        entity: &Entity,
        limits: &Limits,
        labels: &Labels,
        positives: &mut [i64],
        as_of_ms: i64,
        newest_ms: i64,
    ) {
        let corrections = labels.corrections(&entity.windows, limits, as_of_ms, newest_ms);
        if corrections.is_empty() {
            return;
        }
        for (position, positive) in positives.iter_mut().enumerate() {
            let edges = self.aligned_edges(entity, labels, position, as_of_ms, newest_ms);
            *positive += corrections
                .iter()
                .filter(|(time_ms, _)| edges.after_ms < *time_ms && *time_ms <= edges.until_ms)
                .map(|(_, change)| change)
                .sum::<i64>();
        }
    }

    /// The edges of a window, moved where they cut a tile of either timeline.
    fn aligned_edges(
        &self,
        entity: &Entity,
        labels: &Labels,
        position: usize,
        as_of_ms: i64,
        newest_ms: i64,
    ) -> Edges {
        let windows = &entity.windows;
        let edges = windows.spans[position].edges(as_of_ms);
        let edges = self.timeline.align(windows, position, edges, newest_ms);
        labels.positives.align(windows, position, edges, newest_ms)
    }

    /// The time up to which events are dead or in tiles, their ids forgotten.
    fn known_after_ms(&self, entity: &Entity, newest_ms: i64) -> i64 {
        let horizon_ms = self.timeline.horizon_ms(&entity.windows, newest_ms);
        horizon_ms.max(self.timeline.tiled_until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    const DAY_MS: i64 = 86_400_000;

    /// One entity with labels, its windows as long as 30 days and delayed by a week.
    fn plan() -> Plan {
        let windows = [1, 30].map(|days| {
            format!(
                r#"{{"name":"rate_{days}","aggregate":"rate","window_ms":{},"delay_ms":{}}}"#,
                days * DAY_MS,
                7 * DAY_MS
            )
        });
        let text = format!(
            r#"{{"digest":"0123456789abcdef",
                "limits":{{"lateness_ms":{DAY_MS},"identity_ms":{DAY_MS},"label_wait_ms":{DAY_MS},
                    "tiles_per_window":64,"events_max":100,"ids_max":100,"distinct_max":100,
                    "visits_max":100,"labelled_max":1000,"observations_max":4}},
                "entities":[{{"kind":"m","has_identity":false,"has_sums":false,"has_labels":true,
                    "features":[{}]}}]}}"#,
            windows.join(",")
        );
        Plan::from_json(&text).expect("a plan")
    }

    fn event(id: &str, time_ms: i64) -> Event<'_> {
        Event {
            id,
            time_ms,
            value: 0,
            distinct: "",
            rest: "",
        }
    }

    #[test]
    fn dead_labels_and_ids_are_forgotten() {
        let plan = plan();
        let (entity, limits) = (&plan.entities[0], &plan.limits);
        let mut state = State::new(entity, limits);
        for number in 0..500 {
            let (id, time_ms) = (format!("e-{number}"), number * DAY_MS);
            state
                .fold(entity, limits, event(&id, time_ms), false)
                .expect("a durable state");
            let label = Label {
                id: &id,
                time_ms,
                observed_ms: time_ms,
                is_positive: number % 2 == 0,
            };
            state
                .fold_label(entity, limits, label)
                .expect("a durable state");
        }
        let labelled = state.labelled.expect("the entity has labels");
        assert!(labelled.labels.entries_len() < 200);
        assert!(labelled.times_ms_of_ids.len() < 200);
    }

    #[test]
    fn a_time_that_no_event_has_is_refused_and_changes_nothing() {
        let plan = plan();
        let (entity, limits) = (&plan.entities[0], &plan.limits);
        let mut state = State::new(entity, limits);
        for time_ms in [i64::MIN, i64::MAX] {
            assert!(state
                .fold(entity, limits, event("e", time_ms), false)
                .is_err());
        }
        assert_eq!((state.sequence, state.newest_ms), (0, None));
    }
}
