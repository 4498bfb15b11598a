//! Bodies in signed chunks, `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`: each chunk is signed with the signature before it.
//!
//! ```text
//! 10000;chunk-signature=ad80…\r\n<65536 bytes>\r\n0;chunk-signature=b6c6…\r\n[trailers]\r\n
//! ```
//!
//! Invariant: what was fed is right up to the last whole chunk, or an error was told; lines have a limit, data is not kept.
//! Refuses to: unpack. Whoever stores the body does that, and has checksums of trailers checked there.

use super::payload::{RunningDigest, digest_of, hexadecimal, sha256_hex};
use super::presented::same;
use super::sign::authenticate;

/// Longest line of a frame, bytes; usual ones have about a hundred.
const LINE_MAX_BYTES: usize = 4 * 1024;
/// All trailer lines together, bytes.
const TRAILERS_MAX_BYTES: usize = 16 * 1024;
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature:";

/// What the chunks of a body are signed with, and what was signed last.
#[derive(Clone, PartialEq, Eq)]
pub struct ChunkChain {
    pub(super) key: zeroize::Zeroizing<[u8; 32]>,
    /// In the form of `X-Amz-Date`.
    pub(super) at: String,
    /// `date/region/service/aws4_request`.
    pub(super) scope: String,
    pub(super) previous: [u8; 32],
    /// Whether signed trailers follow.
    pub(super) has_trailers: bool,
}

impl std::fmt::Debug for ChunkChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkChain(…)")
    }
}

impl ChunkChain {
    fn accept(&mut self, algorithm: &str, digests: &str, signature: &[u8; 32]) -> bool {
        let Self { at, scope, previous, .. } = &*self;
        let text = format!("{algorithm}\n{at}\n{scope}\n{}\n{digests}", hexadecimal(previous));
        let expected = authenticate(&*self.key, &text);
        let is_right = same(&expected, signature);
        self.previous = expected;
        is_right
    }

    fn accept_chunk(&mut self, digest: &[u8; 32], signature: &[u8; 32]) -> bool {
        let digests = format!("{}\n{}", sha256_hex(b""), hexadecimal(digest));
        self.accept("AWS4-HMAC-SHA256-PAYLOAD", &digests, signature)
    }

    fn accept_trailers(&mut self, trailers: &[u8], signature: &[u8; 32]) -> bool {
        self.accept("AWS4-HMAC-SHA256-TRAILER", &sha256_hex(trailers), signature)
    }
}

/// A body is not in the chunks that were signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongChunk {
    /// Its frames cannot be read.
    #[error("the body is not framed in signed chunks")]
    Framing,
    /// A chunk or the trailers are not those that were signed.
    #[error("a chunk of the body is not the one that was signed")]
    Signature,
}

#[derive(Debug)]
enum State {
    /// In the line before a chunk.
    Line,
    /// In a chunk, so many bytes of which are missing.
    Data(u64),
    /// In the line end behind a chunk.
    LineEnd,
    /// In the trailers, up to an empty line.
    Trailers,
    Done,
}

/// Watches a body pass, and tells when a chunk of it is wrong.
#[derive(Debug)]
pub struct ChunkWatch {
    chain: ChunkChain,
    state: State,
    line: Vec<u8>,
    trailers: Vec<u8>,
    trailers_are_signed: bool,
    digest: RunningDigest,
    signature: [u8; 32],
}

impl ChunkWatch {
    /// A watch over a body whose head was signed so.
    #[must_use]
    pub fn new(chain: ChunkChain) -> Self {
        Self {
            trailers_are_signed: !chain.has_trailers,
            chain,
            state: State::Line,
            line: Vec::new(),
            trailers: Vec::new(),
            digest: RunningDigest::default(),
            signature: [0; 32],
        }
    }

    /// Whether the body was whole and right.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Watches the next piece pass.
    ///
    /// # Errors
    /// When a chunk that it ends is wrong.
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<(), WrongChunk> {
        while !piece.is_empty() {
            match self.state {
                State::Done => return Err(WrongChunk::Framing),
                State::Data(missing) => {
                    let length = usize::try_from(missing).map_or(piece.len(), |missing| missing.min(piece.len()));
                    self.digest.update(&piece[..length]);
                    piece = &piece[length..];
                    let missing = missing - length as u64;
                    self.state = if missing == 0 { State::LineEnd } else { State::Data(missing) };
                }
                State::Line | State::LineEnd | State::Trailers => {
                    let end = piece.iter().position(|&byte| byte == b'\n');
                    let length = end.map_or(piece.len(), |end| end + 1);
                    self.line.extend_from_slice(&piece[..length]);
                    piece = &piece[length..];
                    if self.line.len() > LINE_MAX_BYTES {
                        return Err(WrongChunk::Framing);
                    }
                    if end.is_some() {
                        self.end_line()?;
                    }
                }
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), WrongChunk> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).ok().and_then(|line| line.strip_suffix("\r\n"));
        let line = line.ok_or(WrongChunk::Framing)?;
        match self.state {
            State::LineEnd if line.is_empty() => {
                self.state = State::Line;
                self.end_chunk()
            }
            State::Line => {
                let (size, signature) = line.split_once(";chunk-signature=").ok_or(WrongChunk::Framing)?;
                let is_size = (1..=16).contains(&size.len()) && size.bytes().all(|digit| digit.is_ascii_hexdigit());
                let size = u64::from_str_radix(size, 16).ok().filter(|_| is_size).ok_or(WrongChunk::Framing)?;
                self.signature = digest_of(signature).ok_or(WrongChunk::Signature)?;
                self.digest = RunningDigest::default();
                if size > 0 {
                    self.state = State::Data(size);
                    return Ok(());
                }
                self.state = State::Trailers;
                self.end_chunk()
            }
            State::Trailers if line.is_empty() && self.trailers_are_signed => {
                self.state = State::Done;
                Ok(())
            }
            State::Trailers if line.is_empty() => Err(WrongChunk::Signature),
            State::Trailers => self.trailer(line),
            _ => Err(WrongChunk::Framing),
        }
    }

    fn end_chunk(&mut self) -> Result<(), WrongChunk> {
        let digest = self.digest.value();
        if self.chain.accept_chunk(&digest, &self.signature) { Ok(()) } else { Err(WrongChunk::Signature) }
    }

    fn trailer(&mut self, line: &str) -> Result<(), WrongChunk> {
        if let Some(signature) = line.strip_prefix(TRAILER_SIGNATURE) {
            let signature = digest_of(signature.trim()).ok_or(WrongChunk::Signature)?;
            let is_first = !std::mem::replace(&mut self.trailers_are_signed, true);
            let is_right = is_first && self.chain.accept_trailers(&self.trailers, &signature);
            return if is_right { Ok(()) } else { Err(WrongChunk::Signature) };
        }
        let (name, value) = line.split_once(':').ok_or(WrongChunk::Framing)?;
        if self.trailers_are_signed || self.trailers.len() + line.len() > TRAILERS_MAX_BYTES {
            // Behind the signature, or where no trailers were announced, nothing is covered by it.
            return Err(WrongChunk::Framing);
        }
        self.trailers.extend_from_slice(format!("{}:{}\n", name.to_ascii_lowercase(), value.trim()).as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::super::sign::{Place, signing_key};
    use super::*;

    /// The example of AWS's documentation of S3.
    fn chain(has_trailers: bool, seed: &str) -> ChunkChain {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into());
        let place = Place { date: "20130524", region: "us-east-1", service: "s3" };
        ChunkChain {
            key: signing_key(&secret, place),
            at: "20130524T000000Z".into(),
            scope: "20130524/us-east-1/s3/aws4_request".into(),
            previous: digest_of(seed).unwrap(),
            has_trailers,
        }
    }

    const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";

    fn body() -> Vec<u8> {
        let mut body = Vec::new();
        for (size, signature) in [
            (65_536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (1_024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ] {
            body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
            body.extend(std::iter::repeat_n(b'a', size));
            body.extend_from_slice(b"\r\n");
        }
        body
    }

    fn watch(body: &[u8], cut: usize) -> Result<bool, WrongChunk> {
        let mut watch = ChunkWatch::new(chain(false, SEED));
        body.chunks(cut).try_for_each(|piece| watch.feed(piece))?;
        Ok(watch.is_done())
    }

    #[test]
    fn the_example_of_the_documentation_is_right_however_it_is_cut() {
        for cut in [1, 7, 1_000, 65_536, usize::MAX] {
            assert_eq!(watch(&body(), cut), Ok(true), "{cut}");
        }
        assert_eq!(watch(&body()[..body().len() - 1], 1_000), Ok(false), "not whole");
    }

    #[test]
    fn a_chunk_that_is_altered_moved_or_missing_is_wrong() {
        let mut altered = body();
        altered[100] = b'b';
        assert_eq!(watch(&altered, 1_000), Err(WrongChunk::Signature));
        let first_end = body().len() - (85 + 2 + 1_024 + 4 + 82 + 2);
        let without_last = [
            &body()[..first_end],
            b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n",
        ]
        .concat();
        assert!(watch(&without_last, 1_000).is_err());
        assert_eq!(watch(&[body(), b"x".to_vec()].concat(), 1_000), Err(WrongChunk::Framing), "more than was signed");
        for framing in
            ["5\r\nhello\r\n", "x;chunk-signature=00\r\n", "+5;chunk-signature=00\r\n", "\r\n", "5;chunk-signature=\n"]
        {
            assert!(watch(framing.as_bytes(), 3).is_err(), "{framing:?}");
        }
        assert_eq!(watch(&[b'1'; 5_000], 1_000), Err(WrongChunk::Framing), "a line without an end");
    }

    #[test]
    fn trailers_are_signed_where_they_are_announced() {
        let signed = |chain: &mut ChunkChain, algorithm: &str, digests: &str| {
            let text =
                format!("{algorithm}\n{}\n{}\n{}\n{digests}", chain.at, chain.scope, hexadecimal(&chain.previous));
            chain.previous = authenticate(&*chain.key, &text);
            hexadecimal(&chain.previous)
        };
        let mut signer = chain(true, SEED);
        let empty = sha256_hex(b"");
        let last = signed(&mut signer, "AWS4-HMAC-SHA256-PAYLOAD", &format!("{empty}\n{empty}"));
        let trailers = sha256_hex(b"x-amz-checksum-crc32:AAAAAA==\n");
        let of_trailers = signed(&mut signer, "AWS4-HMAC-SHA256-TRAILER", &trailers);
        let body = |value: &str, signature: &str| {
            format!("0;chunk-signature={last}\r\nx-amz-checksum-crc32:{value}\r\n{signature}\r\n")
        };
        let line = format!("x-amz-trailer-signature:{of_trailers}\r\n");
        let watched = |body: &str| {
            let mut watch = ChunkWatch::new(chain(true, SEED));
            watch.feed(body.as_bytes()).map(|()| watch.is_done())
        };
        assert_eq!(watched(&body("AAAAAA==", &line)), Ok(true));
        assert_eq!(watched(&body("BBBBBB==", &line)), Err(WrongChunk::Signature));
        assert_eq!(watched(&body("AAAAAA==", "")), Err(WrongChunk::Signature), "a signature is missing");
        assert!(watched(&body("AAAAAA==", &format!("{line}x-amz-more:1\r\n"))).is_err(), "behind the signature");
    }
}
