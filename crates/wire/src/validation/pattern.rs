//! The patterns that SageMaker quotes in its errors, each with a hand-written scanner.
//!
//! A dozen fixed patterns do not justify a regular-expression engine; the text is kept because errors quote it.

/// A pattern: its text and what decides.
#[derive(Debug)]
pub struct Pattern {
    /// The regular expression, as AWS writes it.
    pub text: &'static str,
    matches: fn(&str) -> bool,
}

impl Pattern {
    /// Whether the whole text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        (self.matches)(text)
    }
}

/// Names of endpoints, configurations, variants and containers. The count in the pattern is left to the length limit,
/// so that an over-long name is one failure and not two.
pub static NAME: Pattern = Pattern { text: "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", matches: is_hyphenated };
/// Names of models.
pub static MODEL_NAME: Pattern = Pattern { text: "[a-zA-Z0-9]([\\-a-zA-Z0-9]*[a-zA-Z0-9])?", matches: is_hyphenated };
/// A part of a name, as list filters take it.
pub static NAME_PART: Pattern = Pattern { text: "[a-zA-Z0-9-]+", matches: is_name_part };
/// Images.
pub static IMAGE: Pattern = Pattern { text: "[\\S]+", matches: |text| some(text, |c| !c.is_ascii_whitespace()) };
/// Where model data lies. Local paths, with or without `file://`, are accepted as well: whether they may be read is the
/// operator's setting, which the room that reads them enforces.
pub static MODEL_DATA: Pattern = Pattern {
    text: "(https|s3)://([^/]+)/?(.*)",
    matches: |text| {
        let authority = |rest: &str| !rest.is_empty() && !rest.starts_with('/');
        one_line(text)
            && (after_scheme(text).is_some_and(authority)
                || text.strip_prefix("file://").is_some_and(|path| !path.is_empty())
                || text.starts_with('/'))
    },
};
/// Objects of processing jobs and monitors: in buckets only.
pub static S3_URI: Pattern = Pattern {
    text: "(https|s3)://([^/]+)/?(.*)",
    matches: |text| one_line(text) && after_scheme(text).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')),
};
/// Where captured objects go.
pub static DESTINATION: Pattern = Pattern {
    text: "(https|s3)://([^/])/?(.*)",
    matches: |text| one_line(text) && after_scheme(text).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')),
};
/// Encryption keys.
pub static KMS_KEY: Pattern = Pattern {
    text: "[a-zA-Z0-9:/_-]*",
    matches: |text| text.chars().all(|c| c.is_ascii_alphanumeric() || ":/_-".contains(c)),
};
/// Names of environment variables.
pub static ENVIRONMENT_KEY: Pattern = Pattern {
    text: "[a-zA-Z_][a-zA-Z0-9_]*",
    matches: |text| {
        text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    },
};
/// Anything, line breaks included.
pub static ANYTHING: Pattern = Pattern { text: "[\\S\\s]*", matches: |_| true };
/// Anything on one line.
pub static LINE: Pattern = Pattern { text: ".*", matches: one_line };
/// Something visible on one line.
pub static ALARM_NAME: Pattern =
    Pattern { text: "(?!\\s*$).+", matches: |text| one_line(text) && text.chars().any(|c| !c.is_ascii_whitespace()) };
/// IAM roles.
pub static ROLE: Pattern =
    Pattern { text: "arn:aws[a-z\\-]*:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+", matches: is_role };
/// Keys and values of tags.
pub static TAG: Pattern =
    Pattern { text: "([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)", matches: |text| text.chars().all(is_tag_character) };
/// Security groups and subnets.
pub static VPC_ID: Pattern =
    Pattern { text: "[-0-9a-zA-Z]+", matches: |text| some(text, |c| c.is_ascii_alphanumeric() || c == '-') };
/// Media types of the capture lists.
pub static MEDIA_TYPE: Pattern = Pattern {
    text: "[a-zA-Z0-9](-*[a-zA-Z0-9])*\\/[a-zA-Z0-9](-*[a-zA-Z0-9.])*",
    matches: |text| is_media_type(text, "-."),
};
/// Any SageMaker resource.
pub static RESOURCE_ARN: Pattern = Pattern {
    text: "arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:.+",
    matches: |text| resource_of("sagemaker", text).is_some_and(|resource| !resource.is_empty() && one_line(resource)),
};

/// Topics of SNS.
pub static TOPIC: Pattern = Pattern {
    text: "arn:aws[a-z\\-]*:sns:[a-z0-9\\-]*:[0-9]{12}:[a-zA-Z0-9_.-]+",
    matches: |text| {
        resource_of("sns", text).is_some_and(|topic| some(topic, |c| c.is_ascii_alphanumeric() || "_.-".contains(c)))
    },
};
/// Reservations of capacity.
pub static RESERVATION_ARN: Pattern = Pattern {
    text: "arn:aws[a-z\\-]*:sagemaker:[a-z0-9\\-]*:[0-9]{12}:[a-z0-9\\-]{1,14}/.*",
    matches: |text| {
        let is_kind = |kind: &str| kind.len() <= 14 && some(kind, is_lower_word);
        let resource = resource_of("sagemaker", text).and_then(|resource| resource.split_once('/'));
        resource.is_some_and(|(kind, rest)| is_kind(kind) && one_line(rest))
    },
};
/// Partitions of an accelerator.
pub static PARTITION: Pattern = Pattern { text: "mig-[0-9]+g\\.[0-9]+gb([+-][a-z0-9.]+)*", matches: is_partition };
/// Media types of explainers' baselines.
pub static BASELINE_MEDIA_TYPE: Pattern = Pattern {
    text: "[a-zA-Z0-9](-*[a-zA-Z0-9])*\\/[a-zA-Z0-9](-*[a-zA-Z0-9+.])*",
    matches: |text| is_media_type(text, "-.+"),
};
/// Names of folders of additional data.
pub static CHANNEL_NAME: Pattern = Pattern {
    text: "[A-Za-z0-9\\.\\-_]+",
    matches: |text| some(text, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
};
/// Paths that metrics of a container are read at.
pub static METRICS_PATH: Pattern = Pattern {
    text: "/(?!.*\\.\\.)[a-zA-Z0-9/_.\\-]+",
    matches: |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '-');
        text.strip_prefix('/').is_some_and(|rest| some(rest, plain) && !rest.contains(".."))
    },
};
/// Spans of time, as ISO 8601 writes them.
pub static TIME_OFFSET: Pattern = Pattern {
    text: ".?P.*",
    matches: |text| {
        one_line(text) && (text.starts_with('P') || text.chars().nth(1).is_some_and(|second| second == 'P'))
    },
};
/// A part of a name, as filters of monitors take it.
pub static MONITOR_NAME_PART: Pattern = Pattern { text: "[a-zA-Z0-9\\-]+", matches: is_name_part };
/// Anything but nothing, line breaks included.
pub static SOMETHING: Pattern = Pattern { text: "[\\s\\S]+", matches: |text| !text.is_empty() };

fn is_media_type(text: &str, also_inside: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, subtype)| {
        is_hyphenated(kind)
            && subtype.starts_with(|c: char| c.is_ascii_alphanumeric())
            && subtype.chars().all(|c| c.is_ascii_alphanumeric() || also_inside.contains(c))
            && !subtype.ends_with('-')
    })
}

fn is_partition(text: &str) -> bool {
    let digits = |text: &str| some(text, |c| c.is_ascii_digit());
    let Some((slices, rest)) = text.strip_prefix("mig-").and_then(|rest| rest.split_once("g.")) else { return false };
    let Some((size, extras)) = rest.split_once("gb") else { return false };
    let extra = |part: &str| some(part, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.');
    let extras = match extras.strip_prefix(['+', '-']) {
        Some(extras) => extras.split(['+', '-']).all(extra),
        None => extras.is_empty(),
    };
    digits(slices) && digits(size) && extras
}

fn is_name_part(text: &str) -> bool {
    some(text, |c| c.is_ascii_alphanumeric() || c == '-')
}

fn is_hyphenated(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

fn some(text: &str, is_member: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(is_member)
}

fn one_line(text: &str) -> bool {
    !text.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
}

fn after_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("s3://").or_else(|| text.strip_prefix("https://"))
}

fn is_role(text: &str) -> bool {
    let Some((partition, rest)) = text.strip_prefix("arn:aws").and_then(|rest| rest.split_once(":iam::")) else {
        return false;
    };
    let Some((account, path)) = rest.split_once(":role") else { return false };
    partition.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        && is_account(account)
        && some(path, |c| c.is_ascii_alphanumeric() || "_+=,.@-/".contains(c))
        && path != "/"
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn resource_of<'a>(service: &str, arn: &'a str) -> Option<&'a str> {
    let (partition, rest) = arn.strip_prefix("arn:aws")?.split_once(':')?;
    let (region, rest) = rest.strip_prefix(service)?.strip_prefix(':')?.split_once(':')?;
    let (account, resource) = rest.split_once(':')?;
    let is_partition = partition.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    (is_partition && region.chars().all(is_lower_word) && is_account(account)).then_some(resource)
}

fn is_lower_word(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn is_tag_character(c: char) -> bool {
    let is_separator = matches!(c, ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{202f}' | '\u{205f}' | '\u{3000}');
    c.is_alphabetic() || c.is_numeric() || is_separator || "_.:/=+-@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scanner_agrees_with_its_pattern() {
        let role = "arn:aws:iam::123456789012:role/service/Some.Role@x";
        let arn = "arn:aws-cn:sagemaker:cn-north-1:123456789012:endpoint/a";
        let table: &[(&Pattern, &[&str], &[&str])] = &[
            (&NAME, &["a", "A-9", "a--b"], &["", "-a", "a-", "a_b", "a.b", "a\n", "é", "a/b"]),
            (&MODEL_NAME, &["m", "m-1"], &["", "-m", "m-", "m m"]),
            (&NAME_PART, &["-", "a-"], &["", "a_b", " "]),
            (&IMAGE, &["captura/echo:1", "é"], &["", "a b", "a\n"]),
            (
                &MODEL_DATA,
                &["s3://b", "s3://b/k", "https://h/x", "file:///m", "/m"],
                &["", "s3://", "s3:///k", "b/k", "s3://b/\n", "file://"],
            ),
            (&DESTINATION, &["s3://b", "s3://bucket/k//"], &["", "s3://", "s3:///k", "file:///x", "s3://b\nc"]),
            (&KMS_KEY, &["", "alias/a-b_c:1"], &[" ", "a.b"]),
            (&ENVIRONMENT_KEY, &["_", "A1"], &["", "1A", "A-B"]),
            (&ANYTHING, &["", "\n"], &[]),
            (&LINE, &["", "x"], &["\n", "a\u{2028}b"]),
            (&ALARM_NAME, &["x", " x"], &["", "  ", "a\nb"]),
            (
                &ROLE,
                &[role, "arn:aws-us-gov:iam::123456789012:rolex"],
                &[
                    "",
                    "arn:aws:iam::12:role/x",
                    "arn:aws:iam::123456789012:role/",
                    "arn:aws:iam::123456789012:user/x",
                    "arn:aws:iam::123456789012:role/a b",
                ],
            ),
            (&TAG, &["", "a b", "é日本1", "x:y/z=+-@._"], &["a\n", "#", "a\tb", "{"]),
            (&VPC_ID, &["sg-1"], &["", "sg_1"]),
            (
                &MEDIA_TYPE,
                &["text/csv", "application/x-ndjson", "a/b.c", "application/vnd.ms-excel"],
                &["", "text", "text/", "/csv", "text/csv; charset=utf-8", "text/a-", "a/b/c", "application/json+x"],
            ),
            (
                &RESOURCE_ARN,
                &[arn, "arn:aws:sagemaker::123456789012:x"],
                &[
                    "",
                    "arn:aws:s3:::b",
                    "arn:aws:sagemaker:us-east-1:12:x",
                    "arn:aws:sagemaker:us-east-1:123456789012:",
                ],
            ),
        ];
        let more: &[(&Pattern, &[&str], &[&str])] = &[
            (&CHANNEL_NAME, &["a", ".A-9_", ".."], &["", "a/b", "é", "a b"]),
            (&METRICS_PATH, &["/metrics", "//a.b-c_d/"], &["", "/", "metrics", "/a..b", "/a b", "/a?b"]),
            (
                &TOPIC,
                &["arn:aws:sns:us-east-1:123456789012:done", "arn:aws-cn:sns::123456789012:a.b_c-1"],
                &["", "arn:aws:sns:us-east-1:123456789012:", "arn:aws:sqs:us-east-1:123456789012:done", "a b"],
            ),
            (
                &RESERVATION_ARN,
                &["arn:aws:sagemaker:us-east-1:123456789012:training-plan/x", "arn:aws:sagemaker::123456789012:r/"],
                &["", "arn:aws:s3:::b", "arn:aws:sagemaker:us-east-1:123456789012:much-too-long-kind/x"],
            ),
            (&PARTITION, &["mig-1g.5gb", "mig-1g.10gb+me.all-x"], &["", "mig-g.5gb", "mig-1g.5gb+", "mig-1g.5gbx"]),
            (&BASELINE_MEDIA_TYPE, &["text/csv", "application/json+x"], &["", "text", "text/a-"]),
            (&SOMETHING, &["x", "\n"], &[""]),
            (
                &S3_URI,
                &["s3://b", "s3://b/k", "https://h/x"],
                &["", "s3://", "s3:///k", "/m", "file:///m", "s3://b/\n"],
            ),
            (&TIME_OFFSET, &["P", "PT1H", "-P8D", "+P"], &["", "1H", "--P", "-PT\n"]),
            (&MONITOR_NAME_PART, &["-", "a-"], &["", "a_b"]),
        ];
        for (pattern, good, bad) in table.iter().chain(more) {
            good.iter().for_each(|text| assert!(pattern.matches(text), "{text:?} must match {}", pattern.text));
            bad.iter().for_each(|text| assert!(!pattern.matches(text), "{text:?} must not match {}", pattern.text));
        }
    }
}
