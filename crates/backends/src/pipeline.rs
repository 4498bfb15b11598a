//! Several containers that are one model.
//!
//! ```text
//! Serial: request → container-1 → container-2 → … → answer      Direct: request → the container that it names → answer
//! ```
//! In a serial pipeline the answer's body and content type are the next container's request. Custom attributes go to
//! every container, and the last one's come back; what answer is accepted only the last container hears.
//!
//! Each container has replicas of its own, as many as the model has instances, so that one that dies holds up no more
//! calls than its own.
//!
//! Invariant: what goes wrong names the container that it went wrong in.
//! Refuses to: answer with what a container in the middle said.

use std::sync::Arc;

use captura_names::ContainerHostname;
use captura_route::{
    Answer, Backend, BackendError, Extras, Invoking, ModelRequest, Signature, StreamedAnswer, Streaming,
};
use futures_util::future::join_all;

use crate::Replicas;

/// How calls go through the containers of a model: `InferenceExecutionConfig.Mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PipelineMode {
    /// Through all of them, in their order.
    #[default]
    Serial,
    /// To the one that the call names.
    Direct,
}

/// The containers of one model, at work.
#[derive(Debug)]
pub struct Pipeline {
    stages: Vec<Stage>,
    mode: PipelineMode,
    signature: Option<Signature>,
}

/// One container with its replicas.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) hostname: ContainerHostname,
    pub(crate) replicas: Arc<Replicas>,
}

impl Pipeline {
    /// A model of these containers, of which there is at least one.
    pub(crate) fn new(stages: Vec<Stage>, mode: PipelineMode) -> Self {
        let signature = match (mode, stages.first(), stages.last()) {
            (PipelineMode::Serial, Some(first), Some(last)) => between(first, last),
            _ => None,
        };
        Self { stages, mode, signature }
    }

    /// Sets the number of instances of every container.
    pub(crate) fn scale(&self, count: usize) {
        for stage in &self.stages {
            stage.replicas.scale(count);
        }
    }

    /// How many instances of every container there shall be.
    pub(crate) fn desired(&self) -> usize {
        self.stages.first().map_or(0, |stage| stage.replicas.desired())
    }

    /// Waits until every container has as many as there shall be.
    pub(crate) async fn reached(&self) {
        // Boxed, because the replicas of a container could be a pipeline themselves as far as the compiler knows.
        join_all(self.stages.iter().map(|stage| Box::pin(stage.replicas.reached()))).await;
    }

    /// Why the last start of an instance failed, if it did.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.stages
            .iter()
            .find_map(|stage| stage.replicas.trouble().map(|why| format!("container {}: {why}", stage.hostname)))
    }

    /// Through all containers but the last; gives that one, and its request.
    async fn lead<'a>(&'a self, request: &ModelRequest) -> Result<(&'a Stage, ModelRequest), BackendError> {
        let (last, before) = self.stages.split_last().expect("our bug: a pipeline has containers");
        let mut passed = request.clone();
        for stage in before {
            passed.accept = None;
            let answer = stage.invoke(&stage.own(&passed)).await?;
            (passed.body, passed.content_type) = (answer.body, answer.content_type);
        }
        passed.accept.clone_from(&request.accept);
        let own = last.own(&passed);
        Ok((last, own))
    }

    fn named(&self, request: &ModelRequest) -> Result<&Stage, BackendError> {
        let asked = request.target_container.as_ref();
        let found = self.stages.iter().find(|stage| Some(&stage.hostname) == asked);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.stages.iter().map(|stage| stage.hostname.as_str()).collect();
            let asked = asked.map_or("", ContainerHostname::as_str);
            BackendError::NoSuchTarget(format!(
                "Container {asked} does not exist in the model of this endpoint. Its containers are {}.",
                known.join(", ")
            ))
        })
    }

    async fn whole(&self, request: &ModelRequest) -> Result<Answer, BackendError> {
        match self.mode {
            PipelineMode::Serial => {
                let (last, request) = self.lead(request).await?;
                last.invoke(&request).await
            }
            PipelineMode::Direct => self.named(request)?.invoke(request).await,
        }
    }

    async fn pieces(&self, request: &ModelRequest) -> Result<StreamedAnswer, BackendError> {
        match self.mode {
            PipelineMode::Serial => {
                let (last, request) = self.lead(request).await?;
                last.invoke_streaming(&request).await
            }
            PipelineMode::Direct => self.named(request)?.invoke_streaming(request).await,
        }
    }
}

impl Stage {
    /// The request as this container gets it: the key of a model is for the one that has many.
    fn own(&self, request: &ModelRequest) -> ModelRequest {
        let target_model = request.target_model.clone().filter(|_| self.replicas.extras().target_model);
        ModelRequest { target_model, ..request.clone() }
    }

    async fn invoke(&self, request: &ModelRequest) -> Result<Answer, BackendError> {
        self.replicas.invoke(request).await.map_err(|error| self.blamed(error))
    }

    async fn invoke_streaming(&self, request: &ModelRequest) -> Result<StreamedAnswer, BackendError> {
        self.replicas.invoke_streaming(request).await.map_err(|error| self.blamed(error))
    }

    fn blamed(&self, error: BackendError) -> BackendError {
        BackendError::InContainer { hostname: self.hostname.clone(), error: Box::new(error) }
    }
}

impl Backend for Pipeline {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(self.whole(request))
    }

    fn invoke_streaming<'a>(&'a self, request: &'a ModelRequest) -> Streaming<'a> {
        Box::pin(self.pieces(request))
    }

    fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    fn extras(&self) -> Extras {
        let has_many = self.stages.iter().any(|stage| stage.replicas.extras().target_model);
        match self.mode {
            PipelineMode::Serial => Extras { target_model: has_many, ..Extras::default() },
            PipelineMode::Direct => Extras { target_container: true, target_model: has_many, ..Extras::default() },
        }
    }

    fn instances(&self) -> usize {
        self.stages.iter().map(|stage| stage.replicas.instances()).min().unwrap_or(0)
    }

    fn resolved_image(&self, container: usize) -> Option<Arc<str>> {
        self.stages.get(container)?.replicas.resolved_image(0)
    }
}

/// What goes into the first container, and what comes out of the last.
fn between(first: &Stage, last: &Stage) -> Option<Signature> {
    let (first, last) = (first.replicas.signature()?, last.replicas.signature()?);
    Some(Signature { inputs: first.inputs.clone(), outputs: last.outputs.clone() })
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
