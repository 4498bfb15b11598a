//! Reading JSON without building it: where values begin and end, and what members are called.
//!
//! Invariant: what it takes for one value, every reader of JSON takes for one value; what is no JSON is an error.

use std::borrow::Cow;

use crate::failed::Failed;
use crate::json::DEPTH_MAX;

/// A place in a text.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn since(&self, start: usize) -> &'t str {
        &self.text[start..self.at]
    }

    pub(crate) fn between(&self, start: usize, end: usize) -> &'t str {
        &self.text[start..end]
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The first byte of the next value.
    pub(crate) fn peek(&mut self) -> Result<u8, Failed> {
        self.space();
        self.byte().ok_or(Failed::NotJson("it ends too soon"))
    }

    /// Nothing but space is left.
    pub(crate) fn end(&mut self) -> Result<(), Failed> {
        self.space();
        if self.byte().is_none() { Ok(()) } else { Err(Failed::NotJson("something stands behind its end")) }
    }

    fn take(&mut self, expected: u8) -> Result<(), Failed> {
        if self.peek()? != expected {
            return Err(Failed::NotJson("a comma, colon or bracket is not where it must be"));
        }
        self.at += 1;
        Ok(())
    }

    /// Enters a list or object; whether there is anything in it.
    pub(crate) fn open(&mut self, open: u8, close: u8) -> Result<bool, Failed> {
        self.take(open)?;
        let empty = self.peek()? == close;
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Passes what stands behind an item or member; whether another one follows.
    pub(crate) fn more(&mut self, close: u8) -> Result<bool, Failed> {
        match self.peek()? {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(Failed::NotJson("a comma or bracket is not where it must be")),
        }
    }

    /// Passes the name of a member and its colon.
    pub(crate) fn name(&mut self) -> Result<Cow<'t, str>, Failed> {
        if self.peek()? != b'"' {
            return Err(Failed::NotJson("the name of a member is no string"));
        }
        let start = self.at;
        self.string()?;
        let name = Self::unescaped(self.since(start))?;
        self.take(b':')?;
        Ok(name)
    }

    /// The text of a string in its quotes.
    pub(crate) fn unescaped(raw: &str) -> Result<Cow<'_, str>, Failed> {
        let inner = &raw[1..raw.len() - 1];
        if !inner.contains('\\') {
            return Ok(inner.into());
        }
        serde_json::from_str(raw).map(Cow::Owned).map_err(|_| Failed::NotJson("a string is not well formed"))
    }

    fn string(&mut self) -> Result<(), Failed> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(Failed::NotJson("a string is not closed")),
            }
        }
    }

    /// Passes a value, whatever it is.
    pub(crate) fn skip(&mut self, depth: usize) -> Result<(), Failed> {
        if depth > DEPTH_MAX {
            return Err(Failed::NotJson("it is nested too deeply"));
        }
        match self.peek()? {
            b'"' => self.string(),
            b'{' => {
                let mut more = self.open(b'{', b'}')?;
                while more {
                    self.name()?;
                    self.skip(depth + 1)?;
                    more = self.more(b'}')?;
                }
                Ok(())
            }
            b'[' => {
                let mut more = self.open(b'[', b']')?;
                while more {
                    self.skip(depth + 1)?;
                    more = self.more(b']')?;
                }
                Ok(())
            }
            _ => self.word(),
        }
    }

    /// A number, or one of the words.
    fn word(&mut self) -> Result<(), Failed> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')) {
            self.at += 1;
        }
        // Python's own writer sends the last three; that they are no JSON makes them no secret.
        let known = ["true", "false", "null", "NaN", "Infinity", "-Infinity"];
        let word = self.since(start);
        let is_number = word.strip_prefix('-').unwrap_or(word).starts_with(|first: char| first.is_ascii_digit())
            && word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
        if is_number || known.contains(&word) { Ok(()) } else { Err(Failed::NotJson("a value is none")) }
    }

    /// Whether the object that begins here has such a member.
    pub(crate) fn has_member(&self, depth: usize, wanted: impl Fn(&str) -> bool) -> Result<bool, Failed> {
        Ok(self.find(depth, wanted)?.is_some())
    }

    /// The value of a member of the object that begins here; the last one, as readers take it.
    pub(crate) fn member(&self, depth: usize, wanted: &str) -> Result<Option<&'t str>, Failed> {
        self.find(depth, |name| name == wanted)
    }

    fn find(&self, depth: usize, wanted: impl Fn(&str) -> bool) -> Result<Option<&'t str>, Failed> {
        let mut ahead = self.clone();
        let mut found = None;
        let mut more = ahead.open(b'{', b'}')?;
        while more {
            let name = ahead.name()?;
            ahead.peek()?;
            let start = ahead.at;
            ahead.skip(depth + 1)?;
            if wanted(&name) {
                found = Some(ahead.since(start));
            }
            more = ahead.more(b'}')?;
        }
        Ok(found)
    }

    /// Whether the list that begins here holds neither lists nor objects.
    pub(crate) fn is_flat(&self, depth: usize) -> Result<bool, Failed> {
        let mut ahead = self.clone();
        let mut more = ahead.open(b'[', b']')?;
        while more {
            if matches!(ahead.peek()?, b'[' | b'{') {
                return Ok(false);
            }
            ahead.skip(depth + 1)?;
            more = ahead.more(b']')?;
        }
        Ok(true)
    }
}
