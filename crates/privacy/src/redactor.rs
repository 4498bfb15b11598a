//! Rules at work on the exchanges of one endpoint.

use std::sync::Arc;

use bytes::Bytes;
use captura_names::{EndpointName, InferenceId};
use captura_route::{Exchange, Redacted, Redaction, Signature};

use crate::action::Action;
use crate::failed::Failed;
use crate::master::Master;
use crate::plan::{Plan, RuleId};
use crate::rules::{Errors, Place, Rule, RuleSet, Rules, Side, Subject, SubjectHeader};
use crate::vault::{DataKey, Vault};
use crate::walk::{Change, Format, fields, walk};

/// Where secrets come from: pseudonyms need the master key, sealed values the keys of subjects.
#[derive(Debug, Clone)]
pub struct Secrets(pub Arc<Vault>);

/// Rules at work on the exchanges of one endpoint.
#[derive(Debug)]
pub struct Redactor {
    endpoint: String,
    rules: Rules,
    id: String,
    input: Body,
    output: Body,
    /// Where in the input the subject stands, where it does.
    subject: Option<Plan>,
    secrets: Option<Secrets>,
}

/// Rules for one body, laid out.
#[derive(Debug)]
enum Body {
    Whole(Action),
    Values(Plan),
}

impl Body {
    fn new(side: &Side, otherwise: Action, signature: Option<&Signature>, output: bool) -> Self {
        match side {
            Side::Whole(action) => Self::Whole(*action),
            Side::Values(rules) => {
                let plan = Plan::new(rules, otherwise, fields(signature, output), output);
                if plan.is_idle() { Self::Whole(Action::Keep) } else { Self::Values(plan) }
            }
        }
    }
}

/// What became of an exchange, for people: what is kept, and why a body is not.
#[derive(Debug)]
pub struct Outcome {
    /// What is kept.
    pub kept: Redacted,
    /// Why nothing of the request is kept, where rules could not be applied.
    pub request: Option<Failed>,
    /// Why nothing of the answer is kept.
    pub answer: Option<Failed>,
}

/// One value on a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `input`, `output`, `custom attributes` or `inference id`.
    pub side: &'static str,
    /// Which rule, as its place is told; `otherwise` for what no rule names.
    pub rule: String,
    /// What it does.
    pub action: Action,
    /// Which row, from 0.
    pub row: usize,
    /// The value.
    pub before: String,
    /// What stands in its place, empty for nothing.
    pub after: String,
}

impl Redactor {
    /// The rules for an endpoint whose model has that signature; nothing when they change nothing.
    ///
    /// Secrets are needed where the rules say so; without them, what needs one is not kept.
    #[must_use]
    pub fn new(
        set: &RuleSet,
        endpoint: &EndpointName,
        signature: Option<&Signature>,
        secrets: Option<Secrets>,
    ) -> Option<Self> {
        if !set.redacts() {
            return None;
        }
        let rules = set.redaction.clone();
        let subject = match rules.subject.clone().filter(|_| rules.encrypts()) {
            Some(Subject::Column(column)) => Some(Place::Column(column)),
            Some(Subject::Pointer(pointer)) => Some(Place::Pointer(pointer)),
            _ => None,
        };
        let subject = subject.map(|place| {
            // Any action but to keep has the walk stop there.
            let rule = Rule { place, action: Action::Drop, optional: false };
            Plan::new(&[rule], Action::Keep, fields(signature, false), false)
        });
        Some(Self {
            endpoint: endpoint.to_string(),
            id: rules.id(),
            input: Body::new(&rules.input, rules.otherwise, signature, false),
            output: Body::new(&rules.output, rules.otherwise, signature, true),
            rules,
            subject,
            secrets,
        })
    }

    /// Redacts an exchange, and says what could not be.
    #[must_use]
    pub fn outcome(&self, exchange: &Exchange<'_>) -> Outcome {
        self.work(exchange, None).0
    }

    /// As [`Redactor::outcome`], and tells each value that a rule was asked about.
    #[must_use]
    pub fn dry_run(&self, exchange: &Exchange<'_>) -> (Outcome, Vec<Step>) {
        self.work(exchange, Some(Vec::new()))
    }

    fn work(&self, exchange: &Exchange<'_>, steps: Option<Vec<Step>>) -> (Outcome, Vec<Step>) {
        let request = &exchange.invocation.request;
        let mut work = Work { redactor: self, exchange, subjects: None, output_rows: None, steps };
        let input = if exchange.keeps_request {
            work.body(&self.input, &request.body, request.content_type.as_deref())
        } else {
            Ok(Bytes::new())
        };
        let output = if exchange.keeps_answer { work.answer() } else { Ok(Bytes::new()) };
        let custom_attributes = request.custom_attributes.as_deref();
        let custom_attributes =
            custom_attributes.and_then(|text| work.header("custom attributes", self.rules.custom_attributes, text));
        let id = exchange.invocation.inference_id.as_ref();
        let id = id.and_then(|id| work.header("inference id", self.rules.inference_id, id.as_str()));
        let inference_id = id.and_then(|id| InferenceId::parse(&id).ok());
        let (request, input) = apart(input);
        let (answer, output) = apart(output);
        let kept = Redacted { request, answer, custom_attributes: custom_attributes.map(String::into), inference_id };
        (Outcome { kept, request: input, answer: output }, work.steps.unwrap_or_default())
    }
}

fn apart(kept: Result<Bytes, Failed>) -> (Bytes, Option<Failed>) {
    match kept {
        Ok(body) => (body, None),
        Err(failed) => (Bytes::new(), Some(failed)),
    }
}

impl Redaction for Redactor {
    fn policy(&self) -> &str {
        &self.id
    }

    fn redact(&self, exchange: &Exchange<'_>) -> Redacted {
        let Outcome { kept, request, answer } = self.outcome(exchange);
        for (side, failed) in [("request", request), ("answer", answer)] {
            if let Some(failed) = failed {
                // The error holds nothing of the body; a failing disk is told at once, shapes only to who looks.
                let (endpoint, event_id) = (&self.endpoint, exchange.invocation.event_id);
                if matches!(failed, Failed::NoKey(_)) {
                    tracing::error!(%endpoint, %event_id, side, %failed, "a body is not kept");
                } else {
                    tracing::debug!(%endpoint, %event_id, side, %failed, "a body is not kept");
                }
            }
        }
        kept
    }
}

/// Whose keys the values of an exchange are sealed under.
#[derive(Debug, Clone)]
enum Subjects {
    One(Arc<DataKey>),
    /// One for each row that was sent.
    Rows(Vec<Arc<DataKey>>),
}

/// One exchange on its way.
struct Work<'a> {
    redactor: &'a Redactor,
    exchange: &'a Exchange<'a>,
    subjects: Option<Subjects>,
    /// Rows of the answer, when they had to be counted.
    output_rows: Option<usize>,
    /// On a dry run.
    steps: Option<Vec<Step>>,
}

impl Work<'_> {
    fn answer(&mut self) -> Result<Bytes, Failed> {
        let (redactor, exchange) = (self.redactor, self.exchange);
        if exchange.answer.is_empty() {
            return Ok(Bytes::new());
        }
        if !exchange.is_answered {
            return match redactor.rules.errors {
                Errors::Keep => Ok(exchange.answer.clone()),
                Errors::Drop => Err(Failed::ErrorWords),
            };
        }
        if exchange.is_answer_cut && matches!(redactor.output, Body::Values(_)) {
            return Err(Failed::Cut);
        }
        self.body(&redactor.output, exchange.answer, exchange.answer_content_type)
    }

    fn body(&mut self, rules: &Body, body: &Bytes, content_type: Option<&str>) -> Result<Bytes, Failed> {
        if body.is_empty() {
            return Ok(Bytes::new());
        }
        match rules {
            Body::Whole(Action::Keep) => Ok(body.clone()),
            Body::Whole(Action::Drop) => Ok(Bytes::new()),
            Body::Whole(action) => {
                let text = self.whole(*action, body)?;
                // One cell of CSV, one string of JSON.
                let quoted = matches!(Format::of(content_type), Some(Format::Json | Format::JsonLines));
                Ok(if quoted { format!("\"{text}\"") } else { text }.into())
            }
            Body::Values(plan) => {
                let format = Format::of(content_type).ok_or(Failed::ContentType)?;
                self.output_rows = None;
                if plan.is_output && plan.marks.iter().map(|mark| mark.action).chain(plan.otherwise).any(seals) {
                    self.count_rows(plan, format, body)?;
                }
                let visit = &mut |rule: Option<RuleId>, row, value: &str| {
                    let action = plan.action(rule);
                    let changed = self.change(action, row, value)?;
                    self.tell(|| Step {
                        side: if plan.is_output { "output" } else { "input" },
                        rule: rule.map_or_else(|| "otherwise".to_owned(), |rule| plan.marks[rule].label.clone()),
                        action,
                        row,
                        before: value.to_owned(),
                        after: match &changed {
                            Change::Keep => value.to_owned(),
                            Change::Empty => String::new(),
                            Change::Text(text) => text.clone(),
                        },
                    });
                    Ok(changed)
                };
                walk(body, format, plan, visit).map(Bytes::from)
            }
        }
    }

    fn count_rows(&mut self, plan: &Plan, format: Format, body: &[u8]) -> Result<(), Failed> {
        let mut rows = 0;
        walk(body, format, plan, &mut |_, row, _| {
            rows = rows.max(row + 1);
            Ok(Change::Keep)
        })?;
        self.output_rows = Some(rows);
        Ok(())
    }

    fn whole(&mut self, action: Action, body: &[u8]) -> Result<String, Failed> {
        match action {
            Action::Mask => Ok("*".repeat(String::from_utf8_lossy(body).chars().count())),
            Action::Encrypt => {
                let Subjects::One(key) = self.subjects()? else { return Err(Failed::SeveralSubjects) };
                key.seal(body).ok_or(Failed::NoSubject)
            }
            Action::Hmac => {
                let text = String::from_utf8_lossy(body);
                Ok(pseudonym(self.master()?, &text, body.len()))
            }
            Action::Keep | Action::Drop => Ok(String::new()),
        }
    }

    fn change(&mut self, action: Action, row: usize, value: &str) -> Result<Change, Failed> {
        Ok(match action {
            Action::Keep => Change::Keep,
            Action::Drop => Change::Empty,
            Action::Mask => Change::Text("*".repeat(value.chars().count())),
            Action::Hmac => Change::Text(pseudonym(self.master()?, value, value.chars().count())),
            Action::Encrypt => {
                let key = self.key_of(row)?;
                Change::Text(key.seal(value.as_bytes()).ok_or(Failed::NoSubject)?)
            }
        })
    }

    /// A header as it is kept; none where its rule cannot be applied.
    fn header(&mut self, side: &'static str, action: Action, text: &str) -> Option<String> {
        let kept = self.header_kept(action, text);
        self.tell(|| Step {
            side,
            rule: side.to_owned(),
            action,
            row: 0,
            before: text.to_owned(),
            after: kept.clone().unwrap_or_default(),
        });
        kept
    }

    fn header_kept(&mut self, action: Action, text: &str) -> Option<String> {
        if action == Action::Encrypt {
            // Of the call as a whole.
            let Ok(Subjects::One(key)) = self.subjects() else { return None };
            return key.seal(text.as_bytes());
        }
        match self.change(action, 0, text) {
            Ok(Change::Keep) => Some(text.to_owned()),
            Ok(Change::Text(text)) => Some(text),
            Ok(Change::Empty) | Err(_) => None,
        }
    }

    fn tell(&mut self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.steps {
            steps.push(step());
        }
    }

    fn master(&self) -> Result<&Master, Failed> {
        self.redactor.secrets.as_ref().map(|secrets| &**secrets.0.master()).ok_or(Failed::NoSubject)
    }

    fn key_of(&mut self, row: usize) -> Result<Arc<DataKey>, Failed> {
        let output_rows = self.output_rows;
        match self.subjects()? {
            Subjects::One(key) => Ok(key),
            Subjects::Rows(keys) if output_rows.is_some_and(|rows| rows != keys.len()) => Err(Failed::SeveralSubjects),
            Subjects::Rows(keys) => keys.get(row).cloned().ok_or(Failed::SeveralSubjects),
        }
    }

    fn subjects(&mut self) -> Result<Subjects, Failed> {
        if let Some(known) = &self.subjects {
            return Ok(known.clone());
        }
        let vault = &self.redactor.secrets.as_ref().ok_or(Failed::NoSubject)?.0;
        let mut names = self.names()?;
        names.dedup();
        let key = |name: &String| vault.key(&self.redactor.endpoint, name);
        let found = match &names[..] {
            [] => return Err(Failed::NoSubject),
            [only] => Subjects::One(key(only)?),
            _ => Subjects::Rows(self.names()?.iter().map(key).collect::<Result<_, _>>()?),
        };
        self.subjects = Some(found.clone());
        Ok(found)
    }

    /// Whom the call is about: once, or for each row.
    fn names(&self) -> Result<Vec<String>, Failed> {
        let invocation = self.exchange.invocation;
        let request = &invocation.request;
        let header = match &self.redactor.rules.subject {
            Some(Subject::Header(SubjectHeader::InferenceId)) => {
                invocation.inference_id.as_ref().map(|id| id.as_str().to_owned())
            }
            Some(Subject::Header(SubjectHeader::CustomAttributes)) => {
                request.custom_attributes.as_deref().map(str::to_owned)
            }
            _ => None,
        };
        let Some(plan) = &self.redactor.subject else {
            return Ok(vec![header.filter(|name| !name.is_empty()).ok_or(Failed::NoSubject)?]);
        };
        let format = Format::of(request.content_type.as_deref()).ok_or(Failed::ContentType)?;
        let mut names: Vec<Option<String>> = Vec::new();
        walk(&request.body, format, plan, &mut |rule, row, value| {
            if rule.is_some() && !value.is_empty() {
                if names.len() <= row {
                    names.resize(row + 1, None);
                }
                names[row] = Some(value.to_owned());
            }
            Ok(Change::Keep)
        })?;
        names.into_iter().map(|name| name.ok_or(Failed::NoSubject)).collect()
    }
}

fn seals(action: Action) -> bool {
    action == Action::Encrypt
}

fn pseudonym(master: &Master, value: &str, length: usize) -> String {
    format!("[REDACTED len={length} h={}]", master.pseudonym(value))
}

#[cfg(test)]
mod tests;
