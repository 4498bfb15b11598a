//! The health check.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;

use super::PING_TIMEOUT;
use super::link::Broken;
use super::pool::Pool;

/// Why a server is not healthy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unhealthy {
    /// It does not listen, or closes without an answer.
    #[error("GET /ping was not answered: {0}")]
    Unanswered(String),
    /// It answers something else than 200.
    #[error("GET /ping was answered with {0}")]
    Status(u16),
    /// It takes too long.
    #[error("GET /ping was not answered within {} s", PING_TIMEOUT.as_secs())]
    TimedOut,
}

/// One health check.
pub(super) async fn ping(pool: &Pool, request: Request<Full<Bytes>>) -> Result<(), Unhealthy> {
    let asked = async {
        let mut link = pool.open().await?;
        link.send(request).await
    };
    match tokio::time::timeout(PING_TIMEOUT, asked).await {
        Ok(Ok(response)) if response.status() == StatusCode::OK => Ok(()),
        Ok(Ok(response)) => Err(Unhealthy::Status(response.status().as_u16())),
        Ok(Err(Broken::Unreached(why) | Broken::Unanswered(why) | Broken::Garbled(why))) => {
            Err(Unhealthy::Unanswered(why))
        }
        Ok(Err(Broken::NoMemory)) => Err(Unhealthy::Unanswered("there is no memory for its answer now".into())),
        Ok(Err(Broken::TooLarge { .. })) => Err(Unhealthy::Unanswered("its head is too large".into())),
        Err(_) => Err(Unhealthy::TimedOut),
    }
}
