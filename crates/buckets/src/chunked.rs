//! `aws-chunked`: the framing in which SDKs send a body whose checksum follows it as a trailer.
//!
//! Each chunk is a line `size;chunk-signature=…`, its bytes and a line end; the chunk of size 0 is followed by trailer
//! lines and an empty one. Signatures of chunks are not verified here: what a signature is worth was decided before.
//!
//! Invariant: what comes out is what the frames hold, no more and no less; a body that ends early is an error.
//! Refuses to: take lines, numbers of trailers or chunk sizes without a limit.

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::arrival::Broken;

/// Longest line between chunks, bytes; a line with a signature has about a hundred.
const LINE_MAX_BYTES: usize = 1024;
/// Most trailers.
const TRAILERS_MAX: usize = 16;
/// Most digits of a chunk's size: enough for more than any object may have.
const SIZE_DIGITS_MAX: usize = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the line of a chunk's size.
    Size,
    /// In a chunk, of which so many bytes are missing.
    Chunk(u64),
    /// In the line end behind a chunk.
    AfterChunk,
    /// In the trailers.
    Trailer,
    /// Behind everything.
    End,
}

/// Takes frames apart.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    line: Vec<u8>,
    trailers: HeaderMap,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { state: State::Size, line: Vec::new(), trailers: HeaderMap::new() }
    }

    /// Takes the next piece of content out of `input`; `None` when there is none in what has come yet.
    ///
    /// # Errors
    /// When the framing is broken.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Broken> {
        while !input.is_empty() {
            if let State::Chunk(missing) = self.state {
                let here = usize::try_from(missing).map_or(input.len(), |missing| missing.min(input.len()));
                let missing = missing - here as u64;
                self.state = if missing == 0 { State::AfterChunk } else { State::Chunk(missing) };
                return Ok(Some(input.split_to(here)));
            }
            if self.state == State::End {
                return Err(Broken::Framing("something follows the last chunk"));
            }
            if let Some(line) = self.take_line(input)? {
                self.read(&line)?;
            }
        }
        Ok(None)
    }

    /// The trailers, once everything has come.
    ///
    /// # Errors
    /// When it has not.
    pub(crate) fn finish(self) -> Result<HeaderMap, Broken> {
        // Trailers may be missing altogether, and so may the empty line behind them.
        match self.state {
            State::End | State::Trailer if self.line.is_empty() => Ok(self.trailers),
            _ => Err(Broken::Short),
        }
    }

    fn take_line(&mut self, input: &mut Bytes) -> Result<Option<Vec<u8>>, Broken> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let here = end.unwrap_or(input.len());
        if self.line.len() + here > LINE_MAX_BYTES {
            return Err(Broken::Framing("a line between chunks is too long"));
        }
        self.line.extend_from_slice(&input[..here]);
        input.advance(end.map_or(here, |end| end + 1));
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        match line.pop() {
            Some(b'\r') => Ok(Some(line)),
            _ => Err(Broken::Framing("a line between chunks does not end with CR LF")),
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<(), Broken> {
        self.state = match self.state {
            State::Size => match size(line)? {
                0 => State::Trailer,
                size => State::Chunk(size),
            },
            State::AfterChunk if line.is_empty() => State::Size,
            State::AfterChunk => return Err(Broken::Framing("a chunk is longer than it says")),
            State::Trailer if line.is_empty() => State::End,
            State::Trailer => {
                self.trailer(line)?;
                State::Trailer
            }
            State::Chunk(_) | State::End => unreachable!("our bug: no line is read there"),
        };
        Ok(())
    }

    fn trailer(&mut self, line: &[u8]) -> Result<(), Broken> {
        const BROKEN: Broken = Broken::Framing("a trailer is not 'name:value'");
        let colon = line.iter().position(|byte| *byte == b':').ok_or(BROKEN)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| BROKEN)?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).map_err(|_| BROKEN)?;
        if self.trailers.len() == TRAILERS_MAX {
            return Err(Broken::Framing("there are too many trailers"));
        }
        self.trailers.append(name, value);
        Ok(())
    }
}

fn size(line: &[u8]) -> Result<u64, Broken> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let text = text.filter(|text| (1..=SIZE_DIGITS_MAX).contains(&text.len()));
    text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(Broken::Framing("a chunk's size is no number"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, HeaderMap), Broken> {
        let mut decoder = Decoder::new();
        let mut content = Vec::new();
        for piece in pieces {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(bytes) = decoder.next(&mut input)? {
                content.extend_from_slice(&bytes);
            }
        }
        decoder.finish().map(|trailers| (content, trailers))
    }

    #[test]
    fn signed_and_unsigned_chunks_and_trailers_are_read() {
        let (content, trailers) =
            decode(&[b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"]).unwrap();
        assert_eq!(
            (content.as_slice(), &trailers["x-amz-checksum-crc32"]),
            (&b"hello world"[..], &HeaderValue::from_static("DUoRhQ=="))
        );
        let signed = b"5;chunk-signature=00ff\r\nhello\r\n0;chunk-signature=00ff\r\n\r\n";
        assert_eq!(decode(&[signed]).unwrap().0, b"hello");
        assert_eq!(decode(&[b"0\r\n\r\n"]).unwrap().0, b"");
        assert_eq!(decode(&[b"0\r\n"]).unwrap().0, b"");
    }

    #[test]
    fn broken_frames_are_refused() {
        let long = [b"5;".as_slice(), &[b'x'; LINE_MAX_BYTES], b"\r\nhello\r\n0\r\n\r\n"].concat();
        let many = [b"0\r\n".as_slice(), &b"a:b\r\n".repeat(TRAILERS_MAX + 1), b"\r\n"].concat();
        for broken in [
            &b""[..],
            b"5",
            b"5\r\nhel",
            b"5\r\nhello",
            b"5\r\nhello\r\n",
            b"4\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"-1\r\n",
            b"x\r\n",
            b"\r\n",
            b"ffffffffffffffff\r\n",
            b"0\r\nnocolon\r\n\r\n",
            b"0\r\n\r\nmore",
            b"0\r\na:b",
            &long,
            &many,
        ] {
            assert!(decode(&[broken]).is_err(), "{:?}", String::from_utf8_lossy(broken));
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_are_cut(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6), cut in 1_usize..17) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x};chunk-signature=ab\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\nx-amz-checksum-sha1:v\r\n\r\n");
            let pieces: Vec<&[u8]> = body.chunks(cut).collect();
            let (content, trailers) = decode(&pieces).unwrap();
            prop_assert_eq!(content, chunks.concat());
            prop_assert_eq!(trailers.len(), 1);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[&bytes]);
        }
    }
}
