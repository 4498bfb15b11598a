//! Every operation, every member, every constraint: the exact text that comes back.

use captura_wire::hosting::Operation;
use captura_wire::validation::{Member, Shape};
use serde_json::{Map, Value, json};

use super::House;

/// A text that matches each pattern, and one that does not.
const TEXTS: &[(&str, &str, &str)] = &[
    ("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "name", "-"),
    ("[a-zA-Z0-9]([\\-a-zA-Z0-9]*[a-zA-Z0-9])?", "model", "a_b"),
    ("[a-zA-Z0-9-]+", "part", "a b"),
    ("[\\S]+", "captura/echo", "a b"),
    ("(https|s3)://([^/]+)/?(.*)", "s3://bucket/model", "bucket/model"),
    ("(https|s3)://([^/])/?(.*)", "s3://bucket/captures", "bucket/captures"),
    ("[a-zA-Z0-9:/_-]*", "alias/key", "a b"),
    ("[a-zA-Z_][a-zA-Z0-9_]*", "KEY", "1"),
    ("(?!\\s*$).+", "alarm", " "),
    (
        "arn:aws[a-z\\-]*:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+",
        "arn:aws:iam::000000000000:role/x",
        "arn:aws:iam::0:role/xxxx",
    ),
    ("([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)", "tag", "a#b"),
    ("[-0-9a-zA-Z]+", "sg-1", "sg_1"),
    ("[a-zA-Z0-9](-*[a-zA-Z0-9])*\\/[a-zA-Z0-9](-*[a-zA-Z0-9.])*", "text/csv", "csv"),
    (
        "arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:.+",
        "arn:aws:sagemaker:eu-west-1:000000000000:model/m",
        "arn:aws:s3:::b",
    ),
    (".*", "line", "a\nb"),
    (
        "arn:aws[a-z\\-]*:sns:[a-z0-9\\-]*:[0-9]{12}:[a-zA-Z0-9_.-]+",
        "arn:aws:sns:eu-west-1:000000000000:topic",
        "arn:aws:sqs:eu-west-1:000000000000:q",
    ),
    (
        "arn:aws[a-z\\-]*:sagemaker:[a-z0-9\\-]*:[0-9]{12}:[a-z0-9\\-]{1,14}/.*",
        "arn:aws:sagemaker:eu-west-1:000000000000:training-plan/x",
        "arn:aws:s3:::training-plan/x",
    ),
    ("[A-Za-z0-9\\.\\-_]+", "words", "a/b"),
    ("[a-zA-Z0-9\\-]+", "part", "a b"),
    (".?P.*", "PT1H", "1H"),
    ("/(?!.*\\.\\.)[a-zA-Z0-9/_.\\-]+", "/metrics", "metrics"),
    ("mig-[0-9]+g\\.[0-9]+gb([+-][a-z0-9.]+)*", "mig-1g.5gb+me", "1g.5gb"),
    ("[a-zA-Z0-9](-*[a-zA-Z0-9])*\\/[a-zA-Z0-9](-*[a-zA-Z0-9+.])*", "application/json+x", "csv"),
];

fn texts(pattern: &str) -> (&'static str, Option<&'static str>) {
    match TEXTS.iter().find(|(text, ..)| *text == pattern) {
        Some((_, good, bad)) => (good, Some(bad)),
        None if pattern == "[\\S\\s]*" || pattern == "[\\s\\S]+" => ("anything", None),
        None => panic!("our bug: no sample for {pattern}"),
    }
}

/// A value that fits.
fn sample(shape: &Shape) -> Value {
    match shape {
        Shape::Text { pattern, .. } => json!(pattern.map_or("text", |pattern| texts(pattern.text).0)),
        Shape::OneOf(words) => json!(words[0]),
        Shape::Integer { min, .. } => json!(if *min == i64::MIN { 1 } else { *min }),
        Shape::Float { min } => json!(min + 0.5),
        Shape::Double => json!(0.5),
        Shape::Boolean => json!(true),
        Shape::Timestamp => json!(1.5),
        Shape::List { member, .. } => json!([sample(member)]),
        Shape::Map { key, value, .. } => {
            let key = sample(key).as_str().expect("our bug: keys are text").to_owned();
            Value::Object(Map::from_iter([(key, sample(value))]))
        }
        Shape::Structure(members) => Value::Object(structure(members)),
        Shape::Opaque => Value::Null,
    }
}

fn structure(members: &[Member]) -> Map<String, Value> {
    members.iter().map(|member| (member.name.to_owned(), sample(member.shape))).collect()
}

/// What does not fit, and the words for it. Values of over-long lists are not spelt out.
struct Violation {
    value: Value,
    shown: Option<String>,
    path: String,
    constraint: String,
}

fn violations(path: &str, shape: &Shape) -> Vec<Violation> {
    let plain = |value: Value, constraint: String| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Violation { value, shown: Some(format!("'{text}'")), path: path.to_owned(), constraint }
    };
    match shape {
        Shape::Text { min, max, pattern } => scalar_texts(*min, *max, pattern.map(|pattern| pattern.text))
            .into_iter()
            .map(|(value, constraint)| plain(value, constraint))
            .collect(),
        Shape::OneOf(words) => {
            vec![plain(json!("Nonsense"), format!("Member must satisfy enum value set: [{}]", words.join(", ")))]
        }
        Shape::Integer { min, max } => {
            let below = min
                .checked_sub(1)
                .map(|value| (value, format!("Member must have value greater than or equal to {min}")));
            let above =
                max.checked_add(1).map(|value| (value, format!("Member must have value less than or equal to {max}")));
            [below, above].into_iter().flatten().map(|(value, constraint)| plain(json!(value), constraint)).collect()
        }
        Shape::Float { min } => {
            vec![plain(json!(min - 0.5), format!("Member must have value greater than or equal to {min}"))]
        }
        Shape::List { member, min, max } => list_violations(path, member, *min, *max),
        Shape::Map { key, value, max } => map_violations(path, (key, value), *max),
        Shape::Structure(members) => structure_violations(path, members),
        Shape::Boolean | Shape::Double | Shape::Timestamp | Shape::Opaque => Vec::new(),
    }
}

fn scalar_texts(min: usize, max: usize, pattern: Option<&str>) -> Vec<(Value, String)> {
    let mut found = Vec::new();
    let (good, bad) = pattern.map_or(("x", None), texts);
    if max < 10_000 {
        let filler = good.chars().last().expect("our bug: samples are not empty").to_string();
        let long = format!("{good}{}", filler.repeat(max + 1 - good.len()));
        let constraint = format!("Member must have length less than or equal to {max}");
        // Values are cut at 1024 characters.
        found.push((json!(long), constraint));
    }
    if min == 1 && pattern.is_some_and(|pattern| pattern.ends_with("*)")) {
        found.push((json!(""), "Member must have length greater than or equal to 1".to_owned()));
    }
    if let (Some(pattern), Some(bad)) = (pattern, bad) {
        found.push((json!(bad), format!("Member must satisfy regular expression pattern: {pattern}")));
    }
    found
}

/// All constraints of a scalar, as they are listed when it stands in a list or a map.
fn phrases(shape: &Shape) -> String {
    match shape {
        Shape::Text { min, max, pattern } => {
            let pattern =
                pattern.map(|pattern| format!(", Member must satisfy regular expression pattern: {}", pattern.text));
            let sizes = format!(
                "Member must have length less than or equal to {max}, Member must have length greater than or equal to {min}"
            );
            format!("{sizes}{}", pattern.unwrap_or_default())
        }
        Shape::OneOf(words) => format!("Member must satisfy enum value set: [{}]", words.join(", ")),
        _ => panic!("our bug: only texts and words stand in lists and maps"),
    }
}

fn list_violations(path: &str, member: &Shape, min: usize, max: usize) -> Vec<Violation> {
    let at = |value: Value, shown: Option<String>, constraint: String| Violation {
        value,
        shown,
        path: path.to_owned(),
        constraint,
    };
    let mut found = Vec::new();
    if min > 0 {
        found.push(at(
            json!([]),
            Some("'[]'".into()),
            format!("Member must have length greater than or equal to {min}"),
        ));
    }
    if max < 10_000 {
        let long = vec![sample(member); max + 1];
        found.push(at(json!(long), None, format!("Member must have length less than or equal to {max}")));
    }
    if let Shape::Structure(members) = member {
        let inside = structure_violations(&format!("{path}.1.member"), members);
        found.extend(inside.into_iter().map(|violation| Violation { value: json!([violation.value]), ..violation }));
    } else {
        for violation in violations(path, member) {
            let shown = violation.shown.map(|shown| format!("'[{}]'", shown.trim_matches('\'')));
            let constraint = format!("Member must satisfy constraint: [{}]", phrases(member));
            found.push(at(json!([violation.value]), shown, constraint));
        }
    }
    found
}

fn map_violations(path: &str, (key, member): (&Shape, &Shape), max: usize) -> Vec<Violation> {
    let good = |shape: &Shape| sample(shape).as_str().expect("our bug: text").to_owned();
    let at = |entries: Vec<(String, String)>, constraint: String| {
        let shown: Vec<_> = entries.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let shown = Some(format!("'{{{}}}'", shown.join(", ")));
        let value = entries.into_iter().map(|(key, value)| (key, json!(value))).collect::<Map<_, _>>();
        Violation { value: Value::Object(value), shown, path: path.to_owned(), constraint }
    };
    let text = |value: &Value| value.as_str().expect("our bug: text").to_owned();
    let many = (0..=max).map(|index| (format!("K{index}"), "v".to_owned())).collect();
    let mut found = vec![at(many, format!("Member must have length less than or equal to {max}"))];
    for violation in violations(path, key) {
        let constraint = format!("Map keys must satisfy constraint: [{}]", phrases(key));
        found.push(at(vec![(text(&violation.value), good(member))], constraint));
    }
    for violation in violations(path, member) {
        let constraint = format!("Map value must satisfy constraint: [{}]", phrases(member));
        found.push(at(vec![(good(key), text(&violation.value))], constraint));
    }
    found
}

fn structure_violations(path: &str, members: &[Member]) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in members {
        let name = format!("{}{}", member.name[..1].to_lowercase(), &member.name[1..]);
        let path = if path.is_empty() { name } else { format!("{path}.{name}") };
        if member.required {
            let mut value = structure(members);
            value.remove(member.name);
            let constraint = "Member must not be null".to_owned();
            found.push(Violation {
                value: Value::Object(value),
                shown: Some("null".into()),
                path: path.clone(),
                constraint,
            });
        }
        for violation in violations(&path, member.shape) {
            let mut value = structure(members);
            value.insert(member.name.to_owned(), violation.value);
            found.push(Violation { value: Value::Object(value), ..violation });
        }
    }
    found
}

#[tokio::test]
async fn every_operation_refuses_every_violation_in_sagemakers_words() {
    let house = House::new();
    let mut checked = 0;
    for operation in Operation::ALL {
        let found = structure_violations("", operation.members());
        assert!(!found.is_empty(), "{} has no constraint", operation.name());
        for violation in found {
            let message = house.refused(operation.name(), violation.value).await;
            let end = format!(" at '{}' failed to satisfy constraint: {}", violation.path, violation.constraint);
            let shown = violation.shown.map(|shown| match shown.chars().count() {
                0..=1_026 => shown,
                _ => shown.chars().take(1_025).chain(['…', '\'']).collect(),
            });
            match shown {
                Some(shown) => assert_eq!(message, format!("1 validation error detected: Value {shown}{end}")),
                None => assert!(
                    message.starts_with("1 validation error detected: Value '[") && message.ends_with(&end),
                    "{message}"
                ),
            }
            checked += 1;
        }
    }
    assert!(checked > 300, "only {checked} violations were found");
}

#[tokio::test]
async fn every_operation_is_dispatched_and_never_fails_inside() {
    let house = House::new();
    for operation in Operation::ALL {
        let full = Value::Object(structure(operation.members()));
        let required = operation.members().iter().filter(|member| member.required);
        let least: Map<_, _> = required.map(|member| (member.name.to_owned(), sample(member.shape))).collect();
        for input in [full, Value::Object(least)] {
            let (status, output) = house.call(operation.name(), input).await;
            let refused = ["ValidationException", "ResourceNotFound", "ResourceInUse"];
            assert!(
                status == 200 || (status == 400 && refused.iter().any(|code| output["__type"] == *code)),
                "{}: {output}",
                operation.name()
            );
        }
    }
}
