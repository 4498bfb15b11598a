use captura_names::InferenceId;
use captura_route::{Principal, UserAgent};
use proptest::prelude::*;

use super::*;
use crate::fixture::{payload, policy, record};
use crate::line::Line;

const TAIL: &str = r#""inferenceTime":"2022-04-18T00:21:48Z"},"eventVersion":"0"}"#;
const ID: &str = "55126149-826d-415a-967b-33fa7f4666f3";

fn line(record: &Record, extension: bool) -> String {
    let mut out = Vec::new();
    write_line(&mut out, record, extension);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_record_of_the_contract_byte_for_byte() {
    let mut record = record(7);
    record.request = Some(payload(Some("text/csv"), b"36.5,12\n"));
    record.response = Some(payload(Some("text/csv; charset=utf-8"), b"0.0136"));
    let expected = format!(
        "{}{}{}\n",
        r#"{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"36.5,12\n","encoding":"CSV"},"#,
        r#""endpointOutput":{"observedContentType":"text/csv; charset=utf-8","mode":"OUTPUT","data":"0.0136","encoding":"CSV"}},"#,
        format_args!(r#""eventMetadata":{{"eventId":"{ID}",{TAIL}"#),
    );
    assert_eq!(line(&record, false), expected);
}

#[test]
fn the_extension_is_the_last_key() {
    let mut record = record(7);
    record.request_size_bytes = 8;
    record.response_size_bytes = 3;
    let with = line(&record, true);
    let without = line(&record, false);
    let extension = concat!(
        r#","captura":{"lsn":"000000aa-3-7","consumer":"team \"fraud\"","outcome":"ok","status":200,"#,
        r#""modelLatencyUs":1200,"totalLatencyUs":1500,"requestSizeBytes":8,"responseSizeBytes":3,"#,
        r#""samplingProbability":1.0,"modelName":"churn-1","endpointConfigName":"churn-config"}"#
    );
    assert_eq!(with, format!("{}{extension}}}\n", without.strip_suffix("}\n").unwrap()));
    let told = |record: &Record| line(record, true).replace(&without[..without.len() - 2], "");
    record.caller.user_agent = UserAgent::new("say \"hi\"");
    assert!(told(&record).contains(r#""consumer":"team \"fraud\"","userAgent":"say \"hi\"","outcome""#));
    record.caller.principal = Principal::new("key:AKIA");
    record.caller.source_address = Some("2001:db8::7".parse().unwrap());
    let caller = r#","principal":"key:AKIA","sourceIPAddress":"2001:db8::7","userAgent":"say \"hi\"","outcome""#;
    assert!(told(&record).contains(caller), "{}", told(&record));
    record.caller = Caller { is_copy: true, ..Caller::default() };
    assert!(told(&record).contains(r#""consumer":"team \"fraud\"","shadowCopy":true,"outcome""#));
    record.caller = Caller::default();
    record.target_model = Some("eu/\"north\".tar.gz".into());
    assert_eq!(line(&record, false), without);
    let told = r#""modelName":"churn-1","targetModel":"eu/\"north\".tar.gz","endpointConfigName":"churn-config"}}"#;
    assert!(line(&record, true).ends_with(&format!("{told}\n")), "{}", line(&record, true));
}

#[test]
fn every_content_type_and_encoding() {
    let cases: &[(Option<&str>, &[u8], &str)] = &[
        (Some("text/csv"), b"1,2", r#""data":"1,2","encoding":"CSV""#),
        (Some("text/csv; charset=utf-8"), b"1,2", r#""data":"1,2","encoding":"CSV""#),
        (Some("TEXT/CSV ;header=present"), b"1,2", r#""data":"1,2","encoding":"CSV""#),
        (Some("application/json"), b"{\n  \"a\": 1\n}", r#""data":"{\n  \"a\": 1\n}","encoding":"JSON""#),
        (Some("application/jsonlines"), b"{}\n{}\n", r#""data":"{}\n{}\n","encoding":"JSON""#),
        (Some("text/html; charset=utf-8"), b"<p>", r#""data":"PHA+","encoding":"BASE64""#),
        (Some("text/csv-x"), b"1,2", r#""data":"MSwy","encoding":"BASE64""#),
        (Some(""), b"1", r#""data":"MQ==","encoding":"BASE64""#),
        (Some("text/csv"), b"1,\xff", r#""data":"MSz/","encoding":"BASE64""#),
        (Some("application/json"), b"\xc3", r#""data":"ww==","encoding":"BASE64""#),
        (Some("text/csv"), b"", r#""data":"","encoding":"CSV""#),
        (Some("image/png"), b"", r#""data":"","encoding":"BASE64""#),
        (None, b"1,2", r#""data":"MSwy","encoding":"BASE64""#),
    ];
    for (content_type, body, expected) in cases {
        let observed = content_type.map(|text| format!("\"observedContentType\":\"{text}\",")).unwrap_or_default();
        let mut one = record(7);
        one.request = Some(payload(*content_type, body));
        one.response = None;
        let wanted = format!(
            r#"{{"captureData":{{"endpointInput":{{{observed}"mode":"INPUT",{expected}}}}},"eventMetadata":{{"eventId":"{ID}",{TAIL}"#
        );
        assert_eq!(line(&one, false).trim_end(), wanted);
        one.response = one.request.take();
        let wanted = format!(
            r#"{{"captureData":{{"endpointOutput":{{{observed}"mode":"OUTPUT",{expected}}}}},"eventMetadata":{{"eventId":"{ID}",{TAIL}"#
        );
        assert_eq!(line(&one, false).trim_end(), wanted);
    }
}

#[test]
fn each_side_is_judged_alone() {
    let mut one = record(7);
    one.request = Some(payload(Some("application/octet-stream"), b"\0"));
    one.response = Some(payload(Some("application/json"), b"[]"));
    let text = line(&one, false);
    assert!(text.contains(r#""mode":"INPUT","data":"AA==","encoding":"BASE64""#), "{text}");
    assert!(text.contains(r#""mode":"OUTPUT","data":"[]","encoding":"JSON""#), "{text}");
}

#[test]
fn without_lists_everything_is_base64() {
    let mut one = record(7);
    one.policy = std::sync::Arc::new(policy("churn", "AllTraffic", "s3://captures/churn", &[], &[]));
    assert_eq!(line(&one, false).matches("BASE64").count(), 2);
}

#[test]
fn optional_members_in_every_combination() {
    for (attributes, inference_id, expected) in [
        (None, None, String::new()),
        (Some("a=1,b=\"2\""), None, r#""customAttributes":["a=1,b=\"2\""],"#.to_owned()),
        (None, Some("57"), r#""inferenceId":"57","#.to_owned()),
        (Some("a"), Some("57"), r#""customAttributes":["a"],"inferenceId":"57","#.to_owned()),
    ] {
        let mut one = record(7);
        (one.request, one.response) = (None, None);
        one.custom_attributes = attributes.map(Into::into);
        one.inference_id = inference_id.map(|id| InferenceId::parse(id).unwrap());
        let wanted = format!(r#"{{"captureData":{{}},"eventMetadata":{{"eventId":"{ID}",{expected}{TAIL}"#);
        assert_eq!(line(&one, false).trim_end(), wanted);
    }
}

#[test]
fn only_what_json_demands_is_escaped() {
    let mut out = Vec::new();
    let text: String = (0..=0x7f_u8).map(char::from).chain("é🦀\u{2028}/".chars()).collect();
    write_escaped(&mut out, text.as_bytes());
    let escaped = String::from_utf8(out).unwrap();
    assert!(
        escaped.starts_with(r"\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e"),
        "{escaped}"
    );
    assert!(escaped.ends_with("\u{7f}é🦀\u{2028}/"), "{escaped}");
    assert_eq!(serde_json::from_str::<String>(&format!("\"{escaped}\"")).unwrap(), text);
}

#[test]
fn shares_are_shortest_decimals() {
    for percent in 0..=100_u8 {
        let mut out = Vec::new();
        write_share(&mut out, percent);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, format!("{:?}", f64::from(percent) / 100.0));
    }
}

proptest! {
    #[test]
    fn rendering_then_parsing_gives_the_same_bytes_back(
        request in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
        response in proptest::option::of("[\\PC\n\r\t\"\\\\]{0,90}"),
        request_type in proptest::option::of(prop_oneof!["text/csv", "application/json", "[ -~]{0,20}"]),
        attributes in proptest::option::of("[ -~]{1,40}"),
        extension: bool,
        origin in (proptest::option::of("\\PC{0,40}"), any::<Option<std::net::IpAddr>>()),
    ) {
        let mut one = record(7);
        one.request = request.map(|body| Payload { content_type: request_type.map(Into::into), body: body.into() });
        one.response = response.map(|body| payload(Some("application/json"), body.as_bytes()));
        one.custom_attributes = attributes.map(Into::into);
        one.caller = Caller {
            principal: origin.0.as_deref().and_then(Principal::new),
            source_address: origin.1,
            user_agent: origin.0.as_deref().and_then(UserAgent::new),
            is_copy: extension,
        };
        let text = line(&one, extension);
        prop_assert_eq!(text.matches('\n').count(), 1);
        let back = Line::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(back.event_id, one.event_id);
        prop_assert_eq!(back.caller, if extension { one.caller.clone() } else { Caller::default() });
        prop_assert_eq!(back.consumer, extension.then(|| one.consumer.as_str().to_owned()));
        prop_assert_eq!(back.lsn, extension.then_some(one.lsn));
        prop_assert_eq!(back.custom_attributes, one.custom_attributes.as_deref().map(|text| vec![text.to_owned()]));
        for (side, original) in [(back.input, &one.request), (back.output, &one.response)] {
            prop_assert_eq!(side.as_ref().map(|side| side.body.clone()), original.as_ref().map(|side| side.body.clone()));
            let types = (side.and_then(|side| side.content_type), original.as_ref().and_then(|side| side.content_type.clone()));
            prop_assert_eq!(types.0.map(String::into_boxed_str), types.1);
        }
    }
}
