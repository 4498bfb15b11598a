use captura_names::{EndpointName, EventId, Timestamp};
use captura_route::{Caller, Clock, Consumer, Field, FieldType, Invocation, ModelRequest};
use proptest::prelude::*;

use super::*;
use crate::rules::parse;

fn secrets() -> Secrets {
    let master = Arc::new(Master::ephemeral().unwrap());
    Secrets(Arc::new(Vault::ephemeral(master, Clock::fixed(Timestamp::from_unix_us(0)))))
}

fn redactor(rules: &str, inputs: &[&str]) -> Redactor {
    let field = |name: &&str| Field { name: (*name).to_owned(), kind: FieldType::String, shape: Vec::new() };
    let signature = Signature { inputs: inputs.iter().map(field).collect(), outputs: Vec::new() };
    let set = parse(&format!(r#"{{"endpoints":["*"],{rules}}}"#)).unwrap();
    Redactor::new(
        &set,
        &EndpointName::parse("churn").unwrap(),
        (!inputs.is_empty()).then_some(&signature),
        Some(secrets()),
    )
    .unwrap()
}

fn invocation(content_type: &str, body: &str) -> Invocation {
    Invocation {
        event_id: EventId::from_bytes([7; 16]),
        arrived_at: Timestamp::from_unix_us(0),
        consumer: Consumer::anonymous(),
        caller: Caller::default(),
        endpoint: EndpointName::parse("churn").unwrap(),
        target_variant: None,
        inference_id: InferenceId::parse("order-4711").ok(),
        request: ModelRequest {
            body: Bytes::copy_from_slice(body.as_bytes()),
            content_type: Some(content_type.into()),
            custom_attributes: Some("customer=maria".into()),
            ..ModelRequest::default()
        },
    }
}

fn outcome(redactor: &Redactor, sent: (&str, &str), answered: (&str, &str)) -> Outcome {
    let answer = Bytes::copy_from_slice(answered.1.as_bytes());
    redactor.outcome(&Exchange {
        invocation: &invocation(sent.0, sent.1),
        answer: &answer,
        answer_content_type: Some(answered.0),
        is_answered: true,
        is_answer_cut: false,
        keeps_request: true,
        keeps_answer: true,
    })
}

/// What is kept of a request, or why nothing is.
fn kept(redactor: &Redactor, content_type: &str, body: &str) -> String {
    let Outcome { kept, request, .. } = outcome(redactor, (content_type, body), ("text/csv", ""));
    match request {
        Some(failed) => {
            assert!(kept.request.is_empty());
            format!("not kept: {failed}")
        }
        None => String::from_utf8(kept.request.to_vec()).unwrap(),
    }
}

const CSV: &str = "text/csv";
const JSON: &str = "application/json";

#[test]
fn cells_change_and_every_other_byte_stays() {
    let rules = redactor(r#""input":[{"columns":[1],"action":"mask"},{"columns":[3],"action":"drop"}]"#, &[]);
    assert_eq!(
        kept(&rules, CSV, "1,maria, 2 ,x\r\n\r\n2,né,,\"a \"\"b\"\", c\"\r\n"),
        "1,*****, 2 ,\r\n\r\n2,**,,\r\n"
    );
    assert_eq!(kept(&rules, "text/csv; header=present", "a,b,c,d\n1,maria,2,x"), "a,b,c,d\n1,*****,2,");
    assert_eq!(kept(&rules, CSV, "1;maria;2;x\n"), "1;*****;2;\n", "the delimiter is the one that models see");
    assert_eq!(kept(&rules, CSV, "\u{feff}1,maria,2,x"), "\u{feff}1,*****,2,");
    assert_eq!(kept(&rules, CSV, "1,,2,"), "1,,2,", "what is missing is no secret");
}

#[test]
fn csv_that_can_be_cut_in_two_ways_is_not_kept() {
    let rules = redactor(r#""input":[{"columns":[1],"action":"mask"}]"#, &[]);
    for (body, why) in [
        ("1,5'11\"", "a quote stands inside a plain cell"),
        ("1,\"maria\" x", "text stands behind a closing quote"),
        ("1,\"maria", "a quote is not closed"),
        ("1,maria\n2,jose,3", "its rows have different lengths"),
        ("maria", "it has no column 1"),
        ("{\"name\": \"maria\"}", "a quote stands inside a plain cell"),
    ] {
        assert!(kept(&rules, CSV, body).contains(why), "{body}: {}", kept(&rules, CSV, body));
    }
    assert!(kept(&rules, "image/png", "1,maria").contains("content type"));
    assert!(kept(&rules, "application/octet-stream", "1,maria").contains("content type"));
}

#[test]
fn names_find_their_columns_by_the_signature_by_a_header_and_by_the_body_itself() {
    let rules = redactor(r#""input":[{"columns":["email"],"action":"mask"}]"#, &["age", "email"]);
    assert_eq!(kept(&rules, CSV, "31,a@b"), "31,***");
    assert_eq!(kept(&rules, "text/csv; header=present", "email,age\na@b,31"), "email,age\n***,31");
    assert_eq!(kept(&rules, JSON, r#"{"instances": [[31, "a@b"]]}"#), r#"{"instances": [[31, "***"]]}"#);
    assert_eq!(kept(&rules, JSON, r#"[{"email":"a@b","age":31}]"#), r#"[{"email":"***","age":31}]"#);
    assert_eq!(kept(&rules, JSON, r#"{"features":[31,"a@b"]}"#), r#"{"features":[31,"***"]}"#);
    assert_eq!(
        kept(&rules, JSON, r#"{"dataframe_split":{"data":[["a@b",31]],"columns":["email","age"]}}"#),
        r#"{"dataframe_split":{"data":[["***",31]],"columns":["email","age"]}}"#
    );
    assert_eq!(
        kept(&rules, JSON, r#"{"dataframe_records":[{"e\u006dail":"a\"b","age":null}]}"#),
        r#"{"dataframe_records":[{"e\u006dail":"***","age":null}]}"#
    );
    assert_eq!(
        kept(&rules, "application/jsonlines", "{\"features\":[1,\"ab\"]}\n{\"features\":[2,\"c\"]}\n"),
        "{\"features\":[1,\"**\"]}\n{\"features\":[2,\"*\"]}\n"
    );
    let numbered = redactor(r#""input":[{"columns":[1],"action":"mask"}]"#, &["age", "email"]);
    assert_eq!(kept(&numbered, JSON, r#"{"age":31,"email":"a@b"}"#), r#"{"age":31,"email":"***"}"#);
    let unknown = redactor(r#""input":[{"columns":["email"],"action":"mask"}]"#, &[]);
    assert!(kept(&unknown, CSV, "31,a@b").contains("it has no column \"email\""), "nobody knows which it is");
}

#[test]
fn pointers_reach_into_documents() {
    let rules = redactor(
        r#""input":[{"pointers":["/messages/*/content","/user/tags/1"],"action":"mask"},
            {"pointers":["/user/id"],"action":"drop","optional":true}]"#,
        &[],
    );
    assert_eq!(
        kept(
            &rules,
            JSON,
            r#"{"messages":[{"content":"hi"},{"content":[1,{"a":2}]}],"user":{"tags":["x","yz"],"id":7}}"#
        ),
        r#"{"messages":[{"content":"**"},{"content":"***********"}],"user":{"tags":["x","**"],"id":null}}"#
    );
    assert_eq!(
        kept(&rules, JSON, r#"{"messages":[],"user":{"tags":[0,1]}}"#),
        r#"{"messages":[],"user":{"tags":[0,"*"]}}"#
    );
    assert!(
        kept(&rules, JSON, r#"{"messages":[{"text":"hi"}],"user":{"tags":[0,1]}}"#).contains("no value at /messages")
    );
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    for bad in [r#"{"messages":"#, r#"{"messages":[1,]}"#, r#"{} {}"#, r#"{"a":tru}"#, "[1 2]", "{1:2}", &deep] {
        assert!(kept(&rules, JSON, bad).contains("not kept"), "{bad}");
    }
}

#[test]
fn everything_that_no_rule_names_can_go() {
    let rules = redactor(r#""otherwise":"drop","input":[{"columns":["age"],"action":"keep"}]"#, &["name", "age"]);
    assert_eq!(kept(&rules, CSV, "maria,31\njose,44\n"), ",31\n,44\n");
    assert_eq!(
        kept(&rules, JSON, r#"{"instances":[{"name":"maria","age":31,"more":{"a":["x"]}}],"id":"x"}"#),
        r#"{"instances":[{"name":null,"age":31,"more":{"a":[null]}}],"id":null}"#
    );
    let outcome = outcome(&rules, (CSV, "maria,31"), (JSON, r#"{"score": 0.5, "why": ["maria"]}"#));
    assert_eq!(outcome.kept.answer, r#"{"score": null, "why": [null]}"#);
    assert_eq!((outcome.kept.custom_attributes, outcome.kept.inference_id), (None, None));
}

#[test]
fn a_flat_list_of_answers_may_be_one_for_each_row() {
    let rules = redactor(r#""output":[{"columns":[0],"action":"drop"}]"#, &[]);
    let answer = |body: (&str, &str)| outcome(&rules, (CSV, "1\n2"), body).kept.answer;
    assert_eq!(answer((CSV, "0.1,0.9\n")), ",\n");
    assert_eq!(answer((JSON, r#"{"predictions":[0.1, 0.9]}"#)), r#"{"predictions":[null, null]}"#);
    assert_eq!(answer((JSON, r#"[[0.1, 0.9]]"#)), r#"[[null, 0.9]]"#);
}

#[test]
fn pseudonyms_are_equal_for_equal_values_however_they_are_written_and_need_the_key() {
    let rules = redactor(r#""input":[{"columns":[0],"action":"hmac"}]"#, &[]);
    let csv = kept(&rules, CSV, "12345678909,1");
    assert!(csv.starts_with("[REDACTED len=11 h=") && csv.ends_with("],1"), "{csv}");
    let token = csv.strip_suffix(",1").unwrap();
    assert_eq!(kept(&rules, JSON, "[[12345678909, 1]]"), format!("[[\"{token}\", 1]]"));
    assert_eq!(kept(&rules, JSON, r#"[["12345678909", 1]]"#), format!("[[\"{token}\", 1]]"));
    assert_ne!(kept(&rules, CSV, "12345678908,1"), csv);
    let other = redactor(r#""input":[{"columns":[0],"action":"hmac"}]"#, &[]);
    assert_ne!(kept(&other, CSV, "12345678909,1"), csv, "another master key, other pseudonyms");
}

#[test]
fn each_row_is_sealed_under_the_key_of_its_own_subject() {
    let rules = redactor(
        r#""subject":{"column":0},"input":[{"columns":[0,1],"action":"encrypt"}],"output":[{"columns":[0],"action":"encrypt"}]"#,
        &[],
    );
    let kept = outcome(&rules, (CSV, "maria,1,x\njose,2,y\n"), (CSV, "0.1\n0.2\n")).kept;
    let vault = &rules.secrets.as_ref().unwrap().0;
    let (maria, jose) = (vault.key("churn", "maria").unwrap(), vault.key("churn", "jose").unwrap());
    let tokens = |body: &Bytes| -> Vec<String> {
        let text = String::from_utf8(body.to_vec()).unwrap();
        crate::vault::tokens(&text).map(|token| token.key.to_owned()).collect()
    };
    let id = |key: &DataKey| crate::vault::tokens(&key.seal(b"").unwrap()).next().unwrap().key.to_owned();
    assert_eq!(tokens(&kept.request), [id(&maria), id(&maria), id(&jose), id(&jose)]);
    assert_eq!(tokens(&kept.answer), [id(&maria), id(&jose)]);
    let unpaired = outcome(&rules, (CSV, "maria,1,x\njose,2,y\n"), (CSV, "0.1\n0.2\n0.3\n"));
    assert!(matches!(unpaired.answer, Some(Failed::SeveralSubjects)));
    let nobody = outcome(&rules, (CSV, ",1,x\n"), (CSV, "0.1"));
    assert!(matches!(nobody.request, Some(Failed::NoSubject)) && nobody.kept.request.is_empty());
}

#[test]
fn a_whole_body_is_one_sealed_value_whatever_it_is() {
    let rules = redactor(
        r#""subject":{"header":"inference-id"},"input_body":"encrypt","output_body":"hmac","custom_attributes":"encrypt""#,
        &[],
    );
    let kept = outcome(&rules, ("image/png", "\u{1}maria"), (JSON, "{}")).kept;
    assert!(kept.request.starts_with(b"[ENCRYPTED k=") && kept.answer.starts_with(b"\"[REDACTED len=2 h="));
    assert!(kept.custom_attributes.unwrap().starts_with("[ENCRYPTED"));
    assert_eq!(kept.inference_id.unwrap().as_str(), "order-4711");
}

#[test]
fn the_words_of_a_failed_call_and_half_an_answer_are_not_kept() {
    let answer = Bytes::from_static(b"could not convert string to float: 'maria'");
    let told = |rules: &str, is_answered, is_answer_cut| {
        redactor(rules, &[]).outcome(&Exchange {
            invocation: &invocation(CSV, "maria,1"),
            answer: &answer,
            answer_content_type: Some(CSV),
            is_answered,
            is_answer_cut,
            keeps_request: true,
            keeps_answer: true,
        })
    };
    let rules = r#""input":[{"columns":[0],"action":"drop"}]"#;
    assert!(told(rules, false, false).kept.answer.is_empty());
    assert_eq!(told(&format!(r#"{rules},"errors":"keep""#), false, false).kept.answer, answer);
    let both = format!(r#"{rules},"output":[{{"columns":[0],"action":"mask"}}]"#);
    assert!(matches!(told(&both, true, true).answer, Some(Failed::Cut)));
}

#[test]
fn rules_without_their_secret_keep_nothing() {
    let set = parse(r#"{"endpoints":["*"],"input":[{"columns":[0],"action":"hmac"}]}"#).unwrap();
    let rules = Redactor::new(&set, &EndpointName::parse("churn").unwrap(), None, None).unwrap();
    assert!(kept(&rules, CSV, "maria,1").starts_with("not kept"));
}

const CANARY: &str = "canary-7f3a";

fn cell() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9 .é-]{0,12}", "[,;\"\n\t]{0,4}", Just(CANARY.to_owned())]
}

fn csv_cell(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

proptest! {
    #[test]
    fn nothing_of_a_secret_column_is_left_and_the_other_cells_are_as_they_were(
        rows in prop::collection::vec(prop::collection::vec("[a-z0-9 .é-]{0,12}|[,;\"\t]{1,4}|[,\"\n]{1,4}", 4), 1..5),
        secret in 0_usize..4,
        action in prop::sample::select(vec!["drop", "mask", "hmac", "encrypt"]),
    ) {
        let rules = redactor(
            &format!(r#""subject":{{"header":"inference-id"}},"input":[{{"columns":[{secret}],"action":"{action}"}}]"#),
            &[],
        );
        let with_secret = |at: usize, text: &String| if at == secret { format!("{text}{CANARY}") } else { text.clone() };
        let line = |row: &Vec<String>| {
            row.iter().enumerate().map(|(at, text)| csv_cell(&with_secret(at, text))).collect::<Vec<_>>().join(",")
        };
        let csv = rows.iter().map(line).collect::<Vec<_>>().join("\n");
        let changed = kept(&rules, CSV, &csv);
        prop_assert!(!changed.contains(CANARY) && !changed.starts_with("not kept"), "{}", changed);
        let again = redactor(r#""input":[{"columns":[0,1,2,3],"action":"mask"}]"#, &[]);
        prop_assert!(!kept(&again, CSV, &changed).starts_with("not kept"), "it is still CSV: {}", changed);
        for (row, text) in rows.iter().enumerate().flat_map(|(at, row)| row.iter().enumerate().map(move |cell| (at, cell))) {
            if text.0 != secret {
                prop_assert!(changed.contains(&csv_cell(text.1)), "row {} kept {:?}", row, text.1);
            }
        }

        let json: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().enumerate().map(|(at, text)| with_secret(at, text)).collect())
            .collect();
        let changed = kept(&rules, JSON, &serde_json::json!({ "instances": json }).to_string());
        prop_assert!(!changed.contains(CANARY), "{}", changed);
        let parsed: serde_json::Value = serde_json::from_str(&changed).unwrap();
        for (row, before) in json.iter().enumerate() {
            for (at, text) in before.iter().enumerate().filter(|(at, _)| *at != secret) {
                prop_assert_eq!(parsed["instances"][row][at].as_str(), Some(text.as_str()));
            }
        }
    }

    #[test]
    fn whatever_a_body_is_it_is_kept_without_what_otherwise_goes_or_not_at_all(
        cells in prop::collection::vec(cell(), 0..8),
        content_type in prop::sample::select(vec![CSV, JSON, "application/jsonlines", "text/csv; header=present"]),
        shape in "[\\[\\]{}:,\" \n0-9a-z]{0,30}",
    ) {
        let rules = redactor(r#""otherwise":"drop""#, &[]);
        let text = format!("{}{shape}", cells.join(","));
        let changed = kept(&rules, content_type, &text);
        let is_header = content_type.ends_with("present");
        prop_assert!(is_header || !changed.contains(CANARY) || is_name(&text), "{} became {}", text, changed);
    }
}

/// Whether the canary is the name of a member: names are kept.
fn is_name(text: &str) -> bool {
    text.contains(&format!("\"{CANARY}\""))
}
