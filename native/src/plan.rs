//! What is to be computed, as data: the definitions of Python, compiled.
//!
//! No entity and no feature is named in this crate; their names come with the plan.

use serde::Deserialize;

use crate::error::{EngineError, Result};
use crate::limits::Limits;
use crate::timeline::Windows;
use crate::windows::Span;

/// How a feature is read from what its window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// How many events.
    Count,
    /// The sum of their values.
    Sum,
    /// Sum / count; null of nothing.
    Mean,
    /// How many different values.
    Distinct,
    /// The share of events that are positive; 0 of nothing.
    Rate,
}

/// One feature of an entity.
#[derive(Debug, Clone, Deserialize)]
pub struct Feature {
    /// Its name on the wire.
    pub name: String,
    /// How it is read.
    pub aggregate: Aggregate,
    /// Its window and delay.
    #[serde(flatten)]
    pub span: Span,
}

/// An entity as the plan's JSON says it.
#[derive(Debug, Clone, Deserialize)]
struct EntitySpec {
    kind: String,
    has_identity: bool,
    has_sums: bool,
    has_labels: bool,
    features: Vec<Feature>,
}

/// One feature with the position of its window.
#[derive(Debug, Clone)]
pub struct PlannedFeature {
    /// Its name on the wire.
    pub name: String,
    /// How it is read.
    pub aggregate: Aggregate,
    /// Position of its window: among the distinct windows for `Distinct`, else among the spans.
    pub position: usize,
}

/// What one entity computes.
#[derive(Debug, Clone)]
pub struct Entity {
    /// One byte that its states begin with.
    pub kind: u8,
    /// Whether it remembers ids, and so decides what is a repeat.
    pub has_identity: bool,
    /// Whether events carry a value to be summed.
    pub has_sums: bool,
    /// Whether its events have labels.
    pub has_labels: bool,
    /// The windows of counts, sums, means and rates.
    pub windows: Windows,
    /// The windows of distinct values, ms.
    pub distinct_ms: Vec<i64>,
    /// Its features, in the order of the wire.
    pub features: Vec<PlannedFeature>,
}

impl Entity {
    /// Whether an event is in its own windows: they end with it.
    pub fn counts_own(&self) -> bool {
        self.windows.spans[0].delay_ms == 0 && !self.has_labels
    }
}

/// The definitions of all entities.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Digest of the definitions, 16 hexadecimal digits.
    pub digest: String,
    /// The same as bytes.
    pub digest_bytes: [u8; 8],
    /// Limits of one key's state.
    pub limits: Limits,
    /// The entities, in the order in which an event meets them.
    pub entities: Vec<Entity>,
}

#[derive(Deserialize)]
struct PlanSpec {
    digest: String,
    limits: Limits,
    entities: Vec<EntitySpec>,
}

impl Plan {
    /// Reads and checks a plan.
    pub fn from_json(text: &str) -> Result<Self> {
        let spec: PlanSpec = serde_json::from_str(text)
            .map_err(|error| EngineError::Value(format!("no plan: {error}")))?;
        let digest_bytes = digest_bytes(&spec.digest)?;
        check_limits(&spec.limits)?;
        let entities: Result<Vec<Entity>> = spec
            .entities
            .into_iter()
            .map(|entity| entity_of(entity, spec.limits.tiles_per_window))
            .collect();
        Ok(Plan {
            digest: spec.digest,
            digest_bytes,
            limits: spec.limits,
            entities: entities?,
        })
    }
}

fn check_limits(limits: &Limits) -> Result<()> {
    let enough = limits.events_max >= 4
        && limits.visits_max >= 4
        && limits.labelled_max >= 4
        && limits.ids_max >= 1
        && limits.distinct_max >= 1
        && limits.observations_max >= 1
        && limits.tiles_per_window >= 1;
    if enough {
        return Ok(());
    }
    Err(EngineError::Value(format!(
        "{limits:?}: a limit is too small to keep anything"
    )))
}

fn digest_bytes(digest: &str) -> Result<[u8; 8]> {
    let number = (digest.len() == 16)
        .then(|| u64::from_str_radix(digest, 16).ok())
        .flatten();
    number.map(u64::to_be_bytes).ok_or_else(|| {
        EngineError::Value(format!(
            "digest {digest:?}, 16 hexadecimal digits are needed"
        ))
    })
}

fn entity_of(spec: EntitySpec, tiles_per_window: i64) -> Result<Entity> {
    let mut spans: Vec<Span> = Vec::new();
    let mut distinct_ms: Vec<i64> = Vec::new();
    let mut features = Vec::with_capacity(spec.features.len());
    for feature in spec.features {
        let position = if feature.aggregate == Aggregate::Distinct {
            if feature.span.delay_ms != 0 || spec.has_labels {
                return Err(EngineError::Value(format!(
                    "{}: distinct values have no delay, and no labels beside them",
                    feature.name
                )));
            }
            position_of(&mut distinct_ms, feature.span.window_ms)
        } else {
            position_of(&mut spans, feature.span)
        };
        if feature.aggregate == Aggregate::Rate && !spec.has_labels {
            return Err(EngineError::Value(format!(
                "{}: a rate needs labels",
                feature.name
            )));
        }
        let (name, aggregate) = (feature.name, feature.aggregate);
        features.push(PlannedFeature {
            name,
            aggregate,
            position,
        });
    }
    let &[kind] = spec.kind.as_bytes() else {
        return Err(EngineError::Value(format!(
            "kind {:?}, one byte is needed",
            spec.kind
        )));
    };
    Ok(Entity {
        kind,
        has_identity: spec.has_identity,
        has_sums: spec.has_sums,
        has_labels: spec.has_labels,
        windows: Windows::new(spans, tiles_per_window)?,
        distinct_ms,
        features,
    })
}

fn position_of<T: PartialEq>(known: &mut Vec<T>, wanted: T) -> usize {
    match known.iter().position(|one| *one == wanted) {
        Some(position) => position,
        None => {
            known.push(wanted);
            known.len() - 1
        }
    }
}
