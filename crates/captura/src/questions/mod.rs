//! Questions of a job to the model that it explains: through a socket in the job's folder, and from there into the gateway.
//!
//! ```text
//! job → server   {"open":{"endpoint":"churn"}} or {"open":{"model":{"name":"churn-7"}}}
//! server → job   "opened" or {"failed":"why"}
//! job → server   {"ask":{"contentType":…,"accept":…,"targetModel":…,"inferenceId":…}}  body
//! server → job   {"answered":{"contentType":…}}  body, or {"refused":"why"}, or {"failed":"why"}
//! frame          bytes of the head, bytes of the body (4 each, big endian), head, body
//! ```
//!
//! A job has no key and no network: that it holds the socket is what it may, and only the job sees its folder. So it asks
//! whatever the server demands of others (signatures, certificates, names in `Host`), and one model alone.
//!
//! Invariant: frames are bounded. Refuses to: let a job ask for anything but answers of the model that it opened first.

mod answering;
mod asking;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

pub(crate) use self::answering::{Questions, Server, sweep};
pub(crate) use self::asking::OwnServer;

/// Name of the socket in a job's folder.
const SOCKET: &str = "questions.sock";
/// Largest head of a frame, bytes.
const HEAD_MAX_BYTES: u32 = 64 << 10;
/// Largest question, bytes.
const QUESTION_MAX_BYTES: u32 = 64 << 20;
/// Largest answer, bytes.
const ANSWER_MAX_BYTES: u32 = 256 << 20;

/// What a job says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Said {
    /// First, once.
    Open(Model),
    /// With a body.
    Ask(Ask),
}

/// Who is to be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Model {
    /// An endpoint that is there.
    Endpoint(String),
    /// A model, by an endpoint that is made for the time of the job.
    Model {
        name: String,
        /// What the endpoint's name begins with, where somebody says.
        prefix: Option<String>,
    },
}

/// A question, but for its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ask {
    content_type: String,
    accept: Option<String>,
    target_model: Option<String>,
    inference_id: String,
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Told {
    /// The model can be asked.
    Opened,
    /// With a body.
    #[serde(rename_all = "camelCase")]
    Answered { content_type: Option<String> },
    /// The model does not take this body.
    Refused(String),
    /// There is no answer.
    Failed(String),
}

/// The socket of a job's folder by a short name, however long the folder's is: addresses of sockets have 107 bytes at most.
struct Place {
    /// Keeps the name.
    _folder: File,
    path: PathBuf,
}

fn place(folder: &Path) -> io::Result<Place> {
    let folder = File::open(folder)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    Ok(Place { _folder: folder, path })
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| io::Error::other("a frame is too large"));
    stream.write_u32(length(&head)?).await?;
    stream.write_u32(length(body)?).await?;
    stream.write_all(&head).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

/// The next frame; nothing where the other side has ended.
async fn receive<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    body_max_bytes: u32,
) -> io::Result<Option<(T, Vec<u8>)>> {
    let head_bytes = match stream.read_u32().await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let body_bytes = stream.read_u32().await?;
    if head_bytes > HEAD_MAX_BYTES || body_bytes > body_max_bytes {
        return Err(io::Error::other(format!("a frame of {head_bytes} and {body_bytes} bytes is too large")));
    }
    let head = read(stream, head_bytes).await?;
    let body = read(stream, body_bytes).await?;
    Ok(Some((serde_json::from_slice(&head)?, body)))
}

/// Takes memory as bytes come, not as they are announced.
async fn read(stream: &mut (impl AsyncRead + Unpin), bytes: u32) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    stream.take(bytes.into()).read_to_end(&mut read).await?;
    if read.len() as u64 == u64::from(bytes) { Ok(read) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_out_as_they_went_in_and_too_large_ones_are_refused() {
        let (mut here, mut there) = tokio::io::duplex(1 << 20);
        let ask = Said::Ask(Ask {
            content_type: "text/csv".into(),
            accept: None,
            target_model: None,
            inference_id: "captura-attribution-x-1".into(),
        });
        send(&mut here, &ask, b"1,2\n").await.unwrap();
        send(&mut here, &Told::Opened, b"").await.unwrap();
        send(&mut here, &Told::Answered { content_type: None }, b"four").await.unwrap();
        assert_eq!(receive(&mut there, 4).await.unwrap(), Some((ask, b"1,2\n".to_vec())));
        assert_eq!(receive(&mut there, 4).await.unwrap(), Some((Told::Opened, Vec::new())));
        assert!(receive::<Told>(&mut there, 3).await.unwrap_err().to_string().contains("too large"));
        let (mut here, mut there) = tokio::io::duplex(64);
        here.write_all(&[0, 0, 0, 9, 0, 0]).await.unwrap();
        drop(here);
        assert!(receive::<Told>(&mut there, 3).await.is_err(), "half a frame is no end");
        let (here, mut there) = tokio::io::duplex(64);
        drop(here);
        assert_eq!(receive::<Told>(&mut there, 3).await.unwrap(), None);
    }

    #[test]
    fn the_socket_is_found_below_a_folder_whose_name_is_longer_than_an_address() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("long".repeat(50));
        std::fs::create_dir(&folder).unwrap();
        let here = place(&folder).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&here.path).unwrap();
        assert!(folder.join(SOCKET).exists());
        let there = place(&folder).unwrap();
        std::os::unix::net::UnixStream::connect(&there.path).unwrap();
        drop(listener);
    }
}
