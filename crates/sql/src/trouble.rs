//! What is wrong with a question, said so that it can be mended: where, and which names come near.
//!
//! Invariant: an error of DataFusion becomes a few lines without its own jargon where it is a common one, and its own
//! words where it is not.

use captura_archive::reader::ReadError;
use datafusion::common::{Column, SchemaError, Span};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::error::SqlError;

/// Names that are proposed at most.
const NEAR_MAX: usize = 3;
/// Names that are listed when none comes near.
const LISTED_MAX: usize = 30;

/// The error of a question, for people. `tables` are the names of all tables.
pub(crate) fn explained(error: &DataFusionError, sql: &str, tables: &[String]) -> SqlError {
    if let Some(read) = reading(error) {
        return SqlError::Question(read);
    }
    let root = error.find_root();
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let mut text = match root {
        DataFusionError::SchemaError(schema, _) => column(schema),
        DataFusionError::SQL(parser, _) => syntax(parser),
        DataFusionError::ResourcesExhausted(reason) => {
            format!(
                "the question needs more memory than it may have: {reason}\n  give it more with --memory, or ask for less"
            )
        }
        _ => table(root, tables).unwrap_or_else(|| without_jargon(&root.strip_backtrace())),
    };
    if let Some(span) = span {
        text.push_str(&pointed(sql, span));
    }
    SqlError::Question(text)
}

/// An object that could not be read, somewhere below.
fn reading(error: &DataFusionError) -> Option<String> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(read) = cause.downcast_ref::<ReadError>() {
            return Some(read.to_string());
        }
        if let Some(DataFusionError::External(inner)) = cause.downcast_ref::<DataFusionError>()
            && let Some(read) = inner.downcast_ref::<ReadError>()
        {
            return Some(read.to_string());
        }
        next = cause.source();
    }
    None
}

fn column(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<String> = valid_fields.iter().map(quoted).collect();
            let near = near(&field.name, valid_fields.iter().map(|field| field.name.as_str()));
            let near: Vec<String> = near.into_iter().map(|at| names[at].clone()).collect();
            format!("there is no column {}{}", quoted(field), proposal(&near, &names, "columns"))
        }
        SchemaError::AmbiguousReference { field } => {
            format!("several tables have a column {}; write table.{}", quoted(field), quoted(field))
        }
        other => other.to_string(),
    }
}

/// A name as it has to be written.
fn quoted(column: &Column) -> String {
    let name = &column.name;
    let is_plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_plain { name.clone() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn syntax(error: &ParserError) -> String {
    let reason = match error {
        ParserError::TokenizerError(reason) | ParserError::ParserError(reason) => reason.as_str(),
        ParserError::RecursionLimitExceeded => "it is nested too deep",
    };
    format!("this is no SQL: {reason}")
}

/// What a plan lacks, without where DataFusion would like to hear of it.
fn without_jargon(text: &str) -> String {
    if text.contains("No SQL statements were provided") {
        return "there is no statement; ask with SELECT, EXPLAIN, SHOW TABLES or DESCRIBE".to_owned();
    }
    let begin = text.find("No function matches").unwrap_or(0);
    let text = text[begin..].trim();
    text.strip_prefix("Error during planning: ").unwrap_or(text).replace('\t', "  ")
}

fn table(error: &DataFusionError, tables: &[String]) -> Option<String> {
    let text = error.strip_backtrace();
    let name = text.split_once("table '").and_then(|(_, rest)| rest.split_once("' not found"))?.0;
    let name = name.rsplit("captura.").next().unwrap_or(name);
    let name = name.strip_prefix("public.").unwrap_or(name);
    let near = near(name, tables.iter().map(String::as_str));
    let near: Vec<String> = near.into_iter().map(|at| tables[at].clone()).collect();
    Some(format!("there is no table {name}{}", proposal(&near, tables, "tables")))
}

fn proposal(near: &[String], all: &[String], what: &str) -> String {
    if !near.is_empty() {
        return format!("; did you mean {}?", near.join(" or "));
    }
    let more = all.len().saturating_sub(LISTED_MAX);
    let listed = all[..all.len() - more].join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("; there are the {what} {listed}{more}")
}

/// The names that come near, nearest first, by place.
fn near<'n>(name: &str, all: impl Iterator<Item = &'n str>) -> Vec<usize> {
    let name = name.to_lowercase();
    let allowed = 1 + name.chars().count() / 3;
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (at, other) in all.enumerate() {
        let other = other.to_lowercase();
        let tail = other.rsplit('.').next().unwrap_or(&other);
        let far = distance(&name, &other).min(distance(&name, tail));
        if far <= allowed {
            found.push((far, at));
        }
    }
    found.sort_unstable();
    found.into_iter().take(NEAR_MAX).map(|(_, at)| at).collect()
}

/// Letters to add, take away or change.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, letter_of_other) in other.iter().enumerate() {
            let change = before + usize::from(letter != *letter_of_other);
            before = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(before + 1);
        }
    }
    row[other.len()]
}

/// The line of the question, and a mark below the place.
fn pointed(sql: &str, span: Span) -> String {
    let (line, column) = (span.start.line as usize, span.start.column as usize);
    let Some(text) = line.checked_sub(1).and_then(|line| sql.lines().nth(line)) else { return String::new() };
    let length = if span.end.line == span.start.line { span.end.column.saturating_sub(span.start.column) } else { 1 };
    let mark = "^".repeat((length as usize).max(1));
    format!("\n  line {line}, column {column}:\n  {text}\n  {}{mark}", " ".repeat(column.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_come_near_are_found_with_and_without_their_side() {
        let all = ["event_time", "in.age", "in.plan", "consumer_id"];
        let found = |name: &str| near(name, all.into_iter()).into_iter().map(|at| all[at]).collect::<Vec<_>>();
        assert_eq!(found("age"), ["in.age"]);
        assert_eq!(found("Event_tme"), ["event_time"]);
        assert_eq!(found("consumer"), ["consumer_id"]);
        assert!(found("zzz").is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
