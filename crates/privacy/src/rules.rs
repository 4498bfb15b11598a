//! Rules of redaction as an operator writes them, checked.
//!
//! ```toml
//! [[privacy]]
//! endpoints = ["churn-*"]
//! subject = { column = "customer_id" }
//! input = [
//!   { columns = ["customer_id", "email"], action = "encrypt" },
//!   { columns = [7], pointers = ["/meta/ip"], action = "hmac", optional = true },
//! ]
//! output_body = "keep"
//! custom_attributes = "drop"
//! retain = "30d"
//! ```
//! Invariant: rules that contradict each other, or that could silently do nothing, are none.
//! Refuses to: know payloads.

use std::time::Duration;

use captura_names::{EndpointName, EndpointPattern};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::action::Action;
use crate::pointer::{Pointer, Token};

/// Most columns and pointers that one side may have rules for.
const PLACES_MAX: usize = 4_096;

/// The rules of some endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub struct RuleSet {
    /// Which endpoints they are for.
    pub endpoints: Vec<EndpointPattern>,
    /// How long captures are kept; for ever when nothing is said.
    pub retain: Option<Duration>,
    pub(crate) redaction: Rules,
}

/// What is done to exchanges, without for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Rules {
    pub(crate) otherwise: Action,
    pub(crate) subject: Option<Subject>,
    pub(crate) input: Side,
    pub(crate) output: Side,
    pub(crate) custom_attributes: Action,
    pub(crate) inference_id: Action,
    pub(crate) errors: Errors,
}

/// What is done to one body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Side {
    /// The same to all of it, whatever it is.
    Whole(Action),
    /// To its values, each by its place.
    Values(Vec<Rule>),
}

/// What is done to the value at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Rule {
    pub(crate) place: Place,
    pub(crate) action: Action,
    pub(crate) optional: bool,
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Place {
    /// In each row.
    Column(Column),
    /// In a JSON document, as it was written.
    Pointer(String),
}

/// Which value of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a column is its number, from 0, or its name")]
pub(crate) enum Column {
    /// By its number, from 0.
    Index(usize),
    /// By its name.
    Name(String),
}

/// Whom a call is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Subject {
    /// A value of each row that is sent.
    Column(Column),
    /// A value of the JSON document that is sent.
    Pointer(String),
    /// A header of the call.
    Header(SubjectHeader),
}

/// Headers that may say whom a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SubjectHeader {
    /// The caller's own id.
    InferenceId,
    /// The custom attributes as a whole.
    CustomAttributes,
}

/// What is done to the words of a failed call, which have no shape and may repeat what was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Errors {
    #[default]
    Drop,
    Keep,
}

/// `[[privacy]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    endpoints: Vec<EndpointPattern>,
    #[serde(default)]
    otherwise: Option<Action>,
    subject: Option<SubjectTable>,
    #[serde(default)]
    input: Vec<RuleTable>,
    #[serde(default)]
    output: Vec<RuleTable>,
    input_body: Option<Action>,
    output_body: Option<Action>,
    custom_attributes: Option<Action>,
    inference_id: Option<Action>,
    #[serde(default)]
    errors: Errors,
    retain: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    #[serde(default)]
    columns: Vec<Column>,
    #[serde(default)]
    pointers: Vec<String>,
    action: Action,
    #[serde(default)]
    optional: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectTable {
    column: Option<Column>,
    pointer: Option<String>,
    header: Option<SubjectHeader>,
}

impl TryFrom<Table> for RuleSet {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        if table.endpoints.is_empty() {
            return Err("endpoints: name at least one endpoint, or a pattern such as \"*\"".into());
        }
        let otherwise = table.otherwise.unwrap_or(Action::Keep);
        let redaction = Rules {
            otherwise,
            subject: table.subject.map(subject).transpose()?,
            input: side("input", table.input, table.input_body)?,
            output: side("output", table.output, table.output_body)?,
            custom_attributes: table.custom_attributes.unwrap_or(otherwise),
            inference_id: table.inference_id.unwrap_or(otherwise),
            errors: table.errors,
        };
        if redaction.inference_id == Action::Encrypt {
            return Err("inference_id: an encrypted id is longer than an id may be; take hmac, mask or drop".into());
        }
        if redaction.encrypts() && redaction.subject.is_none() {
            let why = "encrypt needs `subject`, which says whose key it is: { column = … }, { pointer = … } or { header = … }";
            return Err(why.into());
        }
        let retain = table.retain.map(|text| span(&text)).transpose()?;
        Ok(Self { endpoints: table.endpoints, retain, redaction })
    }
}

fn subject(table: SubjectTable) -> Result<Subject, String> {
    match (table.column, table.pointer, table.header) {
        (Some(column), None, None) => Ok(Subject::Column(column)),
        (None, Some(pointer), None) => {
            let parsed = Pointer::parse(&pointer).map_err(|error| format!("subject: {error}"))?;
            if parsed.0.contains(&Token::EveryItem) {
                return Err("subject: a pointer with * is many subjects; name the value of a row by `column`".into());
            }
            Ok(Subject::Pointer(pointer))
        }
        (None, None, Some(header)) => Ok(Subject::Header(header)),
        _ => Err("subject: give one of column, pointer and header".into()),
    }
}

fn side(name: &str, tables: Vec<RuleTable>, body: Option<Action>) -> Result<Side, String> {
    if let Some(action) = body {
        if !tables.is_empty() {
            return Err(format!("{name}: rules for values contradict {name}_body = \"{action}\""));
        }
        return Ok(Side::Whole(action));
    }
    let mut rules: Vec<Rule> = Vec::new();
    for RuleTable { columns, pointers, action, optional } in tables {
        if columns.is_empty() && pointers.is_empty() {
            return Err(format!("{name}: a rule names no columns and no pointers"));
        }
        for pointer in &pointers {
            Pointer::parse(pointer).map_err(|error| format!("{name}: {error}"))?;
        }
        let places = columns.into_iter().map(Place::Column).chain(pointers.into_iter().map(Place::Pointer));
        for place in places {
            if rules.iter().any(|rule| rule.place == place) {
                return Err(format!("{name}: {place:?} has two rules"));
            }
            rules.push(Rule { place, action, optional });
        }
    }
    if rules.len() > PLACES_MAX {
        return Err(format!("{name}: {} places are more than {PLACES_MAX}", rules.len()));
    }
    Ok(Side::Values(rules))
}

/// A span of time in days, hours, minutes or seconds.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("retain: {text:?} is no span of time like \"30d\" or \"12h\"");
    let at = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
    let scale = match &text[at..] {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return Err(wrong()),
    };
    let seconds = text[..at].parse::<u64>().ok().and_then(|number| number.checked_mul(scale)).ok_or_else(wrong)?;
    if seconds == 0 || seconds > SPAN_MAX_SECONDS { Err(wrong()) } else { Ok(Duration::from_secs(seconds)) }
}

/// Longest retention, about a thousand years: longer ones would leave the calendar.
const SPAN_MAX_SECONDS: u64 = 365_250 * 86_400;

impl Side {
    fn actions(&self) -> impl Iterator<Item = Action> {
        let (whole, rules): (Option<Action>, &[Rule]) = match self {
            Self::Whole(action) => (Some(*action), &[]),
            Self::Values(rules) => (None, rules),
        };
        whole.into_iter().chain(rules.iter().map(|rule| rule.action))
    }
}

impl Rules {
    fn actions(&self) -> impl Iterator<Item = Action> {
        let others = [self.otherwise, self.custom_attributes, self.inference_id];
        self.input.actions().chain(self.output.actions()).chain(others)
    }

    pub(crate) fn encrypts(&self) -> bool {
        self.actions().any(|action| action == Action::Encrypt)
    }

    /// Identity of the rules' content.
    pub(crate) fn id(&self) -> String {
        let json = serde_json::to_vec(self).expect("our bug: rules hold only text and numbers");
        let digest = Sha256::digest(&json);
        digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl RuleSet {
    /// Whether the rules are those of the endpoint.
    #[must_use]
    pub fn covers(&self, endpoint: &EndpointName) -> bool {
        self.endpoints.iter().any(|pattern| pattern.matches(endpoint))
    }

    /// Whether anything of an exchange is changed.
    #[must_use]
    pub fn redacts(&self) -> bool {
        self.redaction.actions().any(|action| action != Action::Keep)
    }

    /// Whether a secret is needed.
    #[must_use]
    pub fn needs_key(&self) -> bool {
        self.redaction.actions().any(Action::needs_key)
    }

    /// Whether values are sealed under the keys of subjects.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        self.redaction.encrypts()
    }

    /// Names what is done to exchanges: equal rules have equal ids, whichever endpoints they are for.
    #[must_use]
    pub fn id(&self) -> String {
        self.redaction.id()
    }
}

/// The first rules in the operator's order that are those of the endpoint.
#[must_use]
pub fn rules_of<'a>(sets: &'a [RuleSet], endpoint: &EndpointName) -> Option<&'a RuleSet> {
    sets.iter().find(|set| set.covers(endpoint))
}

#[cfg(test)]
pub(crate) fn parse(json: &str) -> Result<RuleSet, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_and_rules_that_do_nothing_are_refused() {
        for (text, words) in [
            (r#"{"endpoints":[]}"#, "name at least one endpoint"),
            (r#"{"endpoints":["*"],"input":[{"action":"drop"}]}"#, "no columns and no pointers"),
            (r#"{"endpoints":["*"],"input":[{"pointers":["a"],"action":"drop"}]}"#, "is no JSON pointer"),
            (
                r#"{"endpoints":["*"],"input_body":"drop","input":[{"columns":[0],"action":"drop"}]}"#,
                "contradict input_body",
            ),
            (r#"{"endpoints":["*"],"output":[{"columns":[0,0],"action":"drop"}]}"#, "has two rules"),
            (r#"{"endpoints":["*"],"input_body":"encrypt"}"#, "encrypt needs `subject`"),
            (r#"{"endpoints":["*"],"subject":{"pointer":"/a/*"},"input_body":"encrypt"}"#, "many subjects"),
            (r#"{"endpoints":["*"],"subject":{}}"#, "give one of column, pointer and header"),
            (
                r#"{"endpoints":["*"],"subject":{"header":"inference-id"},"inference_id":"encrypt"}"#,
                "longer than an id may be",
            ),
            (r#"{"endpoints":["*"],"retain":"soon"}"#, "no span of time"),
            (r#"{"endpoints":["*"],"retain":"0d"}"#, "no span of time"),
            (r#"{"endpoints":["*"],"input_body":"hash"}"#, "unknown variant `hash`"),
            (r#"{"endpoints":["*"],"otherwize":"drop"}"#, "unknown field `otherwize`"),
            (r#"{"endpoints":["*"],"input":[{"columns":[-1],"action":"drop"}]}"#, "a column is its number"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn the_first_rules_that_fit_are_taken_and_named_by_what_they_do() {
        let sets = [
            parse(r#"{"endpoints":["churn-eu"],"input":[{"columns":[1],"action":"mask"}]}"#).unwrap(),
            parse(r#"{"endpoints":["churn-*"],"input":[{"columns":[1],"action":"mask"}],"retain":"30d"}"#).unwrap(),
            parse(r#"{"endpoints":["*"],"retain":"1h"}"#).unwrap(),
        ];
        let of = |name: &str| EndpointName::parse(name).unwrap();
        assert_eq!(rules_of(&sets, &of("churn-eu")), Some(&sets[0]));
        assert_eq!(rules_of(&sets, &of("churn-us")).unwrap().retain, Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(sets[0].id(), sets[1].id(), "for whom and how long is not what they do");
        assert_ne!(sets[1].id(), sets[2].id());
        assert!(sets[0].redacts() && !sets[2].redacts() && !sets[0].needs_key());
        assert!(rules_of(&sets[..1], &of("other")).is_none());
    }

    #[test]
    fn what_no_rule_names_goes_as_the_rest_does_headers_too() {
        let set = parse(r#"{"endpoints":["*"],"otherwise":"drop","inference_id":"keep"}"#).unwrap();
        assert_eq!(set.redaction.custom_attributes, Action::Drop);
        assert_eq!(set.redaction.inference_id, Action::Keep);
    }
}
