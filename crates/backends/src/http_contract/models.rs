//! The `/models` interface of servers that have many models.

use std::sync::Arc;

use bytes::Bytes;
use captura_route::BackendError;
use http::{Method, StatusCode, Uri};

use super::{ContractClient, Inner, answer, request};

/// Most bytes that are read of an answer of this interface.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Why a server did not load a model.
#[derive(Debug, Clone)]
pub(crate) enum LoadRefused {
    /// It has no memory for it; it may when it has unloaded others.
    NoRoom(BackendError),
    /// It cannot.
    Failed(BackendError),
}

impl ContractClient {
    /// Has the server load the model whose files it finds at `path`. A model that is loaded already is left as it is.
    /// Whoever waits bounds the waiting.
    pub(crate) async fn load_model(&self, identifier: &str, path: &str) -> Result<(), LoadRefused> {
        let body = serde_json::json!({ "model_name": identifier, "url": path }).to_string().into();
        let answered = self.manage(&Method::POST, "/models", Some(body)).await;
        let (status, error) = answered.map_err(LoadRefused::Failed)?;
        match (status, error) {
            (StatusCode::CONFLICT, _) | (_, None) => Ok(()),
            (StatusCode::INSUFFICIENT_STORAGE, Some(error)) => Err(LoadRefused::NoRoom(error)),
            (_, Some(error)) => Err(LoadRefused::Failed(error)),
        }
    }

    /// Has the server unload a model. One that it does not have is no error.
    pub(crate) async fn unload_model(&self, identifier: &str) -> Result<(), BackendError> {
        let (status, error) = self.manage(&Method::DELETE, &format!("/models/{identifier}"), None).await?;
        if status == StatusCode::NOT_FOUND { Ok(()) } else { error.map_or(Ok(()), Err) }
    }

    /// The same server, for calls of one of its models.
    pub(crate) fn for_model(&self, identifier: &str) -> Self {
        let inner = &*self.inner;
        Self {
            inner: Arc::new(Inner {
                settings: inner.settings.clone(),
                invocations: path(&format!("/models/{identifier}/invoke")),
                ping: inner.ping.clone(),
                host: inner.host.clone(),
                pool: Arc::clone(&inner.pool),
            }),
        }
    }

    /// Sends one request of the interface. Gives the status, and what the server says where that is an error.
    async fn manage(
        &self,
        method: &Method,
        to: &str,
        body: Option<Bytes>,
    ) -> Result<(StatusCode, Option<BackendError>), BackendError> {
        let to = path(to);
        let new = || request::models(method, &to, &self.inner.host, body.as_ref());
        let (mut link, response) = self.send(new).await?;
        let (parts, mut body) = response.into_parts();
        let body = link.collect(&mut body, ANSWER_MAX_BYTES, &self.inner.settings.answers.memory).await?;
        self.inner.pool.give_back(link);
        Ok((parts.status, answer::judge(&parts, body).err()))
    }
}

fn path(text: &str) -> Uri {
    text.parse().expect("our bug: identifiers are letters and digits")
}
