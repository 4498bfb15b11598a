//! Requests as they should not be, each with the answers that are right for it.
//!
//! The rows are those of the security checklist about names, headers and HTTP; a seed picks the row and fills in what
//! varies: lengths, places, letters, bytes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::seeded::Seeded;

/// Longest wait for a reply; the server's own limits on slow heads are longer, so nothing here is slow.
const REPLY_LIMIT: Duration = Duration::from_secs(15);
/// Stands behind requests that must end their connection. Were it answered, a request could be smuggled.
const SMUGGLED: &str =
    "POST /endpoints/churn/invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\nsmuggled";

/// One request and what must come of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is about.
    pub what: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Statuses that are right; empty where a close without a reply is.
    pub statuses: &'static [u16],
    /// Whether a close without any reply is right too.
    pub may_close: bool,
    /// Whether the connection must be closed after the reply.
    pub must_close: bool,
}

fn case(what: &'static str, bytes: impl Into<Vec<u8>>, statuses: &'static [u16]) -> Case {
    Case { what, bytes: bytes.into(), statuses, may_close: false, must_close: false }
}

const HEAD: &str = "POST /endpoints/churn/invocations HTTP/1.1\r\nhost: localhost\r\n";

fn invocation(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body.to_vec()].concat()
}

fn control(operation: &str, body: &[u8]) -> Vec<u8> {
    let headers = format!("content-type: application/x-amz-json-1.1\r\nx-amz-target: SageMaker.{operation}\r\n");
    invocation("/", &headers, body)
}

fn letters(numbers: &mut Seeded, length: usize) -> String {
    (0..length).map(|_| char::from(b'a' + (numbers.number() % 26) as u8)).collect()
}

/// The case of a seed.
pub fn of(seed: u64) -> Case {
    let mut numbers = Seeded::new(seed);
    match numbers.between(0, 8) {
        0 => name(&mut numbers),
        1 => header(&mut numbers),
        2 | 3 => framing(&mut numbers),
        4 => limit(&mut numbers),
        5 => json(&mut numbers),
        6 => line(&mut numbers),
        _ => noise(&mut numbers),
    }
}

/// S23: names that no endpoint has.
fn name(numbers: &mut Seeded) -> Case {
    let word = letters(numbers, 5);
    let long = 64 + numbers.index(60);
    let name = match numbers.between(0, 10) {
        0 => letters(numbers, long),
        1 => format!("-{word}"),
        2 => format!("{word}-"),
        3 => format!("{word}%2f{word}"),
        4 => format!("{word}%0a"),
        5 => format!("{word}_{word}"),
        6 => format!("%F0%9F%90%A6{word}"),
        7 => format!("%2e%2e%2f{word}"),
        8 => format!("{word}%00"),
        _ => format!("{word}.{word}"),
    };
    case("a name that no endpoint has", invocation(&format!("/endpoints/{name}/invocations"), "", b"1"), &[400])
}

/// S25: attributes and identities that may not be.
fn header(numbers: &mut Seeded) -> Case {
    let long = 1025 + numbers.index(2_000);
    let headers = match numbers.between(0, 5) {
        0 => format!("x-amzn-sagemaker-custom-attributes: {}\r\n", letters(numbers, long)),
        1 => format!("x-amzn-sagemaker-custom-attributes: caf\u{e9}{}\r\n", letters(numbers, 5)),
        2 => format!("x-amzn-sagemaker-inference-id: {}\r\n", letters(numbers, long)),
        3 => format!("x-amzn-sagemaker-target-variant: -{}\r\n", letters(numbers, 5)),
        _ => format!("x-amzn-sagemaker-target-variant: {}\r\n", letters(numbers, 64)),
    };
    case("a header that may not be", invocation("/endpoints/churn/invocations", &headers, b"1"), &[400])
}

/// S29: lengths and codings on which two readers could disagree.
fn framing(numbers: &mut Seeded) -> Case {
    let (n, word) = (numbers.between(1, 9), letters(numbers, 6));
    let chunked = |body: String| format!("{HEAD}transfer-encoding: chunked\r\n\r\n{body}");
    let request = match numbers.between(0, 16) {
        0 => format!("{HEAD}content-length: {n}\r\ncontent-length: {}\r\n\r\n{word}", n + 1),
        1 => format!("{HEAD}content-length: +{n}\r\n\r\n{word}"),
        2 => format!("{HEAD}content-length: {n},{}\r\n\r\n{word}", n + 1),
        3 => format!("{HEAD}content-length: {n}{word}\r\n\r\n{word}"),
        4 => format!("{HEAD}content-length: -{n}\r\n\r\n"),
        5 => format!("{HEAD}content-length: 9999999999999999999{n}\r\n\r\n"),
        6 => format!("{HEAD}transfer-encoding: {word}\r\n\r\n{n}\r\n{word}\r\n0\r\n\r\n"),
        7 => format!("{HEAD}transfer-encoding: chunked, {word}\r\n\r\n{n}\r\n{word}\r\n0\r\n\r\n"),
        8 => chunked(format!("{}\r\nabc", "F".repeat(17 + numbers.index(20)))),
        9 => chunked(format!("z{word}\r\nabc")),
        10 => chunked(format!("3\r\nabc{word}\r\n0\r\n\r\n")),
        11 => format!("{HEAD}x-a: {word}\r\n {word}\r\ncontent-length: 0\r\n\r\n"),
        12 => format!("{HEAD}content-length : 0\r\n\r\n"),
        13 => format!("{HEAD}x-a: {word}\0{word}\r\ncontent-length: 0\r\n\r\n"),
        14 => format!("{HEAD}x-a: {word}\r{word}\r\ncontent-length: 0\r\n\r\n"),
        _ => format!("{HEAD}x {word}: a\r\ncontent-length: 0\r\n\r\n"),
    };
    Case { must_close: true, ..case("bent framing", format!("{request}{SMUGGLED}"), &[400]) }
}

/// S30, S31, S32, S35: too much of something, or just enough.
fn limit(numbers: &mut Seeded) -> Case {
    let more = numbers.index(40);
    match numbers.between(0, 7) {
        0 => {
            let headers = "x-a: y\r\n".repeat(99 + more);
            Case {
                must_close: true,
                may_close: true,
                ..case("too many headers", format!("{HEAD}{headers}content-length: 0\r\n\r\n"), &[431])
            }
        }
        1 => {
            let headers = format!("x-a: {}\r\n", "y".repeat(1_000)).repeat(70 + more / 2);
            Case {
                must_close: true,
                may_close: true,
                ..case("too long a head", format!("{HEAD}{headers}content-length: 0\r\n\r\n"), &[431])
            }
        }
        2 => {
            let path = letters(numbers, 8 * 1024 + 1 + more);
            case("too long a path", format!("GET /{path} HTTP/1.1\r\nhost: localhost\r\n\r\n"), &[414])
        }
        3 => {
            let query = "a=b&".repeat(2_100 + more);
            case("too many parameters", format!("GET /ping?{query} HTTP/1.1\r\nhost: localhost\r\n\r\n"), &[414])
        }
        4 => {
            let length = 6 * 1024 * 1024 + 1 + numbers.between(0, 1 << 40);
            Case {
                must_close: true,
                ..case("a body beyond the limit", format!("{HEAD}content-length: {length}\r\n\r\n"), &[413])
            }
        }
        5 => {
            let chunks = "1\r\nx\r\n".repeat(50 + numbers.index(2_000));
            case("chunks of one byte", format!("{HEAD}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"), &[200])
        }
        _ => {
            let bomb: Vec<u8> = (0..500 + more).map(|_| numbers.number() as u8).collect();
            let bytes = invocation("/endpoints/churn/invocations", "content-encoding: gzip\r\n", &bomb);
            case("a body in a coding that nobody reads", bytes, &[200])
        }
    }
}

/// S36, S24: bodies of the control plane that are no requests.
fn json(numbers: &mut Seeded) -> Case {
    let (deep, word) = (200 + numbers.index(20_000), letters(numbers, 6));
    let body: Vec<u8> = match numbers.between(0, 10) {
        0 => "[".repeat(deep).into_bytes(),
        1 => format!("{}1{}", "{\"a\":".repeat(deep), "}".repeat(deep)).into_bytes(),
        2 => format!("{{\"EndpointName\":{word}").into_bytes(),
        3 => format!("{{\"EndpointName\":\"\\ud800{word}\"}}").into_bytes(),
        4 => format!("\u{feff}{{\"EndpointName\":\"{word}\"}}").into_bytes(),
        5 => format!("{{\"EndpointName\":1e4{}}}", numbers.between(100, 999)).into_bytes(),
        6 => (0..100).map(|_| numbers.number() as u8 | 0x80).collect(),
        7 => format!("{{\"EndpointName\":\"../{word}\"}}").into_bytes(),
        8 => format!("{{\"EndpointName\":[\"{word}\"]}}").into_bytes(),
        _ => format!("{{\"EndpointName\":\"{}\"}}", letters(numbers, 64 + deep % 100)).into_bytes(),
    };
    case("a body that is no request", control("DescribeEndpoint", &body), &[400])
}

/// S37, S42: request lines, methods and hosts.
fn line(numbers: &mut Seeded) -> Case {
    let word = letters(numbers, 6);
    let upper = word.to_uppercase();
    match numbers.between(0, 9) {
        0 => case("TRACE", format!("TRACE /{word} HTTP/1.1\r\nhost: localhost\r\n\r\n"), &[405]),
        1 => case("CONNECT", format!("CONNECT {word}:80 HTTP/1.1\r\nhost: localhost\r\n\r\n"), &[405, 400]),
        2 => case("OPTIONS *", "OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n", &[400]),
        3 => case("absolute form", format!("GET http://localhost/{word} HTTP/1.1\r\nhost: localhost\r\n\r\n"), &[400]),
        4 => case("another host", format!("GET /ping HTTP/1.1\r\nhost: {word}.test\r\n\r\n"), &[421]),
        5 => case("no host", "GET /ping HTTP/1.1\r\n\r\n", &[400]),
        6 => case(
            "another origin",
            format!(
                "POST /{word} HTTP/1.1\r\nhost: localhost\r\norigin: http://{word}.test\r\ncontent-length: 0\r\n\r\n"
            ),
            &[403],
        ),
        7 => case(
            "an unknown method",
            format!("{upper} /endpoints/churn/invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"),
            &[405, 400],
        ),
        _ => Case {
            must_close: true,
            ..case(
                "another version",
                format!("GET /{word} HTTP/{}.0\r\nhost: localhost\r\n\r\n", numbers.between(3, 9)),
                &[400],
            )
        },
    }
}

/// A good request with some bytes changed, or no request at all: whatever comes, it is no error of the server's.
fn noise(numbers: &mut Seeded) -> Case {
    const ANY: &[u16] = &[200, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 421, 431];
    let mut bytes = match numbers.between(0, 3) {
        0 => control("DescribeEndpoint", b"{\"EndpointName\":\"churn\"}"),
        1 => (0..200).map(|_| numbers.number() as u8).collect(),
        _ => invocation("/endpoints/churn/invocations", "content-type: text/csv\r\n", b"1,2,3"),
    };
    for _ in 0..numbers.between(1, 6) {
        let at = numbers.index(bytes.len());
        bytes[at] = numbers.number() as u8;
    }
    Case { may_close: true, ..case("noise", bytes, ANY) }
}

/// Sends a case and reads until the connection is over or silent. Gives the statuses of all replies.
///
/// # Errors
/// What is wrong with what came back.
pub fn try_on(address: SocketAddr, case: &Case) -> Result<Vec<u16>, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(REPLY_LIMIT)).map_err(|error| error.to_string())?;
    // The server may refuse before it has everything.
    let _ = stream.write_all(&case.bytes);
    if case.may_close {
        // Nothing more comes: a server that waits for the rest of a request need not.
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut received = Vec::new();
    let mut buffer = [0; 8 << 10];
    while case.must_close || case.may_close || statuses(&received).is_empty() {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => received.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(format!("{}: the connection stays open, {:?}", case.what, statuses(&received)));
            }
            // A reset after the reply is an end like any other.
            Ok(_) | Err(_) => break,
        }
    }
    let statuses = statuses(&received);
    let shown = || {
        format!(
            "{}: {:?} to {:?}",
            case.what,
            statuses,
            String::from_utf8_lossy(&case.bytes[..case.bytes.len().min(300)])
        )
    };
    match statuses.as_slice() {
        [] if case.may_close => {}
        [] => return Err(format!("no reply; {}", shown())),
        [_, _, ..] if case.must_close => return Err(format!("something behind it was answered; {}", shown())),
        [first, ..] if !case.statuses.contains(first) => return Err(format!("another status; {}", shown())),
        _ => {}
    }
    if statuses.iter().any(|status| *status >= 500) {
        return Err(format!("an error of the server's own; {}", shown()));
    }
    Ok(statuses)
}

/// The statuses of the replies in a stream; bodies are walked over by their lengths.
fn statuses(mut received: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while let Some(head_end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&received[..head_end]).to_ascii_lowercase();
        let Some(status) = head.split(' ').nth(1).and_then(|code| code.parse().ok()) else { break };
        statuses.push(status);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        received = received.get(head_end + 4 + length.unwrap_or(0)..).unwrap_or_default();
    }
    statuses
}
