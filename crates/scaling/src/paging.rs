//! Pages of lists that fit into memory: the token is the place where the next page begins.

use captura_wire::aws_json::{Fault, FaultCode};
use serde_json::{Value, json};

/// Lines of a page where nothing is said, and at most.
const PAGE_MAX: usize = 50;

/// One page under its key.
///
/// # Errors
/// `InvalidNextTokenException` for a token of somebody else, `ValidationException` for an impossible size.
pub(crate) fn page(
    key: &str,
    all: Vec<Value>,
    (max_results, token): (Option<i64>, Option<&str>),
) -> Result<Value, Fault> {
    let size = match max_results {
        None => PAGE_MAX,
        Some(wanted) => usize::try_from(wanted).ok().filter(|size| (1..=PAGE_MAX).contains(size)).ok_or_else(|| {
            Fault::validation(format!("Value '{wanted}' at 'maxResults' must be between 1 and {PAGE_MAX}"))
        })?,
    };
    let invalid = || Fault::new(FaultCode::InvalidNextTokenException, "The specified next token is not valid.");
    let start = match token {
        None => 0,
        Some(token) => token.parse::<usize>().ok().filter(|start| *start <= all.len()).ok_or_else(invalid)?,
    };
    let next = start + size;
    let more = next < all.len();
    let lines: Vec<Value> = all.into_iter().skip(start).take(size).collect();
    let mut page = json!({ key: lines });
    if more {
        page["NextToken"] = json!(next.to_string());
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_name_the_next_one_until_the_last() {
        let all: Vec<Value> = (0..5).map(Value::from).collect();
        let first = page("L", all.clone(), (Some(2), None)).unwrap();
        assert_eq!(first, json!({"L": [0, 1], "NextToken": "2"}));
        assert_eq!(page("L", all.clone(), (Some(3), Some("2"))).unwrap(), json!({"L": [2, 3, 4]}));
        assert_eq!(page("L", all.clone(), (None, Some("x"))).unwrap_err().code, FaultCode::InvalidNextTokenException);
        assert!(page("L", all, (Some(0), None)).is_err());
    }
}
