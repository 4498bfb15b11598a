//! STS, as far as clients ask it who they are: query protocol in, XML out.

use crate::denial::{escaped, query_fault};

/// Media type of the answers.
pub const CONTENT_TYPE: &str = "text/xml";

/// The answer of GetCallerIdentity.
#[must_use]
pub fn caller_identity(account: &str, user: &str, user_id: &str, request_id: &str) -> Vec<u8> {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>{}</Arn><UserId>{}</UserId><Account>{account}</Account></GetCallerIdentityResult><ResponseMetadata>\
         <RequestId>{request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
        escaped(&user_arn(account, user)),
        escaped(user_id)
    )
    .into_bytes()
}

/// The ARN by which a consumer is known.
#[must_use]
pub fn user_arn(account: &str, user: &str) -> String {
    format!("arn:aws:iam::{account}:user/{user}")
}

/// The answer to an action that is not here.
#[must_use]
pub fn invalid_action(action: &str, request_id: &str) -> Vec<u8> {
    let shown: String = action.chars().take(64).collect();
    query_fault("InvalidAction", &format!("Could not find operation {shown} for version 2011-06-15"), request_id)
}
