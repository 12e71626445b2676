//! One grid of tiles: what the oldest events of a hot key are folded into, for one window.
//!
//! A tile is the count and the sum of the events in `[n * tile_ms, (n + 1) * tile_ms)` on an
//! absolute grid. Tiles are kept as running totals, so any tail of tiles is two differences.

use crate::error::Result;
use crate::state_bytes::{check_equal_lengths, pack_ints, StateReader};

/// Events of one tile; a negative size takes events away.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Number of the tile.
    pub number: i64,
    /// How many events.
    pub size: i64,
    /// Their sum.
    pub total: i128,
}

/// The tiles of one window that hold events, in order of time.
#[derive(Debug, Clone)]
pub struct TileGrid {
    /// Width of a tile, ms.
    pub tile_ms: i64,
    numbers: Vec<i64>,
    sizes: Vec<i64>,
    totals: Vec<i128>,
}

impl TileGrid {
    /// An empty grid.
    pub fn new(tile_ms: i64) -> Self {
        TileGrid {
            tile_ms,
            numbers: Vec::new(),
            sizes: vec![0],
            totals: vec![0],
        }
    }

    /// Adds events to tiles. O(runs + tiles newer than the oldest run).
    ///
    /// `runs` are in order of their numbers, each number once.
    pub fn add(&mut self, runs: &[Run]) {
        let Some(first) = runs.first() else { return };
        let at = self
            .numbers
            .partition_point(|&number| number < first.number);
        let known: Vec<Run> = (at..self.numbers.len())
            .map(|position| self.tile(position))
            .collect();
        self.numbers.truncate(at);
        self.sizes.truncate(at + 1);
        self.totals.truncate(at + 1);
        let (mut left, mut right) = (
            known.into_iter().peekable(),
            runs.iter().copied().peekable(),
        );
        loop {
            let run = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => left.next(),
                (None, Some(_)) => right.next(),
                (Some(ours), Some(new)) if ours.number < new.number => left.next(),
                (Some(ours), Some(new)) if ours.number > new.number => right.next(),
                _ => left.next().zip(right.next()).map(|(ours, new)| Run {
                    number: ours.number,
                    size: ours.size + new.size,
                    total: ours.total + new.total,
                }),
            };
            if let Some(run) = run {
                self.push(run);
            }
        }
    }

    /// How many tiles hold events.
    pub fn size(&self) -> usize {
        self.numbers.len()
    }

    /// Whether the tile itself holds events; how many it and all that follow hold; their sum.
    pub fn since(&self, number: i64) -> (bool, i64, i128) {
        let at = self.numbers.partition_point(|&known| known < number);
        let holds = self.numbers.get(at) == Some(&number);
        let last = self.sizes.len() - 1;
        (
            holds,
            self.sizes[last] - self.sizes[at],
            self.totals[last] - self.totals[at],
        )
    }

    /// Forgets the tiles before this one.
    pub fn drop_before(&mut self, number: i64) {
        let at = self.numbers.partition_point(|&known| known < number);
        self.numbers.drain(..at);
        self.sizes.drain(..at);
        self.totals.drain(..at);
    }

    /// Writes the tiles from `first` on, numbered backwards from `newest`.
    pub fn pack(&self, out: &mut Vec<u8>, first: i64, newest: i64) -> Result<()> {
        let at = self.numbers.partition_point(|&known| known < first);
        let tiles = at..self.numbers.len();
        pack_ints(
            out,
            tiles
                .clone()
                .map(|position| (newest - self.numbers[position]) as i128),
        )?;
        pack_ints(
            out,
            tiles
                .clone()
                .map(|position| self.tile(position).size as i128),
        )?;
        pack_ints(out, tiles.map(|position| self.tile(position).total))
    }

    /// Reads what [`TileGrid::pack`] wrote into this empty grid.
    pub fn unpack(&mut self, reader: &mut StateReader<'_>, newest: i64) -> Result<()> {
        let (backs, sizes, totals) = (reader.narrow_ints()?, reader.narrow_ints()?, reader.ints()?);
        check_equal_lengths(backs.len(), sizes.len())?;
        check_equal_lengths(backs.len(), totals.len())?;
        for ((back, size), total) in backs.into_iter().zip(sizes).zip(totals) {
            self.push(Run {
                number: newest - back,
                size,
                total,
            });
        }
        Ok(())
    }

    fn push(&mut self, run: Run) {
        if run.size == 0 {
            return;
        }
        let last = self.sizes.len() - 1;
        self.numbers.push(run.number);
        self.sizes.push(self.sizes[last] + run.size);
        self.totals.push(self.totals[last] + run.total);
    }

    fn tile(&self, position: usize) -> Run {
        Run {
            number: self.numbers[position],
            size: self.sizes[position + 1] - self.sizes[position],
            total: self.totals[position + 1] - self.totals[position],
        }
    }
}
