//! What the contract sends.

use bytes::Bytes;
use captura_route::ModelRequest;
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

pub(super) static CUSTOM_ATTRIBUTES: HeaderName = HeaderName::from_static("x-amzn-sagemaker-custom-attributes");
pub(super) static NEW_SESSION_ID: HeaderName = HeaderName::from_static("x-amzn-sagemaker-new-session-id");
pub(super) static CLOSED_SESSION_ID: HeaderName = HeaderName::from_static("x-amzn-sagemaker-closed-session-id");
static SESSION_ID: HeaderName = HeaderName::from_static("x-amzn-sagemaker-session-id");
static TARGET_MODEL: HeaderName = HeaderName::from_static("x-amzn-sagemaker-target-model");
static ENABLE_EXPLANATIONS: HeaderName = HeaderName::from_static("x-amzn-sagemaker-enable-explanations");

/// Headers that a request may have.
const HEADERS_MAX: usize = 8;

/// An invocation.
pub(super) fn invocation(path: &Uri, host: &HeaderValue, asked: &ModelRequest) -> Request<Full<Bytes>> {
    let mut request = new(Method::POST, path, host, Full::new(asked.body.clone()));
    let headers = request.headers_mut();
    put(headers, &CONTENT_TYPE, asked.content_type.as_deref());
    put(headers, &ACCEPT, asked.accept.as_deref());
    put(headers, &CUSTOM_ATTRIBUTES, asked.custom_attributes.as_deref());
    put(headers, &TARGET_MODEL, asked.target_model.as_deref());
    put(headers, &SESSION_ID, asked.session_id.as_deref());
    put(headers, &ENABLE_EXPLANATIONS, asked.enable_explanations.as_deref());
    request
}

/// A health check, on a connection that ends with it.
pub(super) fn ping(path: &Uri, host: &HeaderValue) -> Request<Full<Bytes>> {
    let mut request = new(Method::GET, path, host, Full::default());
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    request
}

/// A call of the `/models` interface, with a body of JSON where it has one.
pub(super) fn models(method: &Method, path: &Uri, host: &HeaderValue, body: Option<&Bytes>) -> Request<Full<Bytes>> {
    let mut request = new(method.clone(), path, host, body.cloned().map(Full::new).unwrap_or_default());
    if body.is_some() {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    request
}

fn new(method: Method, path: &Uri, host: &HeaderValue, body: Full<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.clone();
    let headers = request.headers_mut();
    headers.reserve(HEADERS_MAX);
    headers.insert(HOST, host.clone());
    request
}

fn put(headers: &mut HeaderMap, name: &HeaderName, value: Option<&str>) {
    // The door lets visible ASCII through only; what could not travel anyway is left out, never bent.
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}
