//! The job's side: the model as the analyser asks it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use captura_analyser::{Later, Models, OpenModel, Target};
use captura_monitor::job::{AskError, AskModel, ModelAnswer, OWN_INFERENCE_ID, Question};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::{ANSWER_MAX_BYTES, Ask, Model, SOCKET, Said, Told, place, receive, send};

/// The server whose job this is, as it is reached from the job's folder.
pub(crate) struct OwnServer {
    /// The job's folder.
    pub(crate) folder: PathBuf,
}

impl Models for OwnServer {
    fn open(&self, target: Target) -> Later<'_, Result<Box<dyn OpenModel>, String>> {
        Box::pin(self.opened(target))
    }
}

impl OwnServer {
    async fn opened(&self, target: Target) -> Result<Box<dyn OpenModel>, String> {
        if !self.folder.join(SOCKET).exists() {
            return Err("the job must not ask anybody (EnableNetworkIsolation)".to_owned());
        }
        let mut stream = self.connected().await.map_err(|error| format!("its server cannot be reached: {error}"))?;
        let model = match target {
            Target::Endpoint(name) => Model::Endpoint(name.to_string()),
            Target::Model { model, prefix } => Model::Model { name: model.to_string(), prefix },
        };
        match exchange(&mut stream, &Said::Open(model), b"").await? {
            (Told::Opened, _) => Ok(Box::new(Asked { stream: Mutex::new(stream), run: uuid::Uuid::new_v4() })),
            (Told::Failed(why), _) => Err(why),
            (told, _) => Err(unexpected(&told)),
        }
    }

    async fn connected(&self) -> std::io::Result<UnixStream> {
        let place = place(&self.folder)?;
        UnixStream::connect(&place.path).await
    }
}

/// A model that can be asked.
struct Asked {
    stream: Mutex<UnixStream>,
    /// Tells the calls of one run from those of another.
    run: uuid::Uuid,
}

impl Asked {
    async fn call(&self, question: Question<'_>) -> Result<ModelAnswer, AskError> {
        let ask = Said::Ask(Ask {
            content_type: question.content_type.to_owned(),
            accept: question.accept.map(str::to_owned),
            target_model: question.target_model.map(str::to_owned),
            inference_id: format!("{OWN_INFERENCE_ID}{}-{}", self.run, question.number),
        });
        let mut stream = self.stream.lock().await;
        match exchange(&mut stream, &ask, &question.body).await.map_err(AskError::Failed)? {
            (Told::Answered { content_type }, body) => Ok(ModelAnswer { content_type, body }),
            (Told::Refused(why), _) => Err(AskError::Refused(why)),
            (Told::Failed(why), _) => Err(AskError::Failed(why)),
            (told, _) => Err(AskError::Failed(unexpected(&told))),
        }
    }
}

async fn exchange(stream: &mut UnixStream, said: &Said, body: &[u8]) -> Result<(Told, Vec<u8>), String> {
    let broken = |error: std::io::Error| format!("its server cannot be asked: {error}");
    send(stream, said, body).await.map_err(broken)?;
    receive(stream, ANSWER_MAX_BYTES).await.map_err(broken)?.ok_or_else(|| "its server has hung up".to_owned())
}

fn unexpected(told: &Told) -> String {
    format!("our bug: the server says {told:?} in the wrong place")
}

impl AskModel for Asked {
    fn ask<'a>(
        &'a self,
        question: Question<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<ModelAnswer, AskError>> + Send + 'a>> {
        Box::pin(self.call(question))
    }
}

impl OpenModel for Asked {
    fn model(&self) -> &dyn AskModel {
        self
    }

    /// The server sees the end of the connection, and takes away what it has made.
    fn leave(&self) -> Later<'_, ()> {
        Box::pin(async {})
    }
}
