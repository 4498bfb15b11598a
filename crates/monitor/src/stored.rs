//! Bytes of what is kept: little endian, counts before lists, doubles as their bits.
//!
//! Invariant: what is read is what was written, bit for bit; of anything else reading says nothing. Refuses to: reserve room
//! for more than is there.

/// Rows that are counted: sums of what is read do not overflow.
pub(crate) const MAX_ROWS: u64 = 1 << 53;

/// Writes.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn number(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn count(&mut self, value: usize) {
        self.number(value as u64);
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.0.push(value.into());
    }

    pub(crate) fn double(&mut self, value: f64) {
        self.number(value.to_bits());
    }

    pub(crate) fn doubles(&mut self, values: &[f64]) {
        self.count(values.len());
        values.iter().for_each(|value| self.double(*value));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Reads; nothing where the bytes end or are not what was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'a>(pub(crate) &'a [u8]);

impl<'a> Written<'a> {
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A count of rows, which nobody has more of.
    pub(crate) fn rows(&mut self) -> Option<u64> {
        self.number().filter(|&rows| rows <= MAX_ROWS)
    }

    /// A count of things that take this many bytes each at the least.
    pub(crate) fn count(&mut self, bytes_each: usize) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count.checked_mul(bytes_each)? <= self.0.len()).then_some(count)
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        match self.take(1)? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    pub(crate) fn double(&mut self) -> Option<f64> {
        self.number().map(f64::from_bits)
    }

    pub(crate) fn doubles(&mut self) -> Option<Vec<f64>> {
        let count = self.count(8)?;
        let bytes = self.take(count * 8)?.chunks_exact(8);
        Some(bytes.map(|bytes| f64::from_le_bytes(bytes.try_into().expect("our bug: chunks of eight"))).collect())
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.count(1)?;
        self.take(count)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    pub(crate) fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    /// A list of things that take this many bytes each at the least.
    pub(crate) fn list<T>(&mut self, bytes_each: usize, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.count(bytes_each)?).map(|_| read(self)).collect()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}
