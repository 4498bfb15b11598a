//! What a pickle would make, as a picture: values that refer to each other by number.

use std::borrow::Cow;

/// A value's place in the picture.
pub(super) type Id = u32;

/// Longest text of a description.
const DESCRIBED_CHARS: usize = 60;

/// One value. Payloads stay where they are in the file.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// `None`, and what does not matter here: sets, extensions, persistent ids.
    Opaque,
    Number(f64),
    Text(&'a str),
    /// Text in which `\u1234` stands for a character and any other byte for itself.
    Escaped(&'a [u8]),
    Bytes(&'a [u8]),
    /// A name that Python would import.
    Global(&'a str, &'a str),
    /// A list or a tuple.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// What a call would make: nothing is called.
    Object {
        callable: Id,
        arguments: Id,
        state: Option<Id>,
    },
}

/// All values, and the one that the pickle ends with.
#[derive(Debug)]
pub(super) struct Picture<'a> {
    pub(super) values: Vec<Value<'a>>,
    pub(super) root: Id,
}

impl<'a> Picture<'a> {
    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn value(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }

    pub(super) fn list(&self, id: Id) -> Option<&[Id]> {
        if let Value::List(items) = self.value(id) { Some(items) } else { None }
    }

    pub(super) fn global(&self, id: Id) -> Option<(&'a str, &'a str)> {
        if let Value::Global(module, name) = self.value(id) { Some((module, name)) } else { None }
    }

    /// Text, also where Python 2 wrote it as bytes.
    pub(super) fn text_of(&self, id: Id) -> Option<Cow<'a, str>> {
        match self.value(id) {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Value::Escaped(text) => unescaped(text).map(Cow::Owned),
            _ => None,
        }
    }

    /// Module and name of an object's class: what is called, or where a helper is called, its first argument.
    pub(super) fn class_of(&self, id: Id) -> Option<(&'a str, &'a str)> {
        let Value::Object { callable, arguments, .. } = self.value(id) else { return None };
        match self.global(*callable)? {
            ("copy_reg" | "copyreg", "_reconstructor" | "__newobj__" | "__newobj_ex__") => {
                self.global(*self.list(*arguments)?.first()?)
            }
            class => Some(class),
        }
    }

    /// An attribute of an object, out of its state: a dictionary, or a pair of dictionaries.
    pub(super) fn state_of(&self, object: Id, key: &str) -> Option<Id> {
        let Value::Object { state: Some(state), .. } = self.value(object) else { return None };
        match self.value(*state) {
            Value::List(parts) => parts.iter().find_map(|part| self.entry(*part, key)),
            _ => self.entry(*state, key),
        }
    }

    /// The last entry of that name, as in Python.
    fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let Value::Dict(entries) = self.value(dict) else { return None };
        let is_key = |id: Id| match self.value(id) {
            Value::Text(text) => *text == key,
            Value::Bytes(text) | Value::Escaped(text) => *text == key.as_bytes(),
            _ => false,
        };
        entries.iter().rev().find(|(name, _)| is_key(*name)).map(|(_, value)| *value)
    }

    /// What a value is, for an error.
    pub(super) fn describe(&self, id: Id) -> String {
        let class = self.class_of(id).or_else(|| self.global(id));
        match (class, self.value(id)) {
            (Some((module, name)), _) => format!("{module}.{name}").chars().take(DESCRIBED_CHARS).collect(),
            (None, Value::List(_)) => "a list".into(),
            (None, Value::Dict(_)) => "a dictionary".into(),
            (None, Value::Text(_) | Value::Escaped(_) | Value::Bytes(_)) => "text".into(),
            (None, Value::Number(_)) => "a number".into(),
            _ => "something".into(),
        }
    }
}

fn unescaped(text: &[u8]) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digits = match after {
            [b'u', after @ ..] if *first == b'\\' => after.get(..4),
            [b'U', after @ ..] if *first == b'\\' => after.get(..8),
            _ => {
                plain.push(char::from(*first));
                rest = after;
                continue;
            }
        }?;
        let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        plain.push(char::from_u32(code)?);
        rest = &after[1 + digits.len()..];
    }
    Some(plain)
}
