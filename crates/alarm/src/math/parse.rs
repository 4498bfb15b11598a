//! From text to a tree, by precedence climbing.

use super::{DEPTH_MAX, FUNCTIONS, Node, Operator};

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Name(String),
    Sign(&'static str),
}

/// Longer signs first, so that `<=` is not read as `<`.
const SIGNS: [&str; 20] =
    ["<=", ">=", "==", "!=", "&&", "||", "<", ">", "+", "-", "*", "/", "^", "(", ")", "[", "]", ",", "!", "="];

pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0 };
    let root = parser.expression(0, 0)?;
    match parser.tokens.get(parser.next) {
        None => Ok(root),
        Some(token) => Err(format!("{} is not expected there", shown(token))),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Number(number) => number.to_string(),
        Token::Text(text) => format!("\"{text}\""),
        Token::Name(name) => name.clone(),
        Token::Sign(sign) => format!("'{sign}'"),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = if first.is_ascii_digit() || first == '.' {
            number(rest)?
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Token::Name(rest[..length].to_owned()), length)
        } else if first == '"' || first == '\'' {
            let length = rest[1..].find(first).ok_or("a text does not end")?;
            (Token::Text(rest[1..=length].to_owned()), length + 2)
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or_else(|| format!("'{first}' is not known"))?;
            (Token::Sign(sign), sign.len())
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let mut length = 0;
    let mut before = ' ';
    for character in text.chars() {
        let exponent = matches!(before, 'e' | 'E') && matches!(character, '+' | '-');
        if !(character.is_ascii_digit() || matches!(character, '.' | 'e' | 'E') || exponent) {
            break;
        }
        before = character;
        length += 1;
    }
    let number = text[..length].parse().map_err(|_| format!("'{}' is no number", &text[..length]))?;
    Ok((Token::Number(number), length))
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

/// How strongly an operator binds; more is stronger.
fn binding(token: &Token) -> Option<(u8, Operator)> {
    Some(match token {
        Token::Sign("||") => (1, Operator::Or),
        Token::Sign("&&") => (2, Operator::And),
        Token::Name(word) if word.eq_ignore_ascii_case("or") => (1, Operator::Or),
        Token::Name(word) if word.eq_ignore_ascii_case("and") => (2, Operator::And),
        Token::Sign("==") => (3, Operator::Equal),
        Token::Sign("!=") => (3, Operator::NotEqual),
        Token::Sign("<") => (4, Operator::Less),
        Token::Sign("<=") => (4, Operator::LessOrEqual),
        Token::Sign(">") => (4, Operator::Greater),
        Token::Sign(">=") => (4, Operator::GreaterOrEqual),
        Token::Sign("+") => (5, Operator::Add),
        Token::Sign("-") => (5, Operator::Subtract),
        Token::Sign("*") => (6, Operator::Multiply),
        Token::Sign("/") => (6, Operator::Divide),
        Token::Sign("^") => (8, Operator::Power),
        _ => return None,
    })
}

/// A sign before a term binds stronger than `*` and weaker than `^`.
const PREFIX_BINDING: u8 = 7;

impl Parser {
    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.next), Some(Token::Sign(next)) if *next == sign);
        self.next += usize::from(found);
        found
    }

    fn expression(&mut self, weakest: u8, depth: usize) -> Result<Node, String> {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX}"));
        }
        let mut left = self.term(depth)?;
        let mut chain = 0;
        while let Some((strength, operator)) = self.tokens.get(self.next).and_then(binding) {
            if strength < weakest {
                break;
            }
            // A chain leans to the left and is walked by recursion later.
            chain += 1;
            if depth + chain > DEPTH_MAX * 8 {
                return Err("it has too many terms".to_owned());
            }
            self.next += 1;
            let right_weakest = if operator == Operator::Power { strength } else { strength + 1 };
            let right = self.expression(right_weakest, depth + 1)?;
            left = Node::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn term(&mut self, depth: usize) -> Result<Node, String> {
        let token = self.tokens.get(self.next).cloned().ok_or("it ends too early")?;
        self.next += 1;
        match token {
            Token::Number(number) => Ok(Node::Number(number)),
            Token::Text(text) => Ok(Node::Text(text)),
            Token::Sign("-") => Ok(Node::Negative(Box::new(self.expression(PREFIX_BINDING, depth + 1)?))),
            Token::Sign("+") => self.expression(PREFIX_BINDING, depth + 1),
            Token::Sign("!") => Ok(Node::Not(Box::new(self.expression(PREFIX_BINDING, depth + 1)?))),
            Token::Sign("(") => {
                let inner = self.expression(0, depth + 1)?;
                if self.take(")") { Ok(inner) } else { Err("a '(' is not closed".to_owned()) }
            }
            Token::Sign("[") => self.members("]", depth).map(Node::List),
            Token::Name(name) if self.take("(") => {
                let function = name.to_ascii_uppercase();
                if !FUNCTIONS.contains(&function.as_str()) {
                    return Err(format!("the function {name} is not known here; known are {}", FUNCTIONS.join(", ")));
                }
                Ok(Node::Call(function, self.members(")", depth)?))
            }
            Token::Name(name) => Ok(Node::Name(name)),
            other => Err(format!("{} is not expected there", shown(&other))),
        }
    }

    /// Terms between commas, up to the closing sign.
    fn members(&mut self, closing: &'static str, depth: usize) -> Result<Vec<Node>, String> {
        let mut members = Vec::new();
        if self.take(closing) {
            return Ok(members);
        }
        loop {
            members.push(self.expression(0, depth + 1)?);
            if self.take(closing) {
                return Ok(members);
            }
            if !self.take(",") {
                return Err(format!("a '{closing}' is missing"));
            }
        }
    }
}
