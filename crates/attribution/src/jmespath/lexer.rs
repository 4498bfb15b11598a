//! An expression's text as tokens.

use serde_json::Value;

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    QuotedName(String),
    Number(i64),
    Literal(Value),
    Dot,
    Star,
    Comma,
    Colon,
    At,
    Reference,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Filter,
    Flatten,
    Pipe,
    Or,
    And,
    Not,
    Compare(Comparison),
    End,
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Operators, longer ones before those that they begin with.
const OPERATORS: [(&str, Token); 25] = [
    ("[?", Token::Filter),
    ("[]", Token::Flatten),
    ("||", Token::Or),
    ("&&", Token::And),
    ("==", Token::Compare(Comparison::Equal)),
    ("!=", Token::Compare(Comparison::NotEqual)),
    ("<=", Token::Compare(Comparison::LessOrEqual)),
    (">=", Token::Compare(Comparison::GreaterOrEqual)),
    ("<", Token::Compare(Comparison::Less)),
    (">", Token::Compare(Comparison::Greater)),
    ("!", Token::Not),
    ("|", Token::Pipe),
    ("&", Token::Reference),
    (".", Token::Dot),
    ("*", Token::Star),
    (",", Token::Comma),
    (":", Token::Colon),
    ("@", Token::At),
    ("(", Token::LeftParen),
    (")", Token::RightParen),
    ("{", Token::LeftBrace),
    ("}", Token::RightBrace),
    ("[", Token::LeftBracket),
    ("]", Token::RightBracket),
    ("\0", Token::End),
];

/// The tokens, with an end behind them.
///
/// # Errors
/// Names what is no token.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, behind) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let (name, behind) = split(rest, |char| !char.is_ascii_alphanumeric() && char != '_');
                (Token::Name(name.to_owned()), behind)
            }
            '0'..='9' | '-' => {
                let digits = rest[1..].find(|char: char| !char.is_ascii_digit()).map_or(rest.len(), |at| at + 1);
                let number = rest[..digits].parse().map_err(|_| format!("{:?} is no whole number", &rest[..digits]))?;
                (Token::Number(number), &rest[digits..])
            }
            '"' => {
                let (inside, behind) = enclosed(rest, '"')?;
                let name = serde_json::from_str(&format!("\"{inside}\""));
                (Token::QuotedName(name.map_err(|_| format!("{inside:?} is no JSON string"))?), behind)
            }
            '\'' => {
                let (inside, behind) = enclosed(rest, '\'')?;
                (Token::Literal(inside.replace("\\'", "'").into()), behind)
            }
            '`' => {
                let (inside, behind) = enclosed(rest, '`')?;
                (Token::Literal(literal(&inside.replace("\\`", "`"))?), behind)
            }
            _ => operator(rest)
                .filter(|(token, _)| *token != Token::End)
                .ok_or_else(|| format!("{first:?} is not known"))?,
        };
        found.push(token);
        rest = behind.trim_start();
    }
    found.push(Token::End);
    Ok(found)
}

fn operator(text: &str) -> Option<(Token, &str)> {
    OPERATORS.iter().find_map(|(spelt, token)| Some((token.clone(), text.strip_prefix(spelt)?)))
}

fn split(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// What stands between two of those quotes, with its escapes, and what stands behind.
fn enclosed(text: &str, quote: char) -> Result<(&str, &str), String> {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            char if char == quote => return Ok((&text[1..at], &text[at + 1..])),
            _ => {}
        }
    }
    Err(format!("{quote} is not closed"))
}

/// JSON; what is none is the string that it looks like, as in the language's first version.
fn literal(text: &str) -> Result<Value, String> {
    let text = text.trim();
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&format!("\"{text}\"")))
        .map_err(|_| format!("`{text}` is no JSON"))
}
