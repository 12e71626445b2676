//! One random hash function for all maps of the process.
//!
//! Keys come from producers, so the function must not be known; a function of its own in each map
//! would cost 32 bytes a map, and there are some maps for each key.

use std::hash::BuildHasher;
use std::sync::OnceLock;

use ahash::{AHasher, RandomState};

static SHARED: OnceLock<RandomState> = OnceLock::new();

/// Makes hashers of the one function. Takes no space.
#[derive(Debug, Clone, Copy, Default)]
pub struct SharedHashing;

impl BuildHasher for SharedHashing {
    type Hasher = AHasher;

    fn build_hasher(&self) -> AHasher {
        SHARED.get_or_init(RandomState::new).build_hasher()
    }
}
