//! Reading feature rows, as Python calls it.

use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::row_reader::{MatrixForm, ReadRow, RowReader};

/// Reads the feature rows of one form.
#[pyclass(name = "RowReader", frozen, module = "weir_engine")]
pub struct PyRowReader {
    reader: Arc<RowReader>,
}

#[pymethods]
impl PyRowReader {
    /// Reads a form; `ValueError` says what is wrong with it.
    #[new]
    fn new(json: &str) -> PyResult<Self> {
        let reader = Arc::new(RowReader::from_json(json)?);
        Ok(PyRowReader { reader })
    }

    /// Reads a batch; rows of another form are left out and stay None.
    fn read(&self, values: Vec<Option<Py<PyBytes>>>, py: Python<'_>) -> PyReadRows {
        let rows = values.into_iter().map(|value| {
            let value = value?;
            let row = self.reader.read(value.as_bytes(py))?;
            Some((row, value))
        });
        PyReadRows {
            rows: rows.collect(),
            reader: self.reader.clone(),
        }
    }
}

/// The columns of the vectors of one model.
#[pyclass(name = "MatrixForm", frozen, module = "weir_engine")]
pub struct PyMatrixForm {
    form: MatrixForm,
}

#[pymethods]
impl PyMatrixForm {
    /// Reads a form for the rows of a reader; `ValueError` says what is wrong with it.
    #[new]
    fn new(json: &str, reader: &PyRowReader) -> PyResult<Self> {
        let form = MatrixForm::from_json(json, &reader.reader)?;
        Ok(PyMatrixForm { form })
    }
}

/// The rows of a batch.
#[pyclass(name = "ReadRows", frozen, module = "weir_engine")]
pub struct PyReadRows {
    rows: Vec<Option<(ReadRow, Py<PyBytes>)>>,
    reader: Arc<RowReader>,
}

#[pymethods]
impl PyReadRows {
    /// The positions of the rows that were taken.
    fn taken(&self) -> Vec<usize> {
        let rows = self.rows.iter().enumerate();
        rows.filter(|(_, row)| row.is_some())
            .map(|(at, _)| at)
            .collect()
    }

    /// The vectors of some rows, one after the other, as doubles in little-endian order.
    fn matrix<'py>(
        &self,
        py: Python<'py>,
        form: &PyMatrixForm,
        positions: Vec<usize>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::new();
        for at in positions {
            let (row, value) = self.row(at)?;
            form.form.write(row, value.as_bytes(py), &mut out);
        }
        Ok(PyBytes::new(py, &out))
    }

    /// The wanted fields of some rows, as they are written, without quotation marks.
    fn wanted<'py>(
        &self,
        py: Python<'py>,
        positions: Vec<usize>,
    ) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let fields = 0..self.reader.wanted_len();
        let of = |at| {
            let (row, value) = self.row(at)?;
            let text = |field| self.reader.wanted_text(row, value.as_bytes(py), field);
            PyTuple::new(
                py,
                fields.clone().map(|field| PyBytes::new(py, text(field))),
            )
        };
        positions.into_iter().map(of).collect()
    }

    /// The repeated fields of a row as a JSON object.
    fn repeated<'py>(&self, py: Python<'py>, position: usize) -> PyResult<Bound<'py, PyBytes>> {
        let (row, value) = self.row(position)?;
        let mut repeated = Vec::new();
        self.reader.repeated(row, value.as_bytes(py), &mut repeated);
        Ok(PyBytes::new(py, &repeated))
    }
}

impl PyRowReader {
    /// What reads the rows.
    pub fn reader(&self) -> &RowReader {
        &self.reader
    }
}

impl PyReadRows {
    /// What has read the rows.
    pub fn reader(&self) -> &RowReader {
        &self.reader
    }

    /// A row and the bytes that it was read from; `IndexError` if it was not taken.
    pub fn row(&self, at: usize) -> PyResult<&(ReadRow, Py<PyBytes>)> {
        let row = self.rows.get(at).and_then(Option::as_ref);
        row.ok_or_else(|| PyIndexError::new_err(format!("row {at} was not taken")))
    }
}
