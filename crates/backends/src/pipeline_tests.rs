//! Pipelines of models that say what they were asked.

use bytes::Bytes;

use super::*;

/// Answers with its name around the request, and tells in its content type what it was asked beside it.
#[derive(Debug)]
struct Speaker {
    name: &'static str,
    error: Option<BackendError>,
    takes_target_model: bool,
}

impl Backend for Speaker {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(async move {
            if let Some(error) = &self.error {
                return Err(error.clone());
            }
            let told = |member: &Option<Box<str>>| member.as_deref().unwrap_or("-").to_owned();
            let (given, accept) = (told(&request.content_type), told(&request.accept));
            let (attributes, model) = (told(&request.custom_attributes), told(&request.target_model));
            Ok(Answer {
                body: format!("{}({})", self.name, String::from_utf8_lossy(&request.body)).into(),
                content_type: Some(format!("{}[{given} {accept} {attributes} {model}]", self.name).into()),
                custom_attributes: Some(format!("of={}", self.name).into()),
                ..Answer::default()
            })
        })
    }

    fn extras(&self) -> Extras {
        Extras { target_model: self.takes_target_model, ..Extras::default() }
    }
}

fn speaker(name: &'static str) -> Speaker {
    Speaker { name, error: None, takes_target_model: false }
}

fn pipeline(speakers: Vec<Speaker>, mode: PipelineMode) -> Replicas {
    let stages = speakers.into_iter().map(|speaker| Stage {
        hostname: ContainerHostname::parse(&format!("container-{}", speaker.name)).unwrap(),
        replicas: Arc::new(Replicas::shared(Arc::new(speaker), 1)),
    });
    Replicas::pipeline(Pipeline::new(stages.collect(), mode))
}

fn request() -> ModelRequest {
    ModelRequest {
        body: Bytes::from_static(b"1,2"),
        content_type: Some("text/csv".into()),
        accept: Some("application/json".into()),
        custom_attributes: Some("trace=1".into()),
        ..ModelRequest::default()
    }
}

#[tokio::test]
async fn an_answer_of_one_container_is_the_request_of_the_next() {
    let model = pipeline(vec![speaker("a"), speaker("b"), speaker("c")], PipelineMode::Serial);
    let answer = model.invoke(&request()).await.unwrap();
    assert_eq!(answer.body, "c(b(a(1,2)))");
    let content_type = "c[b[a[text/csv - trace=1 -] - trace=1 -] application/json trace=1 -]";
    assert_eq!(answer.content_type.as_deref(), Some(content_type));
    assert_eq!(answer.custom_attributes.as_deref(), Some("of=c"));
    let streamed = model.invoke_streaming(&request()).await.unwrap();
    assert_eq!(streamed.head.content_type.as_deref(), Some(content_type));
    assert_eq!(model.extras(), Extras::default());
}

#[tokio::test]
async fn what_goes_wrong_names_the_container_and_the_next_is_not_asked() {
    let failing = Speaker { error: Some(BackendError::refused("column age is missing")), ..speaker("b") };
    let model = pipeline(vec![speaker("a"), failing, speaker("c")], PipelineMode::Serial);
    let error = model.invoke(&request()).await.unwrap_err();
    let (container, cause) = error.parts();
    assert_eq!(container.unwrap().as_str(), "container-b");
    assert!(matches!(cause, BackendError::Model { status: 400, .. }), "{cause:?}");
    assert_eq!(error.to_string(), "container container-b: the model answered 400: column age is missing");
}

#[tokio::test]
async fn in_direct_mode_the_call_names_the_container() {
    let model = pipeline(vec![speaker("a"), speaker("b")], PipelineMode::Direct);
    assert!(model.extras().target_container);
    let to = |name| ModelRequest { target_container: ContainerHostname::parse(name).ok(), ..request() };
    let answer = model.invoke(&to("container-b")).await.unwrap();
    assert_eq!(
        (&answer.body[..], answer.content_type.as_deref()),
        (&b"b(1,2)"[..], Some("b[text/csv application/json trace=1 -]"))
    );
    for unknown in [to("container-c"), request()] {
        let error = model.invoke(&unknown).await.unwrap_err();
        assert!(matches!(&error, BackendError::NoSuchTarget(_)), "{error:?}");
        assert!(error.to_string().ends_with("Its containers are container-a, container-b."), "{error}");
    }
}

#[tokio::test]
async fn the_key_of_a_model_goes_to_the_container_that_has_many() {
    let many = Speaker { takes_target_model: true, ..speaker("b") };
    let model = pipeline(vec![speaker("a"), many], PipelineMode::Serial);
    assert!(model.extras().target_model);
    let request = ModelRequest { target_model: Some("north.tar.gz".into()), ..request() };
    let answer = model.invoke(&request).await.unwrap();
    assert_eq!(
        answer.content_type.as_deref(),
        Some("b[a[text/csv - trace=1 -] application/json trace=1 north.tar.gz]")
    );
}

#[tokio::test]
async fn a_pipeline_is_scaled_as_a_whole() {
    let model = pipeline(vec![speaker("a"), speaker("b")], PipelineMode::Serial);
    model.scale(3);
    model.reached().await;
    assert_eq!((model.desired(), model.instances(), model.trouble()), (3, 3, None));
}
