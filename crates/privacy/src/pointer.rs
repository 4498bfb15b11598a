//! JSON pointers (RFC 6901), in which `*` stands for every item of a list.

/// A pointer, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer(pub(crate) Vec<Token>);

/// One step of a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A member of an object, or an item of a list by its number.
    Name(String),
    /// Every item of a list.
    EveryItem,
}

/// The text is no pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no JSON pointer like /customer/name or /instances/*/email")]
pub(crate) struct BadPointer(String);

/// Longest pointer, steps.
const STEPS_MAX: usize = 32;

impl Pointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// When it does not begin with `/`, or holds a `~` that stands for nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, BadPointer> {
        let bad = || BadPointer(text.to_owned());
        let steps = text.strip_prefix('/').ok_or_else(bad)?.split('/');
        let tokens = steps.map(|step| match step {
            "*" => Some(Token::EveryItem),
            step => unescaped(step).map(Token::Name),
        });
        let tokens: Vec<Token> = tokens.collect::<Option<_>>().ok_or_else(bad)?;
        if tokens.len() > STEPS_MAX { Err(bad()) } else { Ok(Self(tokens)) }
    }
}

fn unescaped(step: &str) -> Option<String> {
    let mut text = String::with_capacity(step.len());
    let mut characters = step.chars();
    while let Some(character) = characters.next() {
        match character {
            '~' => text.push(match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            }),
            character => text.push(character),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_as_the_standard_has_them() {
        let name = |text: &str| Token::Name(text.to_owned());
        assert_eq!(Pointer::parse("/a/0/b~1c~0d").unwrap().0, [name("a"), name("0"), name("b/c~d")]);
        assert_eq!(Pointer::parse("/instances/*/email").unwrap().0[1], Token::EveryItem);
        assert_eq!(Pointer::parse("/").unwrap().0, [name("")]);
        for bad in ["", "a", "a/b", "/~2", "/~"] {
            assert!(Pointer::parse(bad).is_err(), "{bad}");
        }
        assert!(Pointer::parse(&"/a".repeat(33)).is_err());
    }
}
