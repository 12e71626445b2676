//! What one operator of the job does with a batch: decode, fold, hand on.
//!
//! ```text
//! begin(frames) --> left to Python: supply or refuse --> missing journals: restore -+-> finish
//!                                                              ^--- still missing? --+
//! ```
//!
//! Records are folded in the order in which they came, whichever side decoded them. An operator
//! owns some of the plan's entities, in their order: all of them where one task has all keys, else
//! one, or none where records are only decoded and routed. Nothing of a batch is folded before all
//! that it needs is there, so a failure leaves the states as they were.
//!
//! A repeat goes on with the content of its first delivery, which the state of the entity with
//! identity remembers. So it may meet other keys than it says itself, which are known only once that
//! state is there: their journals are asked for in a second round.

use std::ops::Range;

use ahash::AHashSet;

use crate::content;
use crate::error::{EngineError, Result};
use crate::frame::{write_header, Record, MAGIC};
use crate::item::{encode_label, encode_record, read_met, EventItem, Item};
use crate::journal::{write_event, write_label, Live};
use crate::json_object::{read_object, FieldValue, FieldValues};
use crate::live_states::LiveStates;
use crate::online::OnlineRecord;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::row::{write_row, Origin, Row, Scratch};
use crate::state::{Event, Label};
use crate::values::Values;
use crate::wire::{Field, Wire};

/// One element of a batch.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all elements are the large one"
)]
enum Slot {
    /// Decoded.
    Ready(Item),
    /// A record that Python has to look at, as it came.
    Left(Vec<u8>),
}

/// A journal that has to be read before the batch can be folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingJournal {
    /// Position of the entity in the plan.
    pub entity: usize,
    /// The key.
    pub key: Box<str>,
}

/// Journals that are missing, each once.
#[derive(Default)]
struct Missing<'a> {
    seen: AHashSet<(usize, &'a str)>,
    journals: Vec<MissingJournal>,
}

/// How much memory the states of an operator may take, in bytes, all entities together.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Of live states.
    pub live_bytes_max: usize,
    /// Of packed states.
    pub packed_bytes_max: usize,
}

/// One operator.
#[derive(Debug)]
pub struct Job {
    plan: Plan,
    wire: Wire,
    entities: Range<usize>,
    states: Vec<LiveStates>,
    memory: Memory,
    batch: Vec<Slot>,
    /// What the events of the batch brought: values of the entities that they met elsewhere.
    met: Vec<u8>,
    asked: Vec<MissingJournal>,
    outcome: Outcome,
    scratch: Scratch,
    values: Vec<Values>,
    rest: String,
    entry: Vec<u8>,
}

impl Job {
    /// An operator of some of the plan's entities; `states` has one for each of them.
    pub fn new(
        plan: Plan,
        wire: Wire,
        entities: Range<usize>,
        states: Vec<LiveStates>,
        memory: Memory,
    ) -> Result<Self> {
        if entities.end > plan.entities.len() || states.len() != entities.len() {
            return Err(EngineError::Value(format!(
                "entities {entities:?} with {} stores, the plan has {}",
                states.len(),
                plan.entities.len()
            )));
        }
        Ok(Job {
            plan,
            wire,
            entities,
            states,
            memory,
            batch: Vec::new(),
            met: Vec::new(),
            asked: Vec::new(),
            outcome: Outcome::default(),
            scratch: Scratch::default(),
            values: Vec::new(),
            rest: String::new(),
            entry: Vec::new(),
        })
    }

    /// The plan that it works by.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many elements the batch has.
    pub fn batch_len(&self) -> usize {
        self.batch.len()
    }

    /// Takes changed states of an entity; see [`LiveStates::take_changed`]. Keys are those of the
    /// online store.
    pub fn take_changed(
        &mut self,
        entity: usize,
        keys_max: usize,
    ) -> Result<Vec<(Vec<u8>, OnlineRecord)>> {
        let (plan, states) = self.states(entity)?;
        states.take_changed(&plan.entities[entity], plan, keys_max)
    }

    /// The states of one of its entities.
    pub fn states(&mut self, entity: usize) -> Result<(&Plan, &mut LiveStates)> {
        let at = entity
            .checked_sub(self.entities.start)
            .filter(|&at| at < self.states.len());
        match at {
            Some(at) => Ok((&self.plan, &mut self.states[at])),
            None => Err(EngineError::Value(format!(
                "entity {entity} is not one of this operator's, {:?}",
                self.entities
            ))),
        }
    }

    /// Takes a batch: record frames, or what the operator before this one has emitted.
    ///
    /// Returns the positions of the records that Python has to look at.
    pub fn begin<'a>(
        &mut self,
        elements: impl Iterator<Item = &'a [u8]>,
        now_ms: i64,
    ) -> Result<Vec<usize>> {
        self.batch.clear();
        self.met.clear();
        self.asked.clear();
        let mut left = Vec::new();
        for (position, element) in elements.enumerate() {
            let slot = match element.first() {
                Some(&MAGIC) => self.decode(element, now_ms)?,
                _ => Slot::Ready(Item::decode(element, &mut self.met)?),
            };
            if matches!(slot, Slot::Left(_)) {
                left.push(position);
            }
            self.batch.push(slot);
        }
        Ok(left)
    }

    /// The frame of a record that Python has to look at.
    pub fn left(&self, position: usize) -> Result<&[u8]> {
        match self.batch.get(position) {
            Some(Slot::Left(frame)) => Ok(frame),
            _ => Err(EngineError::Value(format!(
                "position {position} was not left to Python"
            ))),
        }
    }

    /// Gives the fields of a record that was left to Python, in the order of the wire.
    pub fn supply(&mut self, position: usize, fields: FieldValues, is_replay: bool) -> Result<()> {
        let frame = self.left(position)?;
        let record = Record::parse(frame)?;
        let is_label = record.topic == self.wire.label.topic.as_bytes();
        let item = if is_label {
            check_fields(&self.wire.label.fields, &fields)?;
            Item::Label(fields)
        } else {
            check_fields(&self.wire.event.fields, &fields)?;
            Item::Event(event_item(&record, fields, is_replay, &self.wire))
        };
        self.batch[position] = Slot::Ready(item);
        Ok(())
    }

    /// Gives the record to produce instead of one that was left to Python: its dead letter.
    pub fn refuse(&mut self, position: usize, frame: Vec<u8>) -> Result<()> {
        self.left(position)?;
        self.batch[position] = Slot::Ready(Item::Record(frame));
        Ok(())
    }

    /// The journals that have to be read before the batch can be folded, each once. Once they are
    /// restored there may be others, but not a third time.
    pub fn missing(&mut self) -> Result<&[MissingJournal]> {
        self.unpack()?;
        self.asked = self.find_missing();
        Ok(&self.asked)
    }

    /// What [`Job::missing`] gave last, once.
    pub fn take_asked(&mut self) -> Vec<MissingJournal> {
        std::mem::take(&mut self.asked)
    }

    /// Makes the states live that the batch names and that are packed.
    fn unpack(&mut self) -> Result<()> {
        if self.states.iter().all(|states| states.packed_len() == 0) {
            return Ok(());
        }
        let wire = &self.wire;
        for (entity, states) in self.entities.clone().zip(&mut self.states) {
            let definition = &self.plan.entities[entity];
            for slot in &self.batch {
                let key = match slot {
                    Slot::Ready(Item::Event(event)) => &event.fields[wire.event.keys_at[entity]],
                    Slot::Ready(Item::Label(label)) if wire.label.entity == entity => {
                        &label[wire.label.key_at]
                    }
                    _ => continue,
                };
                states.unpack(definition, &self.plan, key.text())?;
            }
        }
        Ok(())
    }

    fn find_missing(&self) -> Vec<MissingJournal> {
        let wire = &self.wire.event;
        let mut missing = Missing::default();
        for slot in &self.batch {
            match slot {
                Slot::Ready(Item::Event(event)) => {
                    for entity in self.entities.clone() {
                        let key = event.fields[wire.keys_at[entity]].text();
                        let live = self.look(entity, key, &mut missing);
                        self.find_missing_of_first(entity, live, event, &mut missing);
                    }
                }
                Slot::Ready(Item::Label(label))
                    if self.entities.contains(&self.wire.label.entity) =>
                {
                    let key = label[self.wire.label.key_at].text();
                    self.look(self.wire.label.entity, key, &mut missing);
                }
                _ => {}
            }
        }
        missing.journals
    }

    /// A repeat meets the later entities with the keys that its first delivery had.
    fn find_missing_of_first<'a>(
        &'a self,
        entity: usize,
        live: Option<&'a Live>,
        event: &EventItem,
        missing: &mut Missing<'a>,
    ) {
        let later = entity + 1..self.entities.end;
        if !self.plan.entities[entity].has_identity || later.is_empty() {
            return;
        }
        let wire = &self.wire.event;
        let id = event.fields[wire.id_at].text();
        let Some(first) = live.and_then(|live| live.state.first(id)) else {
            return;
        };
        for later in later {
            if let Some(key) = content::text(wire, entity, &first, wire.keys_at[later]) {
                self.look(later, key, missing);
            }
        }
    }

    fn look<'a>(
        &'a self,
        entity: usize,
        key: &'a str,
        missing: &mut Missing<'a>,
    ) -> Option<&'a Live> {
        let live = self.states[entity - self.entities.start].look(key);
        if live.is_none() && missing.seen.insert((entity, key)) {
            missing.journals.push(MissingJournal {
                entity,
                key: key.into(),
            });
        }
        live
    }

    /// Takes a key's journal: entries in order, each behind its length; empty for a new key.
    pub fn restore(&mut self, entity: usize, key: &str, journal: &[u8]) -> Result<()> {
        let (plan, states) = self.states(entity)?;
        let live = Live::restore(&plan.entities[entity], plan, journal)?;
        states.put(key, live);
        Ok(())
    }

    /// Folds the batch; [`Job::outcome`] has what comes of it.
    pub fn finish(&mut self, now_ms: i64) -> Result<()> {
        self.outcome.clear();
        let mut batch = std::mem::take(&mut self.batch);
        for (position, slot) in batch.drain(..).enumerate() {
            match slot {
                Slot::Ready(Item::Event(event)) => self.fold(event, now_ms)?,
                Slot::Ready(Item::Label(label)) => self.fold_label(&label)?,
                Slot::Ready(Item::Record(frame)) => self.hand_on_record(&frame),
                Slot::Left(_) => {
                    return Err(EngineError::Value(format!(
                        "position {position} was left to Python and never given back"
                    )))
                }
            }
        }
        self.batch = batch;
        self.shrink()
    }

    /// What came of the last batch.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Packs and lets go the least recently used states until the limits are kept, those of the
    /// entity that takes most.
    fn shrink(&mut self) -> Result<()> {
        let is_kept = self.memory.packed_bytes_max > 0;
        for (entity, states) in self.entities.clone().zip(&mut self.states) {
            while states.is_above_keys_max() {
                states.pack_oldest(&self.plan.entities[entity], &self.plan, is_kept)?;
            }
        }
        while let Some(at) = self.above(self.memory.live_bytes_max, LiveStates::live_bytes) {
            let definition = &self.plan.entities[self.entities.start + at];
            self.states[at].pack_oldest(definition, &self.plan, is_kept)?;
        }
        while let Some(at) = self.above(self.memory.packed_bytes_max, LiveStates::packed_bytes) {
            self.states[at].drop_oldest();
        }
        Ok(())
    }

    /// The position of the states to make fewer, if all together take more bytes than they may.
    fn above(&self, bytes_max: usize, bytes: impl Fn(&LiveStates) -> usize) -> Option<usize> {
        if self.states.iter().map(&bytes).sum::<usize>() <= bytes_max {
            return None;
        }
        (0..self.states.len()).max_by_key(|&at| bytes(&self.states[at]))
    }

    fn fold(&mut self, mut event: EventItem, now_ms: i64) -> Result<()> {
        let is_last = self.is_last();
        let wire = &self.wire.event;
        let met = &self.met[event.met.clone()];
        self.values.clear();
        if is_last {
            read_met(met, &mut self.values)?;
        }
        for entity in self.entities.clone() {
            let definition = &self.plan.entities[entity];
            let states = &mut self.states[entity - self.entities.start];
            let live = match states.get(event.fields[wire.keys_at[entity]].text()) {
                Some(live) => live,
                None => return Err(never_restored(event.fields[wire.keys_at[entity]].text())),
            };
            if !event.is_repeat {
                if let Some(first) = live.state.first(event.fields[wire.id_at].text()) {
                    content::replace(&mut event.fields, wire, entity, &first);
                    event.is_repeat = true;
                }
            }
            let key = event.fields[wire.keys_at[entity]].text();
            let time_ms = event.fields[wire.time_at].integer();
            let values = if event.is_repeat {
                live.state
                    .read_repeat(definition, &self.plan.limits, time_ms)?
            } else {
                if definition.has_identity {
                    content::write_rest(&mut self.rest, wire, entity, &event.fields);
                } else {
                    self.rest.clear();
                }
                let folded = Event {
                    id: event.fields[wire.id_at].text(),
                    time_ms,
                    value: event.fields[wire.value_at].integer(),
                    distinct: wire.distinct_at[entity].map_or("", |at| event.fields[at].text()),
                    rest: &self.rest,
                };
                let before_bytes = live.bytes();
                let values = live.state.count(definition, &self.plan.limits, folded)?;
                write_event(&mut self.entry, &folded);
                let snapshot = live.record(definition, &self.plan, &self.entry)?;
                self.outcome
                    .store(entity, key, &self.entry, snapshot.as_deref());
                let after_bytes = live.bytes();
                states.note_change(key, before_bytes, after_bytes);
                values
            };
            self.values.push(values);
        }
        if !is_last {
            let key = event.fields[wire.keys_at[self.entities.end]].text();
            self.outcome
                .emit(key, |out| event.encode(out, met, &self.values));
            return Ok(());
        }
        let row = Row {
            event: &event.fields,
            values: &self.values,
            origin: event.origin,
            passed_on: &event.passed_on,
            is_repeat: event.is_repeat,
            is_replay: event.is_replay,
            computed_at_ms: now_ms,
        };
        self.outcome.emit("", |out| {
            write_row(out, &mut self.scratch, &self.plan, &self.wire, &row);
        });
        Ok(())
    }

    /// Whether it emits records to produce, and not what the next operator reads.
    fn is_last(&self) -> bool {
        self.entities.end == self.plan.entities.len()
    }

    fn fold_label(&mut self, label: &FieldValues) -> Result<()> {
        let wire = &self.wire.label;
        let (entity, key) = (wire.entity, label[wire.key_at].text());
        if !self.entities.contains(&entity) {
            self.outcome.emit(key, |out| encode_label(out, label));
            return Ok(());
        }
        let definition = &self.plan.entities[entity];
        let states = &mut self.states[entity - self.entities.start];
        let Some(live) = states.get(key) else {
            return Err(never_restored(key));
        };
        let folded = Label {
            id: label[wire.id_at].text(),
            time_ms: label[wire.time_at].integer(),
            observed_ms: label[wire.observed_at].integer(),
            is_positive: label[wire.says_at].is_true(),
        };
        let before_bytes = live.bytes();
        live.state
            .fold_label(definition, &self.plan.limits, folded)?;
        write_label(&mut self.entry, &folded);
        let snapshot = live.record(definition, &self.plan, &self.entry)?;
        self.outcome
            .store(entity, key, &self.entry, snapshot.as_deref());
        let after_bytes = live.bytes();
        states.note_change(key, before_bytes, after_bytes);
        Ok(())
    }

    fn hand_on_record(&mut self, frame: &[u8]) {
        let is_last = self.is_last();
        self.outcome.emit("", |out| {
            if is_last {
                out.extend_from_slice(frame);
            } else {
                encode_record(out, frame);
            }
        });
    }

    fn decode(&self, frame: &[u8], now_ms: i64) -> Result<Slot> {
        let record = Record::parse(frame)?;
        let item = if record.topic == self.wire.event.topic.as_bytes() {
            self.decode_event(&record, now_ms)
        } else if record.topic == self.wire.label.topic.as_bytes() {
            self.decode_label(&record, now_ms)
        } else {
            let topic = record.topic.escape_ascii().to_string();
            return Err(EngineError::Value(format!("a record of the topic {topic}")));
        };
        Ok(item.map_or_else(|| Slot::Left(frame.to_vec()), Slot::Ready))
    }

    fn decode_event(&self, record: &Record<'_>, now_ms: i64) -> Option<Item> {
        let wire = &self.wire.event;
        let is_replay = self.is_replay(record, &wire.event_type)?;
        let fields = read_object(record.value?, &wire.fields)?;
        let time_ms = fields[wire.time_at].integer();
        self.check_time(time_ms, is_replay, now_ms)?;
        if is_replay {
            self.check_replayed(time_ms, record.timestamp_ms)?;
        }
        Some(Item::Event(event_item(
            record, fields, is_replay, &self.wire,
        )))
    }

    fn decode_label(&self, record: &Record<'_>, now_ms: i64) -> Option<Item> {
        let wire = &self.wire.label;
        let is_replay = self.is_replay(record, &wire.event_type)?;
        let fields = read_object(record.value?, &wire.fields)?;
        let (time_ms, observed_ms) = (
            fields[wire.time_at].integer(),
            fields[wire.observed_at].integer(),
        );
        self.check_time(time_ms, true, now_ms)?;
        self.check_time(observed_ms, is_replay, now_ms)?;
        (observed_ms >= time_ms).then_some(Item::Label(fields))
    }

    /// Whether a record belongs to a replay; `None` where its headers need a closer look.
    fn is_replay(&self, record: &Record<'_>, event_type: &str) -> Option<bool> {
        if record.headers.is_empty() {
            return Some(false);
        }
        let own = self.wire.own_types_start.as_bytes();
        if let Some(Some(given)) = record.last_header(self.wire.type_header.as_bytes()) {
            if given.starts_with(own) && given != event_type.as_bytes() {
                return None;
            }
        }
        let replay = record.last_header(self.wire.replay_header.as_bytes());
        Some(replay == Some(Some(b"1")))
    }

    fn check_time(&self, time_ms: i64, is_replay: bool, now_ms: i64) -> Option<()> {
        let times = &self.wire.times;
        let is_ahead = !is_replay && time_ms - now_ms > times.ahead_max_ms;
        (time_ms >= times.min_ms && !is_ahead).then_some(())
    }

    /// A replayed event is compared with its record, so that the log gives the same at any time.
    fn check_replayed(&self, time_ms: i64, record_ms: i64) -> Option<()> {
        let ahead_ms = time_ms.saturating_sub(record_ms);
        (ahead_ms <= self.wire.times.replay_ahead_max_ms).then_some(())
    }
}

fn event_item(record: &Record<'_>, fields: FieldValues, is_replay: bool, wire: &Wire) -> EventItem {
    let origin = Origin {
        partition: record.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
    };
    EventItem {
        fields,
        origin,
        passed_on: passed_on(record, wire),
        is_replay,
        is_repeat: false,
        met: 0..0,
    }
}

/// The headers of an event's record that its row has, too.
fn passed_on(record: &Record<'_>, wire: &Wire) -> Vec<u8> {
    let mut headers = Vec::new();
    if record.headers.is_empty() {
        return headers;
    }
    for name in &wire.passed_on.headers {
        if let Some(Some(value)) = record.last_header(name.as_bytes()) {
            if value.len() <= wire.passed_on.bytes_max {
                write_header(&mut headers, name, value);
            }
        }
    }
    headers
}

fn check_fields(fields: &[Field], values: &FieldValues) -> Result<()> {
    let fits = fields.len() == values.len()
        && fields
            .iter()
            .zip(values)
            .all(|(field, value)| field.is_optional || *value != FieldValue::Absent);
    if fits {
        return Ok(());
    }
    Err(EngineError::Value(format!(
        "{} fields, {} are needed",
        values.len(),
        fields.len()
    )))
}

fn never_restored(key: &str) -> EngineError {
    EngineError::Value(format!(
        "the journal of {key:?} was asked for and never given"
    ))
}
