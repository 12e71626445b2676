//! Reading feature rows, as Python calls it.

use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::row_reader::{MatrixForm, ReadRow, RowReader};
use crate::values::Value;

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

    /// The texts of some rows, each: the wanted fields, the features without braces, the names of
    /// approximate values, the record's timestamp, when it was computed, the repeated fields.
    fn texts<'py>(
        &self,
        py: Python<'py>,
        positions: Vec<usize>,
    ) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let mut repeated = Vec::new();
        positions
            .into_iter()
            .map(|at| {
                let (row, value) = self.row(at)?;
                let bytes = value.as_bytes(py);
                repeated.clear();
                self.reader.repeated(row, bytes, &mut repeated);
                let ranges = [
                    &row.features_text,
                    &row.approximate_text,
                    &row.timestamp_text,
                    &row.computed_text,
                ];
                let texts = self.reader.wanted(row, bytes);
                let texts = texts.chain(ranges.map(|range| &bytes[range.clone()]));
                let texts = texts.chain([repeated.as_slice()]);
                PyTuple::new(
                    py,
                    texts.map(|text| PyBytes::new(py, text)).collect::<Vec<_>>(),
                )
            })
            .collect()
    }

    /// For some rows, those of the features at some positions that are above a limit, by name.
    /// None for a row without any.
    fn above<'py>(
        &self,
        py: Python<'py>,
        positions: Vec<usize>,
        limits: Vec<(usize, f64, Bound<'py, PyString>)>,
    ) -> PyResult<Bound<'py, PyList>> {
        let found = PyList::empty(py);
        for at in positions {
            let (row, _) = self.row(at)?;
            let mut above: Option<Bound<'py, PyDict>> = None;
            for (feature, limit, name) in &limits {
                let value = row.features.get(*feature);
                let value = value.ok_or_else(|| PyIndexError::new_err("no such feature"))?;
                let is_above = match *value {
                    Value::Int(number) => number as f64 > *limit,
                    Value::Float(number) => number > *limit,
                    Value::Null => false,
                };
                if is_above {
                    let values = above.get_or_insert_with(|| PyDict::new(py));
                    match *value {
                        Value::Int(number) => values.set_item(name, number)?,
                        Value::Float(number) => values.set_item(name, number)?,
                        Value::Null => {}
                    }
                }
            }
            found.append(above)?;
        }
        Ok(found)
    }
}

impl PyReadRows {
    fn row(&self, at: usize) -> PyResult<&(ReadRow, Py<PyBytes>)> {
        let row = self.rows.get(at).and_then(Option::as_ref);
        row.ok_or_else(|| PyIndexError::new_err(format!("row {at} was not taken")))
    }
}
