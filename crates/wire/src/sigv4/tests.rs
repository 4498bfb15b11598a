//! What is refused before and after a secret is looked at. Requests are signed by our own signer, which the suite's
//! verifier agrees with.

use captura_names::Timestamp;

use super::*;
use crate::denial::Denial;

const DAY: &str = "2026-01-31T12:00:00Z";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A request that is signed, and then altered.
#[derive(Clone)]
struct Request {
    method: &'static str,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn signed(service: &str) -> Self {
        Self::signed_with(service, &[], "/", "")
    }

    fn signed_with(service: &str, more: &[(&str, &str)], path: &str, query: &str) -> Self {
        let mut headers = vec![
            ("content-type".to_owned(), "application/x-amz-json-1.1".to_owned()),
            ("host".to_owned(), "127.0.0.1:8080".to_owned()),
            ("x-amz-date".to_owned(), amz_date(at(DAY))),
        ];
        headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut request =
            Self { method: "POST", path: path.into(), query: query.into(), headers, body: r#"{"a":1}"#.into() };
        let secret = Secret::new("a secret".into());
        let credentials = Credentials { access_key_id: "AKID", secret: &secret, region: "eu-west-1", service };
        let header = sign(&request.head(), request.body.as_bytes(), &credentials, at(DAY));
        request.headers.push(("authorization".into(), header));
        request
    }

    fn head(&self) -> Head<'_> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        Head { method: self.method, path: &self.path, query: &self.query, headers }
    }

    fn header(&mut self, name: &str) -> &mut String {
        &mut self.headers.iter_mut().find(|(known, _)| known == name).unwrap().1
    }

    fn replace(mut self, name: &str, from: &str, to: &str) -> Self {
        let value = self.header(name);
        assert!(value.contains(from), "{value}");
        *value = value.replace(from, to);
        self
    }

    fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// `Ok` when a server with the right secret would let it in at that moment.
    fn verify_at(&self, now: &str) -> Result<(), Denial> {
        let head = self.head();
        let presented = Presented::of(&head)?.ok_or(Denial::Unsigned)?;
        presented.check(&head, at(now))?;
        let digest = presented.check_body(self.body.as_bytes())?;
        let is_right = presented.is_signed_with(&head, &Secret::new("a secret".into()), &digest);
        is_right.then_some(()).ok_or(Denial::SignatureDoesNotMatch)
    }

    fn verify(&self) -> Result<(), Denial> {
        self.verify_at(DAY)
    }
}

#[test]
fn fourteen_minutes_off_is_right_and_sixteen_is_not() {
    let request = Request::signed("sagemaker");
    for fine in ["2026-01-31T11:46:00Z", "2026-01-31T12:14:00Z", "2026-01-31T12:15:00Z"] {
        assert_eq!(request.verify_at(fine), Ok(()), "{fine}");
    }
    for (now, sign) in [("2026-01-31T11:44:00Z", '+'), ("2026-01-31T12:16:00Z", '-')] {
        let denial = request.verify_at(now).unwrap_err();
        assert!(matches!(&denial, Denial::Skewed { sign: found, .. } if *found == sign), "{denial:?}");
    }
    let late = request.verify_at("2026-01-31T12:16:00Z").unwrap_err();
    let text = late.answer(crate::denial::Dialect::AwsJson, "").body;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains(
            "Signature expired: 20260131T120000Z is now earlier than 20260131T120100Z (20260131T121600Z - 15 min.)"
        ),
        "{text}"
    );
}

#[test]
fn every_part_of_the_scope_is_signed() {
    let request = Request::signed("sagemaker");
    for (from, to) in
        [("eu-west-1", "us-east-1"), ("/sagemaker/", "/s3/"), ("Credential=AKID/20260131", "Credential=AKID/20260130")]
    {
        assert!(request.clone().replace("authorization", from, to).verify().is_err(), "{to}");
    }
    let day = request.clone().replace("authorization", "AKID/20260131", "AKID/20260130").verify();
    assert_eq!(day, Err(Denial::ScopeDate { scope: "20260130".into(), day: "20260131".into() }));
    let terminator = request.replace("authorization", "aws4_request", "aws5_request").verify();
    assert_eq!(terminator, Err(Denial::UnusableCredential));
}

#[test]
fn a_body_is_held_against_what_was_signed() {
    let mut altered = Request::signed("sagemaker");
    altered.body.push(' ');
    assert_eq!(altered.verify(), Err(Denial::SignatureDoesNotMatch));

    let digest = sha256_hex(br#"{"a":1}"#);
    let declared = Request::signed_with("s3", &[("x-amz-content-sha256", &digest)], "/b/k", "");
    assert_eq!(declared.verify(), Ok(()));
    let mut altered = declared.clone();
    altered.body.push(' ');
    assert_eq!(altered.verify(), Err(Denial::PayloadDoesNotMatch { is_s3: true }));
    let lied = declared.replace("x-amz-content-sha256", &digest, &sha256_hex(b"other"));
    assert_eq!(lied.verify(), Err(Denial::PayloadDoesNotMatch { is_s3: true }));
}

#[test]
fn bodies_that_are_not_covered_are_for_s3_alone() {
    for word in ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"] {
        let request = |service| Request::signed_with(service, &[("x-amz-content-sha256", word)], "/b/k", "");
        assert_eq!(request("s3").verify(), Ok(()), "{word}");
        for service in ["sagemaker", "sts", "monitoring"] {
            assert_eq!(request(service).verify(), Err(Denial::PayloadHashUnusable), "{word} {service}");
        }
    }
    let unknown = Request::signed_with("s3", &[("x-amz-content-sha256", "STREAMING-NOTHING")], "/b/k", "");
    assert_eq!(unknown.verify(), Err(Denial::PayloadHashUnusable));
    assert_eq!(Request::signed_with("s3", &[], "/b/k", "").verify(), Err(Denial::PayloadHashMissing));
}

#[test]
fn what_must_be_signed_is_and_what_is_signed_is_there() {
    let request = Request::signed_with("sagemaker", &[("x-amz-target", "SageMaker.ListModels")], "/", "");
    assert_eq!(request.verify(), Ok(()));
    let unsigned = |name: &str| Err(Denial::HeaderNotSigned(name.to_owned()));
    assert_eq!(request.clone().replace("authorization", "host;", "").verify(), unsigned("host"));
    assert_eq!(request.clone().replace("authorization", ";x-amz-target", "").verify(), unsigned("x-amz-target"));
    assert_eq!(request.clone().and("x-amz-acl", "public-read").verify(), unsigned("x-amz-acl"));
    assert_eq!(request.clone().without("content-type").verify(), Err(Denial::HeaderAbsent("content-type".into())));
    assert_eq!(
        request.clone().and("x-amz-target", "SageMaker.DeleteModel").verify(),
        Err(Denial::SignatureDoesNotMatch),
        "a second value of a signed header"
    );
    for list in ["host;host;", "x-amz-date;host;", "Host;"] {
        let denial = request.clone().replace("authorization", "host;", list).verify();
        assert!(matches!(denial, Err(Denial::Malformed(_) | Denial::HeaderAbsent(_))), "{list} {denial:?}");
    }
}

#[test]
fn credentials_stand_in_one_place_once() {
    let request = Request::signed("sagemaker");
    let header = request.clone().header("authorization").clone();
    assert!(matches!(request.clone().and("authorization", &header).verify(), Err(Denial::Malformed(_))));
    for query in
        ["X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Signature=0", "a=b&X-Amz-Credential=AKID", "X-Amz-Signatur%65=0"]
    {
        let both = Request { query: query.into(), ..request.clone() };
        assert!(matches!(both.verify(), Err(Denial::Malformed(_))), "{query}");
    }
    for broken in ["", "Basic eDp5", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=AKID/20260131/r/s/aws4_request"] {
        let mut broken_request = request.clone();
        *broken_request.header("authorization") = broken.into();
        assert!(matches!(broken_request.verify(), Err(Denial::Malformed(_))), "{broken:?}");
    }
    let twice = request.clone().replace("authorization", "SignedHeaders=", "SignedHeaders=host, SignedHeaders=");
    assert!(matches!(twice.verify(), Err(Denial::Malformed(_))));
    let unsigned = request.without("authorization");
    assert_eq!(unsigned.verify(), Err(Denial::Unsigned));
    let query = "AWSAccessKeyId=AKID&Signature=c2ln&Expires=1795699331".into();
    let old = Request { query, ..unsigned };
    let answer = old.verify().unwrap_err().answer(crate::denial::Dialect::S3, "");
    assert_eq!((answer.status, answer.code), (400, "InvalidRequest"));
    assert!(String::from_utf8(answer.body).unwrap().contains("Please use AWS4-HMAC-SHA256."));
}

#[test]
fn a_presigned_address_lives_as_long_as_it_says_and_a_week_at_most() {
    let signed = |seconds: &str, now: &str| {
        // GET / of AWS's suite with another life is not signed any more; its time is checked first.
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260131%2Fr%2Fs3%2Faws4_request&\
             X-Amz-Date=20260131T120000Z&X-Amz-Expires={seconds}&X-Amz-SignedHeaders=host&X-Amz-Signature={}",
            "0".repeat(64)
        );
        let headers = vec![("host".to_owned(), "localhost".to_owned())];
        Request { method: "GET", path: "/b/k".into(), query, headers, body: String::new() }.verify_at(now)
    };
    assert_eq!(signed("3600", "2026-01-31T12:59:00Z"), Err(Denial::SignatureDoesNotMatch), "in time, and checked");
    assert_eq!(signed("3600", "2026-01-31T13:01:00Z"), Err(Denial::Expired));
    assert_eq!(signed("604800", "2026-02-07T11:59:00Z"), Err(Denial::SignatureDoesNotMatch));
    assert_eq!(signed("604801", "2026-01-31T12:00:00Z"), Err(Denial::ExpiresTooLong));
    for seconds in ["", "-1", "+5", "1e3", "99999999999999999999"] {
        assert!(matches!(signed(seconds, DAY), Err(Denial::Malformed(_))), "{seconds}");
    }
}

#[test]
fn a_path_and_a_query_have_one_form_however_they_are_written() {
    let s3 = [("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
    for (service, signed, sent) in [
        ("sagemaker", "/a/b", "/a//b"),
        ("sagemaker", "/a/b", "/a/./x/../b"),
        ("s3", "/b/a%2Fb", "/b/a%2fb"),
        ("s3", "/b/~a", "/b/%7Ea"),
        ("s3", "/b/a%28b", "/b/a(b"),
    ] {
        let mut request = Request::signed_with(service, if service == "s3" { &s3 } else { &[] }, signed, "");
        request.path = sent.into();
        assert_eq!(request.verify(), Ok(()), "{service} {signed} {sent}");
    }
    for (service, signed, sent) in [
        ("s3", "/b/a/b", "/b/a//b"),
        ("s3", "/b/a", "/b/x/../a"),
        ("s3", "/b/a/b", "/b/a%2Fb"),
        ("s3", "/b/a%2Fb", "/b/a%252Fb"),
        ("sagemaker", "/a/%2e%2e/b", "/b"),
        ("sagemaker", "/a%20b", "/a%2520b"),
    ] {
        let mut request = Request::signed_with(service, if service == "s3" { &s3 } else { &[] }, signed, "");
        request.path = sent.into();
        assert_eq!(request.verify(), Err(Denial::SignatureDoesNotMatch), "{service} {signed} {sent}");
    }
    for (signed, sent) in
        [("a=1&b=2", "b=2&a=1"), ("a", "a="), ("a=x%20y", "a=x+y"), ("a=%2F", "a=/"), ("a=%2f", "a=%2F")]
    {
        let mut request = Request::signed_with("sagemaker", &[], "/", signed);
        request.query = sent.into();
        assert_eq!(request.verify(), Ok(()), "{signed} {sent}");
    }
    for (signed, sent) in [("a=1", "a=1&a=1"), ("a=1", "A=1"), ("a=%2B", "a=+"), ("a=1", "a=1&b")] {
        let mut request = Request::signed_with("sagemaker", &[], "/", signed);
        request.query = sent.into();
        assert_eq!(request.verify(), Err(Denial::SignatureDoesNotMatch), "{signed} {sent}");
    }
}

#[test]
fn a_date_header_serves_where_there_is_no_other() {
    let mut request = Request::signed("sagemaker");
    request = request.without("x-amz-date").and("date", "Sat, 31 Jan 2026 12:00:00 GMT");
    assert_eq!(request.verify(), Err(Denial::HeaderAbsent("x-amz-date".into())), "read, though signed otherwise");
    assert!(matches!(request.without("date").verify(), Err(Denial::Malformed(_))), "no time at all");
}

proptest::proptest! {
    /// What nobody has signed yet is anybody's bytes.
    #[test]
    fn no_bytes_make_it_panic_or_let_anybody_in(
        path in "[ -~é]{0,20}",
        query in "(X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature)=[%a-zA-Z0-9/;-]{0,12}&?){0,7}|[ -~é]{0,40}",
        authorization in "AWS4-HMAC-SHA256 Credential=[A-Z]{0,3}/20260131/r/s3/aws4_request, SignedHeaders=[a-z;-]{0,9}, Signature=[0-9a-f]{64}|[ -~é]{0,60}",
        date in "20260131T[0-9]{6}Z|[ -~é]{0,16}",
        hash in "UNSIGNED-PAYLOAD|[0-9a-f]{64}|[ -~]{0,20}",
    ) {
        let headers = [("host", "h"), ("x-amz-date", &date), ("x-amz-content-sha256", &hash), ("authorization", &authorization)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let mut request = Request { method: "GET", path, query, headers, body: String::new() };
        proptest::prop_assert!(request.verify().is_err());
        request.headers.pop();
        proptest::prop_assert!(request.verify().is_err());
    }

    #[test]
    fn no_bytes_make_the_watch_over_chunks_panic(pieces in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..40), 0..5)) {
        let request = Request::signed_with("s3", &[("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")], "/b/k", "");
        let head = request.head();
        let chain = Presented::of(&head).unwrap().unwrap().chunks(&Secret::new("a secret".into())).unwrap();
        let mut watch = ChunkWatch::new(chain);
        proptest::prop_assert!(pieces.iter().try_for_each(|piece| watch.feed(piece)).is_err() || !watch.is_done());
    }
}

#[test]
fn a_secret_is_never_printed() {
    assert_eq!(format!("{:?}", Secret::new("canary".into())), "Secret(…)");
}

/// A comparison that stops at the first difference would tell a caller how much of a signature is right. What is
/// asserted is how it compares, for every place of the first difference; a clock in a test would only guess.
#[test]
fn signatures_are_compared_to_their_end() {
    let right = [7; 32];
    for place in 0..32 {
        let mut wrong = right;
        wrong[place] ^= 1;
        assert!(!presented::same(&right, &wrong), "{place}");
    }
    assert!(presented::same(&right, &right));
    assert!(!presented::same(&right, &right[..31]));
}
