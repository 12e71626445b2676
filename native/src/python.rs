//! The engine as Python calls it. Values become Python objects here, and nowhere else.

use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::error::{EngineError, Result};
use crate::job::{Job, Memory};
use crate::json_object::{FieldValue, FieldValues};
use crate::live_states::LiveStates;
use crate::online::OnlineLayout;
use crate::outcome::write_key;
use crate::plan::{Entity, Plan};
use crate::python_decisions::{PyDecisionForm, PyDecisions};
use crate::python_rows::{PyMatrixForm, PyReadRows, PyRowReader};
use crate::state::{Event, Label, State};
use crate::values::{Value, Values};
use crate::wire::Wire;

create_exception!(
    weir_engine,
    StateBytesError,
    PyValueError,
    "Bytes that are no state of this kind, of this format and of these definitions."
);

impl From<EngineError> for PyErr {
    fn from(error: EngineError) -> PyErr {
        match error {
            EngineError::StateBytes(text) => StateBytesError::new_err(text),
            EngineError::Value(text) => PyValueError::new_err(text),
        }
    }
}

/// The definitions of all entities, compiled.
#[pyclass(name = "Plan", frozen, module = "weir_engine")]
pub struct PyPlan {
    plan: Arc<Plan>,
    names: Arc<Vec<Vec<Py<PyString>>>>,
}

#[pymethods]
impl PyPlan {
    /// Reads a plan; `ValueError` says what is wrong with it.
    #[new]
    fn new(py: Python<'_>, json: &str) -> PyResult<Self> {
        let plan = Plan::from_json(json)?;
        let names_of = |entity: &Entity| {
            entity
                .features
                .iter()
                .map(|f| PyString::intern(py, &f.name).unbind())
                .collect()
        };
        let names = plan.entities.iter().map(names_of).collect();
        Ok(PyPlan {
            plan: Arc::new(plan),
            names: Arc::new(names),
        })
    }

    /// The state of a key never seen, of the entity at a position of the plan.
    fn new_state(&self, entity: usize) -> PyResult<PyState> {
        let found = self.entity(entity)?;
        let state = State::new(found, &self.plan.limits);
        Ok(self.wrap(entity, state))
    }

    /// Reads any form of a state's bytes.
    fn decode_state(&self, entity: usize, data: &[u8]) -> PyResult<PyState> {
        let found = self.entity(entity)?;
        let state = State::decode(data, found, &self.plan.limits, &self.plan.digest_bytes)?;
        Ok(self.wrap(entity, state))
    }
}

impl PyPlan {
    fn entity(&self, position: usize) -> Result<&Entity> {
        self.plan.entities.get(position).ok_or_else(|| {
            let known = self.plan.entities.len();
            EngineError::Value(format!("entity {position}, the plan has {known}"))
        })
    }

    fn wrap(&self, entity: usize, state: State) -> PyState {
        PyState {
            plan: self.plan.clone(),
            names: self.names.clone(),
            entity,
            state,
        }
    }
}

/// The state of one key. Not for two threads at once.
#[pyclass(name = "State", module = "weir_engine")]
pub struct PyState {
    plan: Arc<Plan>,
    names: Arc<Vec<Vec<Py<PyString>>>>,
    entity: usize,
    state: State,
}

/// Features by name, the names that are approximate, the sequence, whether it is a repeat.
type PyValues<'py> = (Bound<'py, PyDict>, Bound<'py, PyTuple>, u64, bool);

#[pymethods]
impl PyState {
    #[getter]
    fn sequence(&self) -> u64 {
        self.state.sequence
    }

    #[getter]
    fn newest_ms(&self) -> Option<i64> {
        self.state.newest_ms
    }

    #[getter]
    fn is_online(&self) -> bool {
        self.state.form.is_online()
    }

    /// Counts an event and gives the values as of it.
    #[pyo3(signature = (*, id, time_ms, value = 0, distinct = "", is_repeat = false))]
    fn fold<'py>(
        &mut self,
        py: Python<'py>,
        id: &str,
        time_ms: i64,
        value: i64,
        distinct: &str,
        is_repeat: bool,
    ) -> PyResult<PyValues<'py>> {
        let plan = self.plan.clone();
        let event = Event {
            id,
            time_ms,
            value,
            distinct,
            rest: "",
        };
        let entity = &plan.entities[self.entity];
        let values = self.state.fold(entity, &plan.limits, event, is_repeat)?;
        self.to_python(py, values)
    }

    /// Gives what `fold` would return, and changes nothing.
    #[pyo3(signature = (*, id, time_ms, value = 0, distinct = ""))]
    fn peek<'py>(
        &self,
        py: Python<'py>,
        id: &str,
        time_ms: i64,
        value: i64,
        distinct: &str,
    ) -> PyResult<PyValues<'py>> {
        let event = Event {
            id,
            time_ms,
            value,
            distinct,
            rest: "",
        };
        let values = self
            .state
            .peek(self.definition(), &self.plan.limits, event)?;
        self.to_python(py, values)
    }

    /// Gives the values as of an instant, and changes nothing.
    #[pyo3(signature = (*, as_of_ms))]
    fn read<'py>(&self, py: Python<'py>, as_of_ms: i64) -> PyResult<PyValues<'py>> {
        self.to_python(
            py,
            self.state
                .read(self.definition(), &self.plan.limits, as_of_ms),
        )
    }

    /// Takes a label of one of this key's events.
    #[pyo3(signature = (*, id, time_ms, observed_ms, is_positive))]
    fn fold_label(
        &mut self,
        id: &str,
        time_ms: i64,
        observed_ms: i64,
        is_positive: bool,
    ) -> PyResult<()> {
        let plan = self.plan.clone();
        let label = Label {
            id,
            time_ms,
            observed_ms,
            is_positive,
        };
        Ok(self
            .state
            .fold_label(&plan.entities[self.entity], &plan.limits, label)?)
    }

    /// Writes the full durable form.
    fn encode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let plan = &self.plan;
        let data = self
            .state
            .encode(self.definition(), &plan.limits, &plan.digest_bytes)?;
        Ok(PyBytes::new(py, &data))
    }

    /// Writes a smaller form, enough to read and to peek with the same values.
    fn encode_online<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let plan = &self.plan;
        let data = self
            .state
            .encode_online(self.definition(), &plan.limits, &plan.digest_bytes)?;
        Ok(PyBytes::new(py, &data))
    }
}

impl PyState {
    fn definition(&self) -> &Entity {
        &self.plan.entities[self.entity]
    }

    fn to_python<'py>(&self, py: Python<'py>, values: Values) -> PyResult<PyValues<'py>> {
        let names = &self.names[self.entity];
        let features = PyDict::new(py);
        for (name, value) in names.iter().zip(&values.values) {
            match *value {
                Value::Int(number) => features.set_item(name, number)?,
                Value::Float(number) => features.set_item(name, number)?,
                Value::Null => features.set_item(name, py.None())?,
            }
        }
        let approximate = names
            .iter()
            .zip(&values.approximate)
            .filter(|(_, &is)| is)
            .map(|(name, _)| name);
        let approximate = PyTuple::new(py, approximate.collect::<Vec<_>>())?;
        Ok((features, approximate, values.sequence, values.is_repeat))
    }
}

/// One operator of the job; see [`crate::job`]. Safe to use from two threads.
///
/// A thread that holds the lock never takes the interpreter, so two threads cannot deadlock.
#[pyclass(name = "Job", frozen, module = "weir_engine")]
pub struct PyJob {
    job: Mutex<Job>,
}

/// From so many records on the interpreter is given to other threads meanwhile; for fewer, giving
/// it away and taking it back costs more than the work.
const DETACHED_FROM: usize = 16;
const BATCH_BYTES_DETACHED_FROM: usize = 8_192;

#[pymethods]
impl PyJob {
    /// Makes an operator of the entities from `first` up to `end`; `layouts` says for each of them
    /// where its states go in the online store (JSON), or None.
    ///
    /// `live_bytes_max` and `packed_bytes_max`: memory of its states, all entities together; see
    /// [`crate::job::Memory`].
    #[new]
    #[pyo3(signature = (
        plan, wire, *, first, end, live_keys_max, live_bytes_max, packed_bytes_max,
        changed_keys_max, layouts
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are given by name")]
    fn new(
        plan: &str,
        wire: &str,
        first: usize,
        end: usize,
        live_keys_max: usize,
        live_bytes_max: usize,
        packed_bytes_max: usize,
        changed_keys_max: usize,
        layouts: Vec<Option<String>>,
    ) -> PyResult<Self> {
        let plan = Plan::from_json(plan)?;
        let wire = Wire::from_json(wire, plan.entities.len())?;
        let states: Result<Vec<LiveStates>> = layouts
            .iter()
            .map(|layout| {
                let layout = layout.as_deref().map(OnlineLayout::from_json).transpose()?;
                Ok(LiveStates::new(live_keys_max, changed_keys_max, layout))
            })
            .collect();
        let memory = Memory {
            live_bytes_max,
            packed_bytes_max,
        };
        let job = Job::new(plan, wire, first..end, states?, memory)?;
        Ok(PyJob {
            job: Mutex::new(job),
        })
    }

    /// Takes a batch, each element behind its length as a big-endian i32; gives the positions that
    /// Python has to look at.
    fn begin(&self, py: Python<'_>, batch: &[u8], now_ms: i64) -> PyResult<Vec<usize>> {
        let work = || self.lock().begin(Elements { rest: batch }, now_ms);
        let done = if batch.len() >= BATCH_BYTES_DETACHED_FROM {
            py.detach(work)
        } else {
            work()
        };
        Ok(done?)
    }

    /// The frame of a record that Python has to look at.
    fn left<'py>(&self, py: Python<'py>, position: usize) -> PyResult<Bound<'py, PyBytes>> {
        let frame = self.lock().left(position)?.to_vec();
        Ok(PyBytes::new(py, &frame))
    }

    /// Gives the fields of a record that was left to Python, in the order of the wire.
    fn supply(
        &self,
        position: usize,
        fields: Vec<Bound<'_, PyAny>>,
        is_replay: bool,
    ) -> PyResult<()> {
        let fields = fields
            .iter()
            .map(field_value)
            .collect::<PyResult<FieldValues>>()?;
        Ok(self.lock().supply(position, fields, is_replay)?)
    }

    /// Gives the record to produce instead of one that was left to Python: its dead letter.
    fn refuse(&self, position: usize, frame: &[u8]) -> PyResult<()> {
        Ok(self.lock().refuse(position, frame.to_vec())?)
    }

    /// The journals that have to be read before `finish`: a count as u32, then for each the entity
    /// as u8, and the key behind its length as u16; all big-endian. Empty if there is none. To be
    /// asked again after `restore`.
    fn missing<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let is_large = self.lock().batch_len() >= DETACHED_FROM;
        let work = || -> Result<Vec<u8>> {
            let mut job = self.lock();
            let missing = job.missing()?;
            let mut bytes = Vec::new();
            if !missing.is_empty() {
                bytes.extend_from_slice(&(missing.len() as u32).to_be_bytes());
                for journal in missing {
                    bytes.push(journal.entity as u8);
                    write_key(&mut bytes, &journal.key);
                }
            }
            Ok(bytes)
        };
        let bytes = if is_large { py.detach(work) } else { work() }?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Takes the journals of what `missing` gave, in its order, each behind its length as i32.
    fn restore(&self, py: Python<'_>, journals: &[u8]) -> PyResult<()> {
        Ok(py.detach(|| -> Result<()> {
            let mut job = self.lock();
            let mut elements = Elements { rest: journals };
            for missing in job.take_asked() {
                let journal = elements.next().ok_or_else(|| {
                    EngineError::Value(format!("no journal of {:?} was given", missing.key))
                })?;
                job.restore(missing.entity, &missing.key, journal)?;
            }
            Ok(())
        })?)
    }

    /// Folds the batch and gives what comes of it, as [`crate::outcome`] says.
    fn finish<'py>(&self, py: Python<'py>, now_ms: i64) -> PyResult<Bound<'py, PyBytes>> {
        let is_large = self.lock().batch_len() >= DETACHED_FROM;
        let work = || self.lock().finish(now_ms);
        if is_large { py.detach(work) } else { work() }?;
        let job = self.lock();
        let outcome = job.outcome();
        PyBytes::new_with(py, outcome.bytes_len(), |out| {
            outcome.copy_to(out);
            Ok(())
        })
    }

    /// The snapshot of a key's state, as its journal keeps it; None where it is not live.
    fn snapshot<'py>(
        &self,
        py: Python<'py>,
        entity: usize,
        key: &str,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut job = self.lock();
        let (plan, states) = job.states(entity)?;
        let snapshot = states
            .look(key)
            .map(|live| live.snapshot(&plan.entities[entity], plan));
        Ok(snapshot.transpose()?.map(|bytes| PyBytes::new(py, &bytes)))
    }

    /// How many changes a key's state has seen; None where it is not live.
    fn sequence(&self, entity: usize, key: &str) -> PyResult<Option<u64>> {
        Ok(self
            .lock()
            .states(entity)?
            .1
            .look(key)
            .map(|live| live.state.sequence))
    }

    /// How many states are live.
    fn live_len(&self, entity: usize) -> PyResult<usize> {
        Ok(self.lock().states(entity)?.1.live_len())
    }

    /// About how many bytes of memory the live states take.
    fn live_bytes(&self, entity: usize) -> PyResult<usize> {
        Ok(self.lock().states(entity)?.1.live_bytes())
    }

    /// How many states are packed.
    fn packed_len(&self, entity: usize) -> PyResult<usize> {
        Ok(self.lock().states(entity)?.1.packed_len())
    }

    /// About how many bytes of memory the packed states take.
    fn packed_bytes(&self, entity: usize) -> PyResult<usize> {
        Ok(self.lock().states(entity)?.1.packed_bytes())
    }

    /// How many keys have changed since they were written to the online store.
    fn changed_len(&self, entity: usize) -> PyResult<usize> {
        Ok(self.lock().states(entity)?.1.changed_len())
    }

    /// How many changed keys were dropped because too many waited.
    fn dropped_total(&self, entity: usize) -> PyResult<u64> {
        Ok(self.lock().states(entity)?.1.dropped_total)
    }

    /// Notes that keys have to be written, whether or not they have changed: each key, then its
    /// journal as `restore` takes it, both behind their length as i32. Gives the number of keys.
    fn mark_journals(&self, py: Python<'_>, entity: usize, stored: &[u8]) -> PyResult<usize> {
        Ok(py.detach(|| -> Result<usize> {
            let mut job = self.lock();
            let (plan, states) = job.states(entity)?;
            let mut elements = Elements { rest: stored };
            let mut keys = 0;
            while let Some(key) = elements.next() {
                let journal = elements.next();
                let (Ok(key), Some(journal)) = (std::str::from_utf8(key), journal) else {
                    return Err(EngineError::Value(format!("key {keys} has no journal")));
                };
                states.mark_journal(&plan.entities[entity], plan, key, journal)?;
                keys += 1;
            }
            Ok(keys)
        })?)
    }

    /// Takes up to `keys_max` changed keys: the keys of their hashes, and the values of all their
    /// fields, key after key. They count as being written until `confirm` or `give_back`.
    fn take_changed<'py>(
        &self,
        py: Python<'py>,
        entity: usize,
        keys_max: usize,
    ) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
        let taken = py.detach(|| self.lock().take_changed(entity, keys_max))?;
        let keys = PyList::empty(py);
        let values = PyList::empty(py);
        for (key, record) in &taken {
            keys.append(PyBytes::new(py, key))?;
            for value in &record.0 {
                values.append(PyBytes::new(py, value))?;
            }
        }
        Ok((keys, values))
    }

    /// Says that what was taken has been written.
    fn confirm(&self, py: Python<'_>, entity: usize) -> PyResult<()> {
        Ok(py.detach(|| {
            self.lock()
                .states(entity)
                .map(|(_, states)| states.confirm())
        })?)
    }

    /// Says that what was taken has not been written.
    fn give_back(&self, py: Python<'_>, entity: usize) -> PyResult<()> {
        Ok(py.detach(|| {
            self.lock()
                .states(entity)
                .map(|(_, states)| states.give_back())
        })?)
    }

    /// Marks all live states to be written again.
    fn mark_all(&self, py: Python<'_>, entity: usize) -> PyResult<()> {
        Ok(py.detach(|| {
            self.lock()
                .states(entity)
                .map(|(_, states)| states.mark_all())
        })?)
    }
}

impl PyJob {
    /// A thread that panicked while it held the lock has left the states in an unknown condition.
    fn lock(&self) -> MutexGuard<'_, Job> {
        self.job
            .lock()
            .expect("the engine failed in another thread; its states cannot be trusted")
    }
}

/// Splits bytes into elements, each behind its length as a big-endian i32.
struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length).max(0) as usize;
        let (element, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(element)
    }
}

fn field_value(value: &Bound<'_, PyAny>) -> PyResult<FieldValue> {
    if value.is_none() {
        return Ok(FieldValue::Absent);
    }
    if let Ok(boolean) = value.cast::<PyBool>() {
        return Ok(FieldValue::Boolean(boolean.is_true()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(FieldValue::Text(text.to_cow()?.as_ref().into()));
    }
    Ok(FieldValue::Integer(value.extract()?))
}

/// The Python module.
#[pymodule]
fn weir_engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyPlan>()?;
    module.add_class::<PyState>()?;
    module.add_class::<PyJob>()?;
    module.add_class::<PyRowReader>()?;
    module.add_class::<PyMatrixForm>()?;
    module.add_class::<PyReadRows>()?;
    module.add_class::<PyDecisionForm>()?;
    module.add_class::<PyDecisions>()?;
    module.add_class::<crate::python_columns::PyRecordReader>()?;
    module.add("StateBytesError", module.py().get_type::<StateBytesError>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
