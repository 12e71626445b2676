//! What the records of a log look like, as data: a tree of members, whose leaves are columns.

use serde::Deserialize;

use crate::error::{EngineError, Result};
use crate::wire::Field;

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Leaf {
    /// Text, or only this one.
    Text {
        /// The only text that is taken.
        #[serde(default)]
        only: Option<String>,
    },
    /// A JSON integer between two limits, themselves included.
    Integer {
        /// The lower one.
        min: i64,
        /// The upper one.
        max: i64,
    },
    /// A JSON number that a double holds exactly as Python reads it.
    Double,
    /// `true` or `false`.
    Boolean,
    /// A list of texts.
    Texts,
    /// A list of doubles and nulls.
    Doubles,
    /// An object of plain values, as JSON.
    Object,
}

/// One member of an object.
#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub content: Content,
}

/// What a member holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// An object.
    Object {
        /// Its members.
        members: Vec<Member>,
        /// Whether there is a column for all other members, as JSON, null where there are none;
        /// if not, they are skipped.
        #[serde(default)]
        keeps_others: bool,
    },
    /// A column.
    Column {
        /// What it holds.
        #[serde(flatten)]
        leaf: Leaf,
        /// Whether it may be absent.
        #[serde(default)]
        is_optional: bool,
        /// Whether it may not be null.
        #[serde(default)]
        is_never_null: bool,
    },
}

/// Records that others wrote.
#[derive(Debug, Clone, Deserialize)]
pub struct StrictShape {
    /// The fields of each, which are the columns.
    pub fields: Vec<Field>,
    /// Largest record, bytes.
    pub bytes_max: usize,
    /// Positions of integers, and the smallest value of each.
    pub minima: Vec<(usize, i64)>,
    /// Positions of two integers each, of which the first is not larger than the second.
    pub in_order: Vec<(usize, usize)>,
}

/// The records of one log.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordShape {
    /// Written by others: read strictly, as the events of a job are.
    Strict(StrictShape),
    /// Written by Weir: names without a column are skipped.
    Own(Vec<Member>),
}

impl RecordShape {
    /// Reads a shape; the error says what is wrong with it.
    pub fn from_json(json: &str) -> Result<Self> {
        let shape: Self = serde_json::from_str(json)
            .map_err(|error| EngineError::Value(format!("shape: {error}")))?;
        if let RecordShape::Strict(strict) = &shape {
            let ordered = strict
                .in_order
                .iter()
                .flat_map(|&(first, second)| [first, second]);
            let mut used = strict.minima.iter().map(|&(at, _)| at).chain(ordered);
            if used.any(|at| at >= strict.fields.len()) {
                return Err(EngineError::Value("shape: a position is no field".into()));
            }
        }
        Ok(shape)
    }
}
