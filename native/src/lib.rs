//! Weir's feature engine: folds events into keyed state and reads feature values from it.
//!
//! The definitions reach it as data ([`plan`]). Python calls it through [`python`].

pub mod columns;
pub mod content;
pub mod decisions;
pub mod distinct;
pub mod error;
pub mod frame;
pub mod hashing;
pub mod identity;
pub mod item;
pub mod job;
pub mod journal;
pub mod json_object;
pub mod labels;
pub mod limits;
pub mod live_states;
pub mod online;
pub mod outcome;
pub mod plan;
#[cfg(feature = "python")]
pub mod python;
#[cfg(feature = "python")]
pub mod python_columns;
#[cfg(feature = "python")]
pub mod python_decisions;
#[cfg(feature = "python")]
pub mod python_rows;
pub mod record_reader;
pub mod record_shape;
pub mod row;
pub mod row_reader;
pub mod state;
pub mod state_bytes;
pub mod tiles;
pub mod timeline;
pub mod values;
pub mod windows;
pub mod wire;
