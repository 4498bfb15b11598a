//! What a container says: Docker's two streams in one, taken apart again and read as a process's are.

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt as _;
use futures_util::future::join;
use tokio::io::{AsyncWriteExt as _, duplex};

use crate::logs::{LogSink, LogStream, Tail, read};

/// Bytes of a stream that may be on their way to its reader.
const PIPE_BYTES: usize = 64 * 1024;

/// Passes on what a container says, until it ends.
pub(super) async fn follow(docker: &Docker, id: &str, sink: &LogSink, tail: &Tail) {
    let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).build();
    let mut pieces = std::pin::pin!(docker.logs(id, Some(options)));
    let ((mut stdout, stdout_end), (mut stderr, stderr_end)) = (duplex(PIPE_BYTES), duplex(PIPE_BYTES));
    let take_apart = async move {
        while let Some(Ok(piece)) = pieces.next().await {
            let pipe = if matches!(piece, LogOutput::StdErr { .. }) { &mut stderr } else { &mut stdout };
            if pipe.write_all(piece.as_ref()).await.is_err() {
                break;
            }
        }
    };
    let to = || (id.to_owned(), sink.clone(), tail.clone());
    let readers = join(read(stdout_end, LogStream::Stdout, to()), read(stderr_end, LogStream::Stderr, to()));
    join(take_apart, readers).await;
}

/// The last lines of a container, in a sentence.
pub(super) fn last_words(tail: &Tail) -> String {
    tail.quoted().map_or_else(|| "It said nothing".to_owned(), |words| format!("Its last words: {words}"))
}
