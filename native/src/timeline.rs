//! One key's events in order of time: how many, and how much, in any window.
//!
//! Goal: the cost of an event grows neither with a window's length nor with the events in it.
//!
//! * **Single events**, sorted by (time, arrival), with running sums: a window's count and sum are
//!   differences between two bisections. An event in order is appended; a late one is inserted, and
//!   the running sums of the newer events are corrected.
//! * **Tiles**, past `events_max` single events: the oldest quarter is folded, in one go, into one
//!   grid for each window. An edge that cuts such a tile is moved back to its start.
//! * **Dead events**, which no window can reach any more, are dropped when they are the majority.
//!   Until then no method sees them, so when they are dropped changes no value and no byte.

use smallvec::SmallVec;

use crate::error::{EngineError, Result};
use crate::limits::Limits;
use crate::state_bytes::{check_equal_lengths, pack_ints, StateReader};
use crate::tiles::{Run, TileGrid};
use crate::windows::{Edges, Span, NEVER_MS};

/// By position of a span, the edges that were moved because they cut a tile.
pub type Moved = SmallVec<[Option<Edges>; 8]>;

/// What a timeline holds in each of its windows.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// How many events, for each span.
    pub counts: SmallVec<[i64; 8]>,
    /// How much, for each span.
    pub totals: SmallVec<[i128; 8]>,
    /// The moved edges of the spans that touch tiles, whose values are approximate.
    pub touched: Moved,
}

impl Reading {
    /// Whether any span touches tiles.
    pub fn is_touched(&self) -> bool {
        self.touched.iter().any(Option::is_some)
    }
}

/// Count and sum of the tiles between two edges.
type Tiled = (i64, i128);

/// What is equal for all timelines of one entity.
#[derive(Debug, Clone)]
pub struct Windows {
    /// The windows that are read, all of one delay.
    pub spans: Vec<Span>,
    delay_ms: i64,
    finest: usize,
    coarsest: usize,
    tiles_per_window: i64,
    reach_max_ms: i64,
}

impl Windows {
    /// Compiles the windows of an entity; refuses none at all and different delays.
    pub fn new(spans: Vec<Span>, tiles_per_window: i64) -> Result<Self> {
        let Some(first) = spans.first() else {
            return Err(EngineError::Value(
                "a timeline needs at least one window".into(),
            ));
        };
        let delay_ms = first.delay_ms;
        if spans.iter().any(|span| span.delay_ms != delay_ms) {
            return Err(EngineError::Value(format!(
                "{spans:?}: the windows of a timeline end at the same time"
            )));
        }
        if spans
            .iter()
            .any(|span| span.window_ms < tiles_per_window || delay_ms < 0)
        {
            return Err(EngineError::Value(format!(
                "{spans:?}: windows of at least {tiles_per_window} ms and delays of at least 0"
            )));
        }
        let at = |position: usize| spans[position].window_ms;
        let mut finest = 0;
        let mut coarsest = 0;
        for position in 1..spans.len() {
            if at(position) < at(finest) {
                finest = position;
            }
            if at(position) > at(coarsest) {
                coarsest = position;
            }
        }
        let reach_max_ms = spans
            .iter()
            .map(|span| span.reach_ms() + span.window_ms / tiles_per_window)
            .max()
            .unwrap_or(0);
        Ok(Windows {
            delay_ms,
            finest,
            coarsest,
            tiles_per_window,
            reach_max_ms,
            spans,
        })
    }

    /// The width of a span's tiles, ms.
    fn tile_ms(&self, position: usize) -> i64 {
        self.spans[position].window_ms / self.tiles_per_window
    }

    /// How much older than the newest event a read may be and find a span's tiles online, ms.
    fn online_lateness_ms(&self, position: usize, lateness_ms: i64) -> i64 {
        lateness_ms.min(self.spans[position].window_ms)
    }

    /// How long a single event is reached: by the longest span and the tile at its edge.
    fn retention_ms(&self, lateness_ms: i64) -> i64 {
        lateness_ms + self.reach_max_ms
    }

    /// The number of the oldest tile that a read of a span can reach.
    fn oldest_tile(&self, position: usize, newest_ms: i64, lateness_ms: i64) -> i64 {
        let reach_ms = self.spans[position].reach_ms();
        (newest_ms - lateness_ms - reach_ms + 1).div_euclid(self.tile_ms(position))
    }
}

/// Running sums: entry i is the sum of the events before position i, plus a constant.
#[derive(Debug, Clone)]
enum Running {
    /// Events carry no value.
    None,
    /// All sums fit into 63 bits.
    Narrow(Vec<i64>),
    /// They do not.
    Wide(Vec<i128>),
}

impl Running {
    fn between(&self, low: usize, high: usize) -> i128 {
        match self {
            Running::None => 0,
            Running::Narrow(sums) => (sums[high] - sums[low]) as i128,
            Running::Wide(sums) => sums[high] - sums[low],
        }
    }

    /// Notes the event that was inserted at a position.
    fn insert(&mut self, at: usize, value: i64) {
        let overflows = match self {
            Running::Narrow(sums) => sums[sums.len() - 1].checked_add(value).is_none(),
            _ => false,
        };
        if overflows {
            self.rebase(value);
        }
        match self {
            Running::None => {}
            Running::Narrow(sums) => insert_sum(sums, at, value),
            Running::Wide(sums) => insert_sum(sums, at, value as i128),
        }
    }

    /// Subtracts the constant; where the sums still do not fit they become wide.
    fn rebase(&mut self, value: i64) {
        let Running::Narrow(sums) = self else { return };
        let base = sums[0];
        let rebased = sums.iter().map(|&sum| sum as i128 - base as i128);
        let last = sums[sums.len() - 1] as i128 - base as i128;
        if last + value as i128 <= i64::MAX as i128 {
            *self = Running::Narrow(rebased.map(|sum| sum as i64).collect());
        } else {
            *self = Running::Wide(rebased.collect());
        }
    }

    fn drop_first(&mut self, size: usize) {
        match self {
            Running::None => {}
            Running::Narrow(sums) => drop(sums.drain(..size)),
            Running::Wide(sums) => drop(sums.drain(..size)),
        }
    }

    fn value_at(&self, position: usize) -> i128 {
        self.between(position, position + 1)
    }
}

fn insert_sum<T: Copy + std::ops::AddAssign + std::ops::Add<Output = T>>(
    sums: &mut Vec<T>,
    at: usize,
    value: T,
) {
    sums.insert(at + 1, sums[at]);
    for sum in &mut sums[at + 1..] {
        *sum += value;
    }
}

/// The events of one key that its windows can still reach.
#[derive(Debug, Clone)]
pub struct Timeline {
    times_ms: Vec<i64>,
    running: Running,
    grids: Vec<TileGrid>,
    /// The latest event time that was folded into tiles.
    pub tiled_until_ms: i64,
    lateness_ms: i64,
    is_online: bool,
}

impl Timeline {
    /// An empty timeline.
    ///
    /// `has_sums`: whether events carry a value to be summed. `lateness_ms`: how much older than
    /// the newest event a read may be and still be exact. `is_online`: the tiles are those of an
    /// online form, see [`Timeline::pack`].
    pub fn new(has_sums: bool, lateness_ms: i64, is_online: bool) -> Self {
        Timeline {
            times_ms: Vec::new(),
            running: if has_sums {
                Running::Narrow(vec![0])
            } else {
                Running::None
            },
            grids: Vec::new(),
            tiled_until_ms: NEVER_MS,
            lateness_ms,
            is_online,
        }
    }

    /// How many single events and tiles it has.
    pub fn remembered(&self) -> usize {
        self.times_ms.len() + self.grids.iter().map(TileGrid::size).sum::<usize>()
    }

    /// The times of the single events, in order of (time, arrival).
    pub fn times_ms(&self) -> &[i64] {
        &self.times_ms
    }

    /// How much older than the newest event a read may be and find the tiles at its edges, ms.
    fn tiles_lateness_ms(&self, windows: &Windows) -> i64 {
        if self.is_online {
            windows.online_lateness_ms(windows.finest, self.lateness_ms)
        } else {
            self.lateness_ms
        }
    }

    /// How much older than the newest event a read may be and still be exact, ms.
    pub fn lateness_ms(&self) -> i64 {
        self.lateness_ms
    }

    /// The time up to which, itself included, events are dead.
    pub fn horizon_ms(&self, windows: &Windows, newest_ms: i64) -> i64 {
        newest_ms - windows.retention_ms(self.lateness_ms)
    }

    /// Adds an event, after those of the same time. In order O(1), amortised.
    ///
    /// `newest_ms` is the key's newest event time, this event included. Returns whether older
    /// events were dropped or folded into tiles.
    pub fn add(
        &mut self,
        windows: &Windows,
        limits: &Limits,
        time_ms: i64,
        newest_ms: i64,
        value: i64,
    ) -> bool {
        let horizon_ms = self.horizon_ms(windows, newest_ms);
        if time_ms <= horizon_ms {
            return false;
        }
        let at = match self.times_ms.last() {
            Some(&last) if time_ms < last => self.first_after(time_ms),
            _ => self.times_ms.len(),
        };
        self.times_ms.insert(at, time_ms);
        self.running.insert(at, value);
        let size = self.times_ms.len();
        if self.times_ms[size >> 1] <= horizon_ms {
            self.drop_first(self.first_after(horizon_ms));
            return true;
        }
        size > limits.events_max && self.fold_oldest(windows, limits, newest_ms)
    }

    /// Takes away one event without a value; if it is in tiles, one event of its tiles.
    pub fn remove(&mut self, windows: &Windows, time_ms: i64, newest_ms: i64) {
        if time_ms <= self.horizon_ms(windows, newest_ms) {
            return;
        }
        let at = self.first_after(time_ms);
        if at > 0 && self.times_ms[at - 1] == time_ms {
            self.times_ms.remove(at - 1);
            return;
        }
        for grid in &mut self.grids {
            let number = time_ms.div_euclid(grid.tile_ms);
            if grid.since(number).0 {
                grid.add(&[Run {
                    number,
                    size: -1,
                    total: 0,
                }]);
            }
        }
    }

    /// Reads every window as of an instant.
    ///
    /// `moved`: by position, edges to read between instead of a window's own.
    pub fn read(
        &self,
        windows: &Windows,
        as_of_ms: i64,
        newest_ms: i64,
        moved: Option<&Moved>,
    ) -> Reading {
        let until_ms = as_of_ms - windows.delay_ms;
        let easy_from_ms = self.tiled_until_ms.max(self.horizon_ms(windows, newest_ms));
        let high = match self.times_ms.last() {
            Some(&last) if until_ms < last => self.first_after(until_ms),
            _ => self.times_ms.len(),
        };
        let lacks_tiles = self.is_online && newest_ms - as_of_ms > self.tiles_lateness_ms(windows);
        let mut reading = Reading::default();
        for (position, span) in windows.spans.iter().enumerate() {
            let after_ms = until_ms - span.window_ms;
            if after_ms >= easy_from_ms && moved.is_none() {
                let low = self.times_ms[..high].partition_point(|&time_ms| time_ms <= after_ms);
                reading.counts.push((high - low) as i64);
                reading.totals.push(self.running.between(low, high));
                reading.touched.push(None);
                continue;
            }
            let given = moved.and_then(|moved| moved[position]);
            let edges = given.unwrap_or(Edges { after_ms, until_ms });
            let (edges, tiled) = self.align_and_cut(windows, position, edges, newest_ms);
            let (count, total) = self.count_between(windows, edges, tiled, newest_ms);
            reading.counts.push(count);
            reading.totals.push(total);
            // What an online form lacks may be what the window needs.
            let may_lack = lacks_tiles && edges.after_ms < self.tiled_until_ms;
            let is_touched = tiled.is_some() || may_lack;
            reading.touched.push(is_touched.then_some(edges));
        }
        reading
    }

    /// Moves the edges of a window that cut a tile with events back to that tile's start.
    ///
    /// The open edge moves on the window's own grid, the other one on the finest. Edges that have
    /// been moved stay where they are when aligned again.
    pub fn align(&self, windows: &Windows, position: usize, edges: Edges, newest_ms: i64) -> Edges {
        self.align_and_cut(windows, position, edges, newest_ms).0
    }

    /// Count and sum between aligned edges of one window.
    pub fn between(
        &self,
        windows: &Windows,
        position: usize,
        edges: Edges,
        newest_ms: i64,
    ) -> (i64, i128) {
        let (_, tiled) = self.align_and_cut(windows, position, edges, newest_ms);
        self.count_between(windows, edges, tiled, newest_ms)
    }

    /// The moved edges, and count and sum of the tiles between them; `None` if it touches none.
    fn align_and_cut(
        &self,
        windows: &Windows,
        position: usize,
        edges: Edges,
        newest_ms: i64,
    ) -> (Edges, Option<Tiled>) {
        if edges.after_ms >= self.tiled_until_ms {
            return (edges, None);
        }
        let (after_ms, mut count, mut total) =
            self.cut(windows, position, edges.after_ms, newest_ms);
        let mut until_ms = edges.until_ms;
        if until_ms < self.tiled_until_ms {
            // The finest grid reaches back far enough for reads in time, their edge moved or not;
            // for others the coarsest is what is left.
            let late_ms = newest_ms - windows.delay_ms - until_ms;
            let in_time_ms = self.tiles_lateness_ms(windows) + windows.tile_ms(windows.finest);
            let grid = if late_ms <= in_time_ms {
                windows.finest
            } else {
                windows.coarsest
            };
            let (moved_ms, later_count, later_total) = self.cut(windows, grid, until_ms, newest_ms);
            until_ms = moved_ms;
            count -= later_count;
            total -= later_total;
        }
        if count <= 0 && until_ms == edges.until_ms {
            return (edges, None);
        }
        (
            Edges { after_ms, until_ms },
            Some((count.max(0), total.max(0))),
        )
    }

    /// An edge, moved if it cuts a tile of a grid, and count and sum of what follows.
    fn cut(
        &self,
        windows: &Windows,
        position: usize,
        edge_ms: i64,
        newest_ms: i64,
    ) -> (i64, i64, i128) {
        let tile_ms = windows.tile_ms(position);
        let number = (edge_ms + 1).div_euclid(tile_ms);
        let oldest = windows.oldest_tile(position, newest_ms, self.lateness_ms);
        let (holds, count, total) = self.grids[position].since(number.max(oldest));
        (
            if holds { number * tile_ms - 1 } else { edge_ms },
            count,
            total,
        )
    }

    fn count_between(
        &self,
        windows: &Windows,
        edges: Edges,
        tiled: Option<Tiled>,
        newest_ms: i64,
    ) -> (i64, i128) {
        let low = self.first_after(edges.after_ms.max(self.horizon_ms(windows, newest_ms)));
        let high = self.first_after(edges.until_ms).max(low);
        let (count, total) = tiled.unwrap_or((0, 0));
        (
            (high - low) as i64 + count,
            self.running.between(low, high) + total,
        )
    }

    /// Writes what reads up to `lateness_ms` late can reach.
    ///
    /// Online, the tiles of a window reach back by one more window at most: at most as many tiles
    /// again as the window has.
    pub fn pack(
        &self,
        windows: &Windows,
        out: &mut Vec<u8>,
        newest_ms: i64,
        is_online: bool,
    ) -> Result<()> {
        let horizon_ms = self.horizon_ms(windows, newest_ms);
        let live = self.first_after(horizon_ms)..self.times_ms.len();
        let times_ms = self.times_ms[live.clone()].iter();
        pack_ints(out, times_ms.map(|time_ms| (newest_ms - time_ms) as i128))?;
        if !matches!(self.running, Running::None) {
            pack_ints(out, live.map(|position| self.running.value_at(position)))?;
        }
        if self.tiled_until_ms <= horizon_ms {
            return pack_ints(out, std::iter::empty());
        }
        pack_ints(
            out,
            std::iter::once((newest_ms - self.tiled_until_ms) as i128),
        )?;
        for (position, grid) in self.grids.iter().enumerate() {
            let lateness_ms = if is_online {
                windows.online_lateness_ms(position, self.lateness_ms)
            } else {
                self.lateness_ms
            };
            let first = windows.oldest_tile(position, newest_ms, lateness_ms);
            grid.pack(out, first, newest_ms.div_euclid(grid.tile_ms))?;
        }
        Ok(())
    }

    /// Reads what [`Timeline::pack`] wrote into this empty timeline.
    pub fn unpack(
        &mut self,
        windows: &Windows,
        reader: &mut StateReader<'_>,
        newest_ms: i64,
    ) -> Result<()> {
        self.times_ms = reader
            .narrow_ints()?
            .into_iter()
            .map(|back| newest_ms - back)
            .collect();
        if !matches!(self.running, Running::None) {
            let values = reader.ints()?;
            check_equal_lengths(self.times_ms.len(), values.len())?;
            self.running = running_of(&values);
        }
        let tiled_backs_ms = reader.narrow_ints()?;
        if let Some(back_ms) = tiled_backs_ms.first() {
            self.tiled_until_ms = newest_ms - back_ms;
            self.grids = new_grids(windows);
            for grid in &mut self.grids {
                let newest = newest_ms.div_euclid(grid.tile_ms);
                grid.unpack(reader, newest)?;
            }
        }
        Ok(())
    }

    fn first_after(&self, time_ms: i64) -> usize {
        self.times_ms
            .partition_point(|&known_ms| known_ms <= time_ms)
    }

    fn drop_first(&mut self, size: usize) {
        self.times_ms.drain(..size);
        self.running.drop_first(size);
    }

    /// Folds the oldest quarter into tiles, if that many events are not dead.
    fn fold_oldest(&mut self, windows: &Windows, limits: &Limits, newest_ms: i64) -> bool {
        let start = self.first_after(self.horizon_ms(windows, newest_ms));
        if self.times_ms.len() - start <= limits.events_max {
            return false;
        }
        let end = start + limits.events_max / 4;
        if self.grids.is_empty() {
            self.grids = new_grids(windows);
        }
        for position in 0..self.grids.len() {
            let oldest = windows.oldest_tile(position, newest_ms, self.lateness_ms);
            let oldest_ms = oldest * self.grids[position].tile_ms;
            let first = self
                .times_ms
                .partition_point(|&time_ms| time_ms < oldest_ms);
            let runs = self.runs(self.grids[position].tile_ms, first.max(start), end);
            self.grids[position].drop_before(oldest);
            self.grids[position].add(&runs);
        }
        self.tiled_until_ms = self.tiled_until_ms.max(self.times_ms[end - 1]);
        self.drop_first(end);
        true
    }

    /// The events at positions from start to end as runs of tiles.
    fn runs(&self, tile_ms: i64, mut start: usize, end: usize) -> Vec<Run> {
        let mut runs = Vec::new();
        while start < end {
            let number = self.times_ms[start].div_euclid(tile_ms);
            let next_ms = (number + 1) * tile_ms;
            let stop =
                start + self.times_ms[start..end].partition_point(|&time_ms| time_ms < next_ms);
            let total = self.running.between(start, stop);
            runs.push(Run {
                number,
                size: (stop - start) as i64,
                total,
            });
            start = stop;
        }
        runs
    }
}

fn new_grids(windows: &Windows) -> Vec<TileGrid> {
    (0..windows.spans.len())
        .map(|position| TileGrid::new(windows.tile_ms(position)))
        .collect()
}

fn running_of(values: &[i128]) -> Running {
    let mut sums = Vec::with_capacity(values.len() + 1);
    let mut sum = 0i128;
    sums.push(sum);
    for value in values {
        sum += value;
        sums.push(sum);
    }
    if sum > i64::MAX as i128 {
        Running::Wide(sums)
    } else {
        Running::Narrow(sums.into_iter().map(|sum| sum as i64).collect())
    }
}
