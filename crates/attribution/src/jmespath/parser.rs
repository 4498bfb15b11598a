//! Tokens as a tree, by how strongly they bind (V. Pratt, "Top down operator precedence", POPL 1973).

use serde_json::Value;

use super::functions::Function;
use super::lexer::{Comparison, Token};

/// A part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Current,
    Field(String),
    Index(i64),
    Slice([Option<i64>; 3]),
    Literal(Value),
    /// The second of what the first finds.
    Then(Box<Node>, Box<Node>),
    /// The second of each member of the list that the first finds.
    Each(Box<Node>, Box<Node>),
    /// The same of the values of an object.
    EachValue(Box<Node>, Box<Node>),
    /// Of each member for which the condition in the middle holds.
    EachWhere(Box<Node>, Box<Node>, Box<Node>),
    Flatten(Box<Node>),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
    Compare(Comparison, Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Call(Function, Vec<Node>),
    /// An expression that a function is given.
    Reference(Box<Node>),
}

const PIPE: u8 = 1;
const OR: u8 = 2;
const AND: u8 = 3;
const COMPARE: u8 = 5;
const FLATTEN: u8 = 9;
/// What binds less ends a projection.
const PROJECTION_END: u8 = 10;
const STAR: u8 = 20;
const FILTER: u8 = 21;
const DOT: u8 = 40;
const NOT: u8 = 45;
const BRACKET: u8 = 55;
const PAREN: u8 = 60;

/// The tree of all tokens.
///
/// # Errors
/// Names the token that stands where none like it may stand.
pub(super) fn parse(tokens: Vec<Token>) -> Result<Node, String> {
    let mut parser = Parser { tokens, at: 0 };
    let node = parser.expression(0)?;
    parser.expect(&Token::End)?;
    Ok(node)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn expression(&mut self, bound: u8) -> Result<Node, String> {
        let mut left = self.prefix()?;
        while bound < binding(self.peek()) {
            left = self.infix(left)?;
        }
        Ok(left)
    }

    fn prefix(&mut self) -> Result<Node, String> {
        match self.take() {
            Token::Literal(value) => Ok(Node::Literal(value)),
            Token::Name(name) if *self.peek() == Token::LeftParen => self.call(&name),
            Token::Name(name) => Ok(Node::Field(name)),
            Token::QuotedName(name) if *self.peek() != Token::LeftParen => Ok(Node::Field(name)),
            Token::At => Ok(Node::Current),
            Token::Reference => Ok(Node::Reference(Box::new(self.expression(0)?))),
            Token::Not => Ok(Node::Not(Box::new(self.expression(NOT)?))),
            Token::Star => {
                let each = if *self.peek() == Token::RightBracket { Node::Current } else { self.projected(STAR)? };
                Ok(Node::EachValue(Box::new(Node::Current), Box::new(each)))
            }
            Token::Filter => self.filter(Node::Current),
            Token::Flatten => self.flatten(Node::Current),
            Token::LeftParen => {
                let inside = self.expression(0)?;
                self.expect(&Token::RightParen)?;
                Ok(inside)
            }
            Token::LeftBrace => self.object(),
            Token::LeftBracket => match (self.peek(), self.peek_behind()) {
                (Token::Number(_) | Token::Colon, _) => self.index(Node::Current),
                (Token::Star, Token::RightBracket) => self.all(Node::Current),
                _ => self.list(),
            },
            other => Err(unexpected(&other)),
        }
    }

    fn infix(&mut self, left: Node) -> Result<Node, String> {
        let boxed = Box::new;
        match self.take() {
            Token::Dot if *self.peek() == Token::Star => {
                self.at += 1;
                Ok(Node::EachValue(boxed(left), boxed(self.projected(STAR)?)))
            }
            Token::Dot => Ok(Node::Then(boxed(left), boxed(self.member(DOT)?))),
            Token::Pipe => Ok(Node::Then(boxed(left), boxed(self.expression(PIPE)?))),
            Token::Or => Ok(Node::Or(boxed(left), boxed(self.expression(OR)?))),
            Token::And => Ok(Node::And(boxed(left), boxed(self.expression(AND)?))),
            Token::Compare(how) => Ok(Node::Compare(how, boxed(left), boxed(self.expression(COMPARE)?))),
            Token::Filter => self.filter(left),
            Token::Flatten => self.flatten(left),
            Token::LeftBracket if matches!(self.peek(), Token::Number(_) | Token::Colon) => self.index(left),
            Token::LeftBracket => self.all(left),
            other => Err(unexpected(&other)),
        }
    }

    /// What is done with each member of what a projection finds.
    fn projected(&mut self, bound: u8) -> Result<Node, String> {
        match self.peek() {
            next if binding(next) < PROJECTION_END => Ok(Node::Current),
            Token::LeftBracket | Token::Filter => self.expression(bound),
            Token::Dot => {
                self.at += 1;
                self.member(bound)
            }
            other => Err(unexpected(other)),
        }
    }

    /// What may stand behind a dot.
    fn member(&mut self, bound: u8) -> Result<Node, String> {
        match self.peek() {
            Token::Name(_) | Token::QuotedName(_) | Token::Star => self.expression(bound),
            Token::LeftBracket => {
                self.at += 1;
                self.list()
            }
            Token::LeftBrace => {
                self.at += 1;
                self.object()
            }
            other => Err(unexpected(other)),
        }
    }

    fn filter(&mut self, left: Node) -> Result<Node, String> {
        let condition = self.expression(0)?;
        self.expect(&Token::RightBracket)?;
        let each = if *self.peek() == Token::Flatten { Node::Current } else { self.projected(FILTER)? };
        Ok(Node::EachWhere(Box::new(left), Box::new(condition), Box::new(each)))
    }

    fn flatten(&mut self, left: Node) -> Result<Node, String> {
        let flat = Node::Flatten(Box::new(left));
        Ok(Node::Each(Box::new(flat), Box::new(self.projected(FLATTEN)?)))
    }

    /// `*]` of a list.
    fn all(&mut self, left: Node) -> Result<Node, String> {
        self.expect(&Token::Star)?;
        self.expect(&Token::RightBracket)?;
        Ok(Node::Each(Box::new(left), Box::new(self.projected(STAR)?)))
    }

    /// A place or a slice, up to its bracket.
    fn index(&mut self, left: Node) -> Result<Node, String> {
        let mut parts = [None; 3];
        let mut part = 0;
        loop {
            match self.take() {
                Token::Number(number) if parts[part].is_none() => parts[part] = Some(number),
                Token::Colon if part < 2 => part += 1,
                Token::RightBracket => break,
                other => return Err(unexpected(&other)),
            }
        }
        if let (0, Some(index)) = (part, parts[0]) {
            return Ok(Node::Then(Box::new(left), Box::new(Node::Index(index))));
        }
        let slice = Node::Then(Box::new(left), Box::new(Node::Slice(parts)));
        Ok(Node::Each(Box::new(slice), Box::new(self.projected(STAR)?)))
    }

    fn list(&mut self) -> Result<Node, String> {
        let mut members = Vec::new();
        loop {
            members.push(self.expression(0)?);
            if *self.peek() != Token::Comma {
                break;
            }
            self.at += 1;
        }
        self.expect(&Token::RightBracket)?;
        Ok(Node::List(members))
    }

    fn object(&mut self) -> Result<Node, String> {
        let mut members = Vec::new();
        loop {
            let (Token::Name(name) | Token::QuotedName(name)) = self.take() else {
                return Err("a member of {…} begins with its name".to_owned());
            };
            self.expect(&Token::Colon)?;
            members.push((name, self.expression(0)?));
            match self.take() {
                Token::Comma => {}
                Token::RightBrace => return Ok(Node::Object(members)),
                other => return Err(unexpected(&other)),
            }
        }
    }

    fn call(&mut self, name: &str) -> Result<Node, String> {
        let function = Function::named(name).ok_or_else(|| format!("there is no function {name:?}"))?;
        self.expect(&Token::LeftParen)?;
        let mut arguments = Vec::new();
        while *self.peek() != Token::RightParen {
            if !arguments.is_empty() {
                self.expect(&Token::Comma)?;
            }
            arguments.push(self.expression(0)?);
        }
        self.at += 1;
        function.check(&arguments)?;
        Ok(Node::Call(function, arguments))
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn peek_behind(&self) -> &Token {
        self.tokens.get(self.at + 1).unwrap_or(&Token::End)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), String> {
        let token = self.take();
        if token == *wanted { Ok(()) } else { Err(unexpected(&token)) }
    }
}

/// How strongly a token binds what stands before it.
fn binding(token: &Token) -> u8 {
    match token {
        Token::Pipe => PIPE,
        Token::Or => OR,
        Token::And => AND,
        Token::Compare(_) => COMPARE,
        Token::Flatten => FLATTEN,
        Token::Star => STAR,
        Token::Filter => FILTER,
        Token::Dot => DOT,
        Token::LeftBracket => BRACKET,
        Token::LeftParen => PAREN,
        _ => 0,
    }
}

fn unexpected(token: &Token) -> String {
    match token {
        Token::End => "it ends too early".to_owned(),
        other => format!("{other:?} stands where it may not stand"),
    }
}
