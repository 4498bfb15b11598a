//! Runs the steps of a pickle (protocols 0 to 5) into a picture. Steps that would import, call or instantiate something
//! only note what they would have done it to.
//!
//! Invariant: every step takes at least one byte and adds at most one value, and the number of steps is limited; nothing
//! recurses. So any input ends, within [`MAX_STEPS`] times a few dozen bytes.

use std::collections::HashMap;

use super::PickleError;
use super::value::{Id, Picture, Value};

/// Most steps. A booster takes a few hundred, and two for each name of a feature.
pub(super) const MAX_STEPS: usize = 1 << 20;

/// Runs a pickle to its end; what follows the end is not looked at, as in Python.
pub(super) fn run(bytes: &[u8]) -> Result<Picture<'_>, PickleError> {
    let mut machine =
        Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    for _ in 0..MAX_STEPS {
        if let Some(root) = machine.step()? {
            return Ok(Picture { values: machine.values, root });
        }
    }
    Err(PickleError::TooLong { limit: MAX_STEPS })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// One step; the value that the pickle makes when it was the last one.
    fn step(&mut self) -> Result<Option<Id>, PickleError> {
        let [step] = self.array()?;
        match step {
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' | b'1' | b'2' => self.shuffle(step)?,
            b'c' | b'i' | b'o' | b'R' | b'b' | 0x81 | 0x92 | 0x93 => self.object(step)?,
            b']' | b'l' | b't' | b')' | 0x85..=0x87 | b'}' | b'd' | 0x8f | 0x91 => self.collection(step)?,
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(step)?,
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.memorise(step)?,
            0x80 => drop(self.take(1)?),
            0x95 => self.frame()?,
            // Buffers out of band and persistent ids stand outside the file.
            0x97 | 0x82..=0x84 | b'P' | b'Q' => self.outside(step)?,
            0x98 => {}
            _ => {
                let value = self.scalar(step)?;
                self.push(value);
            }
        }
        Ok(None)
    }

    fn scalar(&mut self, step: u8) -> Result<Value<'a>, PickleError> {
        let value = match step {
            b'N' => Value::Opaque,
            0x88 => Value::Number(1.0),
            0x89 => Value::Number(0.0),
            b'K' => Value::Number(f64::from(u8::from_le_bytes(self.array()?))),
            b'M' => Value::Number(f64::from(u16::from_le_bytes(self.array()?))),
            b'J' => Value::Number(f64::from(i32::from_le_bytes(self.array()?))),
            b'G' => Value::Number(f64::from_be_bytes(self.array()?)),
            b'F' | b'I' | b'L' => self.line_number()?,
            // Whole numbers beyond 32 bits say nothing about a booster.
            0x8a => self.sized::<1>().map(|_| Value::Opaque)?,
            0x8b => self.sized::<4>().map(|_| Value::Opaque)?,
            b'S' => self.quoted()?,
            b'V' => Value::Escaped(self.line()?),
            b'X' => self.text::<4>()?,
            0x8c => self.text::<1>()?,
            0x8d => self.text::<8>()?,
            b'C' | b'U' => Value::Bytes(self.sized::<1>()?),
            b'B' | b'T' => Value::Bytes(self.sized::<4>()?),
            0x8e | 0x96 => Value::Bytes(self.sized::<8>()?),
            _ => return Err(self.broken("there is no such step")),
        };
        Ok(value)
    }

    fn shuffle(&mut self, step: u8) -> Result<(), PickleError> {
        match step {
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            _ => self.stack.push(self.top()?),
        }
        Ok(())
    }

    fn object(&mut self, step: u8) -> Result<(), PickleError> {
        let (callable, arguments) = match step {
            b'c' => {
                let global = Value::Global(self.line_text()?, self.line_text()?);
                self.push(global);
                return Ok(());
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let global = match (&self.values[module as usize], &self.values[name as usize]) {
                    (Value::Text(module), Value::Text(name)) => Value::Global(module, name),
                    _ => Value::Opaque,
                };
                self.push(global);
                return Ok(());
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                if let Value::Object { state: held, .. } = &mut self.values[object as usize] {
                    *held = Some(state);
                }
                return Ok(());
            }
            b'i' => {
                let global = Value::Global(self.line_text()?, self.line_text()?);
                let items = self.pop_to_mark()?;
                (self.add(global), self.add(Value::List(items)))
            }
            b'o' => {
                let mut items = self.pop_to_mark()?;
                if items.is_empty() {
                    return Err(self.broken("an object without a class"));
                }
                (items.remove(0), self.add(Value::List(items)))
            }
            _ => {
                if step == 0x92 {
                    self.pop()?;
                }
                let arguments = self.pop()?;
                (self.pop()?, arguments)
            }
        };
        self.push(Value::Object { callable, arguments, state: None });
        Ok(())
    }

    fn collection(&mut self, step: u8) -> Result<(), PickleError> {
        let value = match step {
            b']' | b')' => Value::List(Vec::new()),
            b'l' | b't' => Value::List(self.pop_to_mark()?),
            0x85..=0x87 => Value::List(self.pop_many(usize::from(step - 0x84))?),
            b'}' => Value::Dict(Vec::new()),
            b'd' => Value::Dict(pairs(&self.pop_to_mark()?)),
            0x8f => Value::Opaque,
            _ => {
                self.pop_to_mark()?;
                Value::Opaque
            }
        };
        self.push(value);
        Ok(())
    }

    fn fill(&mut self, step: u8) -> Result<(), PickleError> {
        let items = match step {
            b'a' => self.pop_many(1)?,
            b's' => self.pop_many(2)?,
            _ => self.pop_to_mark()?,
        };
        let target = self.top()?;
        match (&mut self.values[target as usize], step) {
            (Value::List(list), b'a' | b'e') => list.extend(items),
            (Value::Dict(entries), b's' | b'u') => entries.extend(pairs(&items)),
            // Subclasses and sets.
            _ => {}
        }
        Ok(())
    }

    fn memorise(&mut self, step: u8) -> Result<(), PickleError> {
        let key = match step {
            0x94 => u32::try_from(self.memo.len()).map_err(|_| self.broken("the memo is full"))?,
            b'q' | b'h' => u32::from(u8::from_le_bytes(self.array()?)),
            b'r' | b'j' => u32::from_le_bytes(self.array()?),
            _ => self.line_text()?.trim().parse().map_err(|_| self.broken("a memo without a number"))?,
        };
        if matches!(step, b'g' | b'h' | b'j') {
            let id = *self.memo.get(&key).ok_or_else(|| self.broken("nothing was memorised there"))?;
            self.stack.push(id);
        } else {
            let id = self.top()?;
            self.memo.insert(key, id);
        }
        Ok(())
    }

    fn frame(&mut self) -> Result<(), PickleError> {
        let length = u64::from_le_bytes(self.array()?);
        if length > (self.bytes.len() - self.at) as u64 {
            Err(self.broken("a frame is longer than the file"))
        } else {
            Ok(())
        }
    }

    fn outside(&mut self, step: u8) -> Result<(), PickleError> {
        match step {
            b'Q' => drop(self.pop()?),
            b'P' => drop(self.line()?),
            0x82..=0x84 => drop(self.take(1 << (step - 0x82))?),
            _ => {}
        }
        self.push(Value::Opaque);
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) {
        let id = self.add(value);
        self.stack.push(id);
    }

    fn add(&mut self, value: Value<'a>) -> Id {
        self.values.push(value);
        Id::try_from(self.values.len() - 1).expect("our bug: more values than two for each step")
    }

    /// What lies above the last mark is all that may be taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn top(&self) -> Result<Id, PickleError> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or_else(|| self.broken("the stack is empty"))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, PickleError> {
        let from = self.stack.len().checked_sub(count).filter(|from| *from >= self.floor());
        let from = from.ok_or_else(|| self.broken("the stack is empty"))?;
        Ok(self.stack.split_off(from))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop().ok_or_else(|| self.broken("there is no mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn broken(&self, what: &'static str) -> PickleError {
        PickleError::Broken { at: self.at, what }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.broken("the file ends too early"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// Bytes behind their length of `N` bytes.
    fn sized<const N: usize>(&mut self) -> Result<&'a [u8], PickleError> {
        let mut length = [0; 8];
        length[..N].copy_from_slice(self.take(N)?);
        let length = usize::try_from(u64::from_le_bytes(length)).map_err(|_| self.broken("a length is too large"))?;
        self.take(length)
    }

    fn text<const N: usize>(&mut self) -> Result<Value<'a>, PickleError> {
        // Lone surrogates are no UTF-8, and no name of anything here.
        let bytes = self.sized::<N>()?;
        Ok(std::str::from_utf8(bytes).map_or(Value::Opaque, Value::Text))
    }

    fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        let length = memchr::memchr(b'\n', rest).ok_or_else(|| self.broken("a line without an end"))?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    fn line_text(&mut self) -> Result<&'a str, PickleError> {
        let line = self.line()?;
        std::str::from_utf8(line).map_err(|_| self.broken("a name that is not UTF-8"))
    }

    fn line_number(&mut self) -> Result<Value<'a>, PickleError> {
        let text = self.line_text()?.trim().trim_end_matches('L');
        Ok(text.parse().map_or(Value::Opaque, Value::Number))
    }

    /// Text of Python 2 between quotes. Nothing that is looked up here has escapes.
    fn quoted(&mut self) -> Result<Value<'a>, PickleError> {
        let line = self.line()?;
        let inside = match line {
            [b'\'', inside @ .., b'\''] | [b'"', inside @ .., b'"'] => inside,
            _ => return Err(self.broken("text without quotes")),
        };
        Ok(if inside.contains(&b'\\') { Value::Opaque } else { Value::Bytes(inside) })
    }
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}
