//! STS behind the door: who one is, and nothing else.
//!
//! Refuses to: give out session tokens. Keys are made with `captura keys create`.

use bytes::Bytes;
use captura_names::EventId;
use captura_route::Consumer;
use captura_wire::action::form_member;
use captura_wire::denial::query_fault;
use captura_wire::scope::Scope;
use captura_wire::sts::{CONTENT_TYPE, caller_identity, invalid_action};
use http::{HeaderValue, Request, Response, StatusCode, header};

const SERVICE: &str = "sts";
const GET_CALLER_IDENTITY: &str = "GetCallerIdentity";

fn scope(request: &Request<Bytes>) -> Option<Scope<'_>> {
    match request.headers().get(header::AUTHORIZATION) {
        Some(value) => Scope::of_authorization(value.to_str().ok()?),
        None => Scope::of_query(request.uri().query()?),
    }
}

/// What a request of the query protocol asks for.
pub(crate) fn action(request: &Request<Bytes>) -> Option<String> {
    let in_query = request.uri().query().and_then(|query| form_member(query.as_bytes(), "Action"));
    in_query.or_else(|| form_member(request.body(), "Action"))
}

/// Whether a request is for STS: it is signed for it, or carries no signature and asks who one is.
pub(crate) fn is_for_sts(request: &Request<Bytes>) -> bool {
    match scope(request) {
        Some(scope) => scope.service() == SERVICE,
        None => request.uri().path() == "/" && action(request).as_deref() == Some(GET_CALLER_IDENTITY),
    }
}

/// Answers a request for STS.
pub(crate) fn answer(request: &Request<Bytes>, account: &str) -> Response<Bytes> {
    let id = EventId::from_random_bytes(*uuid::Uuid::new_v4().as_bytes()).to_string();
    let anonymous = Consumer::anonymous();
    let consumer = request.extensions().get().unwrap_or(&anonymous);
    let key = scope(request).map(|scope| scope.access_key_id().to_owned());
    let user_id = key.as_deref().unwrap_or(consumer.as_str());
    let (status, body) = match action(request).as_deref() {
        Some(GET_CALLER_IDENTITY) => (StatusCode::OK, caller_identity(account, consumer.as_str(), user_id, &id)),
        other => (StatusCode::BAD_REQUEST, invalid_action(other.unwrap_or_default(), &id)),
    };
    in_xml(status, body, &id)
}

/// An error of the query protocol.
pub(crate) fn refusal(code: &str, message: &str) -> Response<Bytes> {
    let id = EventId::from_random_bytes(*uuid::Uuid::new_v4().as_bytes()).to_string();
    in_xml(StatusCode::BAD_REQUEST, query_fault(code, message, &id), &id)
}

fn in_xml(status: StatusCode, body: Vec<u8>, id: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if let Ok(id) = id.parse() {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, service: Option<&str>, body: &'static str) -> Request<Bytes> {
        let mut request = Request::builder().method("POST").uri(target);
        if let Some(service) = service {
            let scope = format!("AKIDBILLING/20260131/us-east-1/{service}/aws4_request");
            request = request.header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            );
        }
        let mut request = request.body(Bytes::from_static(body.as_bytes())).unwrap();
        request.extensions_mut().insert(Consumer::new("bill<ing"));
        request
    }

    fn told(request: &Request<Bytes>) -> (u16, String) {
        let answer = answer(request, "123456789012");
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    }

    #[test]
    fn who_calls_is_told_in_the_words_of_sts() {
        let asked = request("/", Some("sts"), "Action=GetCallerIdentity&Version=2011-06-15");
        assert!(is_for_sts(&asked));
        let (status, body) = told(&asked);
        assert_eq!(status, 200);
        assert!(
            body.contains(
                "<GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/bill&lt;ing</Arn><UserId>AKIDBILLING</UserId>\
                 <Account>123456789012</Account></GetCallerIdentityResult>"
            ),
            "{body}"
        );
        let presigned = request("/?Action=GetCallerIdentity&Version=2011-06-15", None, "");
        assert!(is_for_sts(&presigned) && told(&presigned).0 == 200);
    }

    #[test]
    fn everything_else_of_sts_is_an_invalid_action_and_nothing_else_is_stss() {
        let (status, body) = told(&request("/", Some("sts"), "Action=AssumeRole&RoleArn=x"));
        assert_eq!(status, 400);
        assert!(body.contains("<Code>InvalidAction</Code>") && body.contains("AssumeRole"), "{body}");
        assert!(!is_for_sts(&request("/", Some("monitoring"), "Action=GetCallerIdentity")));
        assert!(!is_for_sts(&request("/", None, "Action=ListMetrics")));
        assert!(!is_for_sts(&request("/elsewhere", None, "Action=GetCallerIdentity")));
    }
}
