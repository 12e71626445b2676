//! Why the engine refuses something. Each kind becomes one Python exception.

/// What went wrong, and the text that a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// Bytes that are no state of this plan. `StateBytesError` in Python.
    StateBytes(String),
    /// An argument or an operation that the engine does not allow. `ValueError` in Python.
    Value(String),
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EngineError::StateBytes(text) | EngineError::Value(text) => out.write_str(text),
        }
    }
}

impl std::error::Error for EngineError {}

/// The result of everything in the engine that can fail.
pub type Result<T> = std::result::Result<T, EngineError>;
