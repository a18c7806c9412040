//! Which rows each step trains on.
//! Law: the rows of a step follow from the seed alone; drawing them allocates nothing.

use crate::data::{Dataset, Values};
use crate::shuffle::{choose, shuffle};
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::Groups;

/// The batches of a run.
pub enum Batches {
    /// All rows, in an order of their own in each epoch.
    Shuffled(Shuffled),
    /// So many rows of each of some groups.
    Grouped(Grouped),
}

impl Batches {
    /// The next batch's rows.
    pub fn next(&mut self) -> &[u32] {
        match self {
            Batches::Shuffled(b) => b.next(),
            Batches::Grouped(b) => b.next(),
        }
    }
}

/// Rows and order of batches that go through all rows.
pub struct Shuffled {
    rows: Vec<u32>,
    size: usize,
    seed: u64,
    at: usize,
    /// The epoch, those before among them, which had orders of their own.
    epoch: u64,
}

impl Shuffled {
    /// Batches of `size` of these rows, after so many epochs.
    pub fn new(rows: &[u32], size: usize, seed: u64, first: u64) -> Shuffled {
        Shuffled { rows: rows.to_vec(), size, seed, at: 0, epoch: first }
    }

    /// The next batch's rows; each epoch has its own order. The last batch of an epoch may be shorter.
    fn next(&mut self) -> &[u32] {
        if self.at >= self.rows.len() {
            self.at = 0;
            self.epoch += 1;
        }
        if self.at == 0 && self.size < self.rows.len() {
            self.rows.sort_unstable();
            shuffle(&mut self.rows, self.seed, self.epoch);
        }
        let end = (self.at + self.size).min(self.rows.len());
        let batch = &self.rows[self.at..end];
        self.at = end;
        batch
    }
}

/// Batches of different groups, of each of them different rows.
pub struct Grouped {
    /// The rows of each group that has enough.
    groups: Vec<Vec<u32>>,
    order: Vec<u32>,
    count: usize,
    each: usize,
    seed: u64,
    /// Batches drawn, those of stages before among them.
    drawn: u64,
    batch: Vec<u32>,
}

/// The way out where there are not enough rows.
pub const FEWER: &str = "draw fewer groups, or fewer rows of each";

/// Sets the streams of the groups apart: the golden ratio, so that neighbours differ in many bits.
const GROUP_SEED: u64 = 0x9E37_79B9_7F4A_7C15;

impl Grouped {
    /// `count` groups of rows with equal values of a field; `first` batches were drawn before.
    ///
    /// # Errors
    /// Too few groups have so many rows.
    pub fn new(
        data: &Dataset,
        rows: &[u32],
        groups: &Groups,
        count: usize,
        (seed, first): (u64, u64),
    ) -> Result<Grouped, Diagnostic> {
        let (column, each) = (&data.columns[groups.field], groups.rows as usize);
        let Values::I32(values) = &column.values else { unreachable!("groups are indices") };
        let most = rows.iter().map(|r| values[*r as usize]).max().unwrap_or(0);
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); most as usize + 1];
        rows.iter().for_each(|r| members[values[*r as usize] as usize].push(*r));
        members.retain(|m| m.len() >= each);
        if members.len() < count {
            let message = format!(
                "a batch of {count} groups of {each} rows is larger than the training data: {} values of `{}` have so many",
                members.len(),
                column.name
            );
            return Err(Diagnostic::error(Code::G0506, None, message).hint(FEWER));
        }
        let order = (0..members.len() as u32).collect();
        let batch = Vec::with_capacity(count * each);
        Ok(Grouped { groups: members, order, count, each, seed, drawn: first, batch })
    }

    fn next(&mut self) -> &[u32] {
        self.order.sort_unstable();
        choose(&mut self.order, self.count, self.seed, self.drawn);
        self.batch.clear();
        for group in &self.order[..self.count] {
            let rows = &mut self.groups[*group as usize];
            rows.sort_unstable();
            choose(rows, self.each, self.seed ^ GROUP_SEED.wrapping_mul(u64::from(*group) + 1), self.drawn);
            self.batch.extend_from_slice(&rows[..self.each]);
        }
        self.drawn += 1;
        &self.batch
    }
}

/// Other batches of the size of the step's, in an order of their own; a batch may span two epochs of it.
pub struct Fresh {
    /// Where the rows come from.
    pub batches: Batches,
    /// Room for a batch.
    pub rows: Vec<u32>,
}

/// Sets the order of fresh batches apart from that of the steps' own.
pub const FRESH_SEED: u64 = 0xF5E5_4B47_C4A1_6D09;

impl Fresh {
    /// The next `count` rows.
    pub fn next(&mut self, count: usize) -> &[u32] {
        self.rows.clear();
        while self.rows.len() < count {
            let more = self.batches.next();
            let wanted = (count - self.rows.len()).min(more.len());
            self.rows.extend_from_slice(&more[..wanted]);
        }
        &self.rows
    }
}
