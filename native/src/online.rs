//! A state's online form: the values of the fields of its hash in the online store.
//!
//! The layout of keys and names is Python's (`features.online.layout`) and comes as data; here are
//! the values: protobuf's encoding of a number, of bytes, and of a time.

use serde::Deserialize;

use crate::error::{EngineError, Result};
use crate::plan::{Aggregate, Entity, Plan};
use crate::state::State;
use crate::values::Value;

/// Where an entity's states are in the online store.
#[derive(Debug, Clone, Deserialize)]
pub struct OnlineLayout {
    /// What a key begins with, before the length and the text of the entity's own key.
    pub key_prefix: Vec<u8>,
    /// What a key ends with.
    pub key_suffix: Vec<u8>,
}

/// The values of one hash: sequence, digest, time, state, then each feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlineRecord(pub Vec<Vec<u8>>);

impl OnlineLayout {
    /// Reads a layout.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| EngineError::Value(format!("no layout: {error}")))
    }

    /// The key of an entity's hash.
    pub fn key(&self, key: &str) -> Vec<u8> {
        let mut bytes = self.key_prefix.clone();
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(&self.key_suffix);
        bytes
    }

    /// The values of a state's hash, as of its newest event.
    pub fn record(&self, entity: &Entity, plan: &Plan, state: &State) -> Result<OnlineRecord> {
        let as_of_ms = state.newest_ms.unwrap_or(0);
        let values = state.read(entity, &plan.limits, as_of_ms);
        let bytes = state.encode_online(entity, &plan.limits, &plan.digest_bytes)?;
        let mut fields = Vec::with_capacity(4 + entity.features.len());
        fields.push(state.sequence.to_string().into_bytes());
        fields.push(plan.digest.clone().into_bytes());
        fields.push(timestamp_value(as_of_ms));
        fields.push(bytes_value(&bytes));
        for (feature, value) in entity.features.iter().zip(&values.values) {
            let is_double = matches!(feature.aggregate, Aggregate::Mean | Aggregate::Rate);
            fields.push(number_value(value, is_double));
        }
        Ok(OnlineRecord(fields))
    }
}

fn number_value(value: &Value, is_double: bool) -> Vec<u8> {
    let double = |number: f64| {
        let mut bytes = vec![0x29];
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes
    };
    match *value {
        Value::Null => Vec::new(),
        Value::Float(number) => double(number),
        Value::Int(number) if is_double => double(number as f64),
        Value::Int(number) => {
            let mut bytes = vec![0x20];
            write_varint(&mut bytes, number as u64);
            bytes
        }
    }
}

fn bytes_value(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 6);
    bytes.push(0x0a);
    write_varint(&mut bytes, value.len() as u64);
    bytes.extend_from_slice(value);
    bytes
}

fn timestamp_value(time_ms: i64) -> Vec<u8> {
    let (seconds, nanos) = (
        time_ms.div_euclid(1_000),
        time_ms.rem_euclid(1_000) * 1_000_000,
    );
    let mut bytes = Vec::with_capacity(12);
    if seconds != 0 {
        bytes.push(0x08);
        write_varint(&mut bytes, seconds as u64);
    }
    if nanos != 0 {
        bytes.push(0x10);
        write_varint(&mut bytes, nanos as u64);
    }
    bytes
}

fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        bytes.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
