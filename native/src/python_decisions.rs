//! Deciding about rows that were read, as Python calls it.

use std::sync::Arc;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::decisions::{kept, Batch, Common, DecisionForm, Scored};
use crate::python_rows::{PyReadRows, PyRowReader};

/// Further features of a row, their time and what is kept of them, as JSON.
type BatchJson = (Vec<u8>, Vec<u8>, Vec<u8>);

/// Highest number that is kept of an offset or a time.
const KEPT_MAX: u64 = (1 << 48) - 1;

/// How decisions of one model by one policy are made and written.
#[pyclass(name = "DecisionForm", frozen, module = "weir_engine")]
pub struct PyDecisionForm {
    form: Arc<DecisionForm>,
}

#[pymethods]
impl PyDecisionForm {
    /// Reads a form for the rows of a reader; `ValueError` says what is wrong with it.
    #[new]
    fn new(json: &str, reader: &PyRowReader) -> PyResult<Self> {
        let form = Arc::new(DecisionForm::from_json(json, reader.reader())?);
        Ok(PyDecisionForm { form })
    }
}

/// Decisions about some rows of a batch, by position among them.
#[pyclass(name = "Decisions", module = "weir_engine")]
pub struct PyDecisions {
    form: Arc<DecisionForm>,
    rows: Py<PyReadRows>,
    decided: Vec<(usize, Scored)>,
}

#[pymethods]
impl PyDecisions {
    /// Decides. All sequences have an entry for each row, in their order.
    ///
    /// `ValueError`: a score is not within 0 to 1, or a place is beyond what is kept.
    #[new]
    #[pyo3(signature = (form, rows, *, positions, scores, vector_digests, places, batch=None))]
    fn new(
        form: &PyDecisionForm,
        rows: Py<PyReadRows>,
        positions: Vec<usize>,
        scores: Vec<f64>,
        vector_digests: Vec<String>,
        places: Vec<(u16, u64)>,
        batch: Option<Vec<BatchJson>>,
    ) -> PyResult<Self> {
        let form = form.form.clone();
        let count = positions.len();
        let has_batch = batch.as_ref().is_none_or(|batch| batch.len() == count);
        if [scores.len(), vector_digests.len(), places.len()] != [count; 3] || !has_batch {
            return Err(PyValueError::new_err("each row needs one entry of each"));
        }
        let mut batch = batch.unwrap_or_default().into_iter();
        let each = positions.into_iter().zip(scores).zip(vector_digests);
        let decided = each.zip(places);
        let decided = decided.map(|(((at, score), vector_digest), (partition, offset))| {
            let outcome = form.outcome(score).ok_or_else(|| {
                PyValueError::new_err(format!(
                    "score {score} is not within 0 to 1; the model is faulty"
                ))
            })?;
            check_kept(offset)?;
            let of_batch = batch.next();
            let scored = Scored {
                score,
                vector_digest,
                partition,
                offset,
                outcome,
                reason: None,
                batch: of_batch.map(|(more_features, time, kept)| Batch {
                    more_features,
                    time,
                    kept,
                }),
            };
            Ok((at, scored))
        });
        let decided = decided.collect::<PyResult<Vec<_>>>()?;
        Ok(PyDecisions {
            form,
            rows,
            decided,
        })
    }

    /// The outcomes, as positions among those of the form.
    fn outcomes(&self) -> Vec<u8> {
        let decided = self.decided.iter();
        decided.map(|(_, scored)| scored.outcome).collect()
    }

    /// Changes an outcome, and adds a reason as JSON without quotation marks.
    fn change(&mut self, at: usize, outcome: u8, reason: Option<String>) -> PyResult<()> {
        let (_, scored) = self.decided.get_mut(at).ok_or_else(|| no_decision(at))?;
        scored.outcome = outcome;
        scored.reason = reason;
        Ok(())
    }

    /// What is kept of some decisions, in one context.
    fn kept<'py>(
        &self,
        py: Python<'py>,
        at: Vec<usize>,
        context: &[u8],
        now_ms: u64,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        check_kept(now_ms)?;
        let of = |at| Ok(PyBytes::new(py, &kept(&self.get(at)?.1, context, now_ms)));
        at.into_iter().map(of).collect()
    }

    /// Some decisions as JSON, with the same words, a list as JSON, and the same further members.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        at: Vec<usize>,
        now_ms: u64,
        degraded: &[u8],
        more: &[u8],
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let mut now = itoa::Buffer::new();
        let common = Common {
            now: now.format(now_ms).as_bytes(),
            degraded,
            more,
        };
        let rows = self.rows.get();
        let mut out = Vec::new();
        let mut encoded = Vec::with_capacity(at.len());
        for at in at {
            let (position, scored) = self.get(at)?;
            let (row, value) = rows.row(*position)?;
            out.clear();
            let read = (row, value.as_bytes(py));
            self.form
                .write(rows.reader(), read, scored, common, &mut out);
            encoded.push(PyBytes::new(py, &out));
        }
        Ok(encoded)
    }
}

impl PyDecisions {
    fn get(&self, at: usize) -> PyResult<&(usize, Scored)> {
        self.decided.get(at).ok_or_else(|| no_decision(at))
    }
}

fn no_decision(at: usize) -> PyErr {
    PyIndexError::new_err(format!("there is no decision {at}"))
}

fn check_kept(number: u64) -> PyResult<()> {
    if number > KEPT_MAX {
        return Err(PyValueError::new_err(format!(
            "{number} has more than 48 bits"
        )));
    }
    Ok(())
}
