//! What events, labels and rows look like on the wire, as data that comes with the plan.

use serde::Deserialize;

use crate::error::{EngineError, Result};

/// Longest text that a field may be described to have, code points of up to 4 bytes.
const TEXT_LENGTH_MAX: usize = u16::MAX as usize / 4;

/// What one field of a JSON object may hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// Text of 1 to so many code points, not blank, without control characters.
    Text {
        /// Longest text, code points.
        length_max: usize,
    },
    /// So many capital letters from A to Z.
    Capitals {
        /// How many.
        length: usize,
        /// The only text that is accepted; any if `None`.
        only: Option<String>,
    },
    /// A JSON integer from 0 to a limit, itself included.
    Integer {
        /// The limit.
        max: i64,
    },
    /// `true` or `false`.
    Boolean,
}

/// One field of a JSON object.
#[derive(Debug, Clone, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it may hold.
    #[serde(flatten)]
    pub kind: Kind,
    /// Whether it may be absent or null.
    #[serde(default)]
    pub is_optional: bool,
}

/// Which events are read, and what their fields are for.
#[derive(Debug, Clone)]
pub struct EventWire {
    /// The topic that they come from.
    pub topic: String,
    /// Their CloudEvents type.
    pub event_type: String,
    /// The fields, in the order in which rows repeat them.
    pub fields: Vec<Field>,
    /// Position of the identity.
    pub id_at: usize,
    /// Position of the event time.
    pub time_at: usize,
    /// Position of what is summed.
    pub value_at: usize,
    /// For each entity, position of its key.
    pub keys_at: Vec<usize>,
    /// For each entity, position of the field whose different values are counted.
    pub distinct_at: Vec<Option<usize>>,
    /// For each entity, positions of the fields that have none of the roles above for it.
    pub rest_at: Vec<Vec<usize>>,
}

/// Which labels are read, and what their fields are for.
#[derive(Debug, Clone)]
pub struct LabelWire {
    /// The topic that they come from.
    pub topic: String,
    /// Their CloudEvents type.
    pub event_type: String,
    /// The fields.
    pub fields: Vec<Field>,
    /// Position of the identity of the event.
    pub id_at: usize,
    /// Position of the time of the event.
    pub time_at: usize,
    /// Position of the time at which it was observed.
    pub observed_at: usize,
    /// Position of what it says.
    pub says_at: usize,
    /// Position of the key.
    pub key_at: usize,
    /// Which entity takes labels.
    pub entity: usize,
}

/// A feature that the event's time alone tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calendar {
    /// Hour of the day, UTC.
    Hour,
    /// 1 on Saturday and Sunday, UTC.
    Weekend,
    /// 1 in the hours from 0 to 6, UTC.
    Night,
}

/// A calendar feature with its name.
#[derive(Debug, Clone, Deserialize)]
pub struct OnDemand {
    /// Its name on the wire.
    pub name: String,
    /// How it is computed.
    pub function: Calendar,
}

/// What rows look like.
#[derive(Debug, Clone, Deserialize)]
pub struct RowWire {
    /// The topic that they go to.
    pub topic: String,
    /// Their CloudEvents type.
    pub event_type: String,
    /// Their CloudEvents source.
    pub source: String,
    /// Name of the event within the row.
    pub event_name: String,
    /// For each entity, the name of its sequence within the row.
    pub sequence_names: Vec<String>,
    /// The features that follow those of the entities.
    pub on_demand: Vec<OnDemand>,
}

/// The limits of event times.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct TimeLimits {
    /// Earliest event time, ms since 1970 UTC.
    pub min_ms: i64,
    /// How far ahead of the clock a time may be, ms, unless the record is a replay.
    pub ahead_max_ms: i64,
    /// How far ahead of Kafka's timestamp of its record a replayed event may be, ms.
    pub replay_ahead_max_ms: i64,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Wire {
    /// Events.
    pub event: EventWire,
    /// Labels.
    pub label: LabelWire,
    /// Rows.
    pub row: RowWire,
    /// Times.
    pub times: TimeLimits,
    /// Name of the header that says of which type a record is.
    pub type_header: String,
    /// What the types of our own records begin with.
    pub own_types_start: String,
    /// Name of the header by which a record says that it belongs to a replay.
    pub replay_header: String,
    /// Headers of an event that its row has, too.
    pub passed_on: PassedOn,
}

/// Which headers of an event's record are passed on to its row: the context of a trace.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PassedOn {
    /// Their names, in the order in which the row has them.
    pub headers: Vec<String>,
    /// Longest value that is passed on.
    pub bytes_max: usize,
}

#[derive(Deserialize)]
struct EventSpec {
    topic: String,
    event_type: String,
    fields: Vec<Field>,
    id: String,
    time: String,
    value: String,
    keys: Vec<String>,
    distinct: Vec<Option<String>>,
}

#[derive(Deserialize)]
struct LabelSpec {
    topic: String,
    event_type: String,
    fields: Vec<Field>,
    id: String,
    time: String,
    observed: String,
    says: String,
    key: String,
    entity: usize,
}

#[derive(Deserialize)]
struct WireSpec {
    event: EventSpec,
    label: LabelSpec,
    row: RowWire,
    times: TimeLimits,
    type_header: String,
    own_types_start: String,
    replay_header: String,
    #[serde(default)]
    passed_on: PassedOn,
}

impl Wire {
    /// Reads and checks it, for a plan of so many entities.
    pub fn from_json(text: &str, entities: usize) -> Result<Self> {
        let spec: WireSpec = serde_json::from_str(text)
            .map_err(|error| EngineError::Value(format!("no wire: {error}")))?;
        let counts = [
            spec.event.keys.len(),
            spec.event.distinct.len(),
            spec.row.sequence_names.len(),
        ];
        if counts.iter().any(|&count| count != entities) || spec.label.entity >= entities {
            return Err(EngineError::Value(format!(
                "a wire for {counts:?} entities with labels for {}, the plan has {entities}",
                spec.label.entity
            )));
        }
        Ok(Wire {
            event: event_wire(spec.event)?,
            label: label_wire(spec.label)?,
            row: spec.row,
            times: spec.times,
            type_header: spec.type_header,
            own_types_start: spec.own_types_start,
            replay_header: spec.replay_header,
            passed_on: spec.passed_on,
        })
    }
}

fn event_wire(spec: EventSpec) -> Result<EventWire> {
    let at = |name: &str| position_of(&spec.fields, name);
    let keys_at = spec
        .keys
        .iter()
        .map(|name| at(name))
        .collect::<Result<Vec<_>>>()?;
    let distinct_at = spec
        .distinct
        .iter()
        .map(|name| name.as_deref().map(at).transpose())
        .collect::<Result<Vec<_>>>()?;
    let (id_at, time_at, value_at) = (at(&spec.id)?, at(&spec.time)?, at(&spec.value)?);
    let rest_of = |entity: usize| {
        let roles = [Some(keys_at[entity]), distinct_at[entity]];
        (0..spec.fields.len())
            .filter(|at| ![id_at, time_at, value_at].contains(at) && !roles.contains(&Some(*at)))
            .collect()
    };
    check_fields(&spec.fields)?;
    Ok(EventWire {
        id_at,
        time_at,
        value_at,
        rest_at: (0..keys_at.len()).map(rest_of).collect(),
        keys_at,
        distinct_at,
        topic: spec.topic,
        event_type: spec.event_type,
        fields: spec.fields,
    })
}

/// Refuses texts whose length in bytes may not fit into the 16 bits that keys and journals have.
fn check_fields(fields: &[Field]) -> Result<()> {
    for field in fields {
        match field.kind {
            Kind::Text { length_max } if length_max > TEXT_LENGTH_MAX => {
                return Err(EngineError::Value(format!(
                    "field {:?} of up to {length_max} code points, limit {TEXT_LENGTH_MAX}",
                    field.name
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

fn label_wire(spec: LabelSpec) -> Result<LabelWire> {
    let at = |name: &str| position_of(&spec.fields, name);
    Ok(LabelWire {
        id_at: at(&spec.id)?,
        time_at: at(&spec.time)?,
        observed_at: at(&spec.observed)?,
        says_at: at(&spec.says)?,
        key_at: at(&spec.key)?,
        entity: spec.entity,
        topic: spec.topic,
        event_type: spec.event_type,
        fields: spec.fields,
    })
}

fn position_of(fields: &[Field], name: &str) -> Result<usize> {
    fields
        .iter()
        .position(|field| field.name == name)
        .ok_or_else(|| EngineError::Value(format!("no field {name:?} among {:?}", names(fields))))
}

fn names(fields: &[Field]) -> Vec<&str> {
    fields.iter().map(|field| field.name.as_str()).collect()
}
