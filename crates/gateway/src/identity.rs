//! Who calls. On an open listener the access key id of the signature is the consumer, whatever its signature is worth;
//! a call without one is anonymous.
//!
//! Refuses to: verify; where signatures count, [`crate::verification`] says who calls, and what stands here is only a claim.

use captura_route::{Consumer, Principal};
use captura_wire::scope::Scope;
use http::header::AUTHORIZATION;
use http::request::Parts;

/// Signing name of SageMaker, of both its planes.
const SAGEMAKER: &str = "sagemaker";
/// Signing name of S3.
const S3: &str = "s3";

/// Which service a request is signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignedFor {
    /// Nothing; who sends what is told by its path.
    Nothing,
    /// SageMaker.
    SageMaker,
    /// S3, whose bodies are not collected.
    S3,
    /// Another one.
    Another,
}

/// What the credentials of a request say, true or not.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Who calls.
    pub(crate) consumer: Consumer,
    /// The same, as records tell it that nobody has verified it.
    pub(crate) principal: Option<Principal>,
    /// The service that the credentials are scoped to.
    pub(crate) signed_for: SignedFor,
}

impl Claim {
    /// Reads the credentials out of the head of a request.
    pub(crate) fn of(head: &Parts) -> Self {
        let header = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let scope = match (header, head.uri.query()) {
            (Some(header), _) => Scope::of_authorization(header),
            (None, Some(query)) => Scope::of_query(query),
            (None, None) => None,
        };
        scope.map_or_else(
            || Self { consumer: Consumer::anonymous(), principal: None, signed_for: SignedFor::Nothing },
            |scope| Self {
                consumer: Consumer::new(scope.access_key_id()),
                principal: Some(Principal::unverified(scope.access_key_id())),
                signed_for: match scope.service() {
                    SAGEMAKER => SignedFor::SageMaker,
                    S3 => SignedFor::S3,
                    _ => SignedFor::Another,
                },
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn caller(uri: &str, authorization: Option<&str>) -> (String, SignedFor) {
        let mut request = Request::builder().uri(uri);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let claim = Claim::of(&request.body(()).unwrap().into_parts().0);
        (claim.consumer.as_str().to_owned(), claim.signed_for)
    }

    fn signed(key: &str, service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={key}/20260131/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    }

    #[test]
    fn the_access_key_id_is_the_consumer() {
        assert_eq!(
            caller("/", Some(&signed("AKIDBILLING", "sagemaker"))),
            ("AKIDBILLING".into(), SignedFor::SageMaker)
        );
        assert_eq!(caller("/", Some(&signed("AKIDBILLING", "s3"))), ("AKIDBILLING".into(), SignedFor::S3));
        let query = "/b/k?X-Amz-Credential=AKIDREPORT%2F20260131%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Signature=0";
        assert_eq!(caller(query, None), ("AKIDREPORT".into(), SignedFor::S3));
    }

    #[test]
    fn everyone_else_is_anonymous() {
        for authorization in [None, Some("Bearer x"), Some("Basic eDp5"), Some("AWS4-HMAC-SHA256 Credential=broken")] {
            assert_eq!(caller("/endpoints/e/invocations", authorization), ("anonymous".into(), SignedFor::Nothing));
        }
    }
}
