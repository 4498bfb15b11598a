//! What becomes of calls while the server lives.

use super::*;

#[tokio::test(start_paused = true)]
async fn calls_are_answered_in_their_order_and_leave_nothing_behind() {
    let world = World::new();
    let backlog = world.open();
    world.put("s3://inputs/two.csv", "stored").await;
    backlog.accept(call(1), "inline".into()).await.unwrap();
    backlog
        .accept(Deferred { input: S3Uri::parse("s3://inputs/two.csv").ok(), ..call(2) }, Bytes::new())
        .await
        .unwrap();
    assert_eq!(backlog.figures().endpoints[0].backlog_size, 2);
    backlog.start(world.doors());
    let figures = emptied(&backlog).await;
    assert_eq!((figures.accepted, figures.completed, figures.failed), (2, 2, 0));
    assert_eq!(world.asked(), ["inline", "stored"]);
    assert_eq!(world.object("s3://answers/1.out").await.unwrap(), "INLINE");
    assert_eq!(world.object("s3://answers/2.out").await.unwrap(), "STORED");
    assert_eq!(world.files(), BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn notices_have_the_shape_of_aws() {
    let world = World::new();
    let backlog = world.open();
    let mut with_answer = Deferred { input: S3Uri::parse("s3://inputs/row.csv").ok(), ..call(1) };
    world.put("s3://inputs/row.csv", "row").await;
    with_answer.settings.include_response_in = vec!["SUCCESS_NOTIFICATION_TOPIC".into()];
    backlog.accept(with_answer, Bytes::new()).await.unwrap();
    backlog.accept(call(2), "fail".into()).await.unwrap();
    backlog.start(world.doors());
    emptied(&backlog).await;
    let mut notices = world.notices.lock().unwrap().clone();
    for (_, notice) in &mut notices {
        let at = notice["eventTime"].as_str().unwrap();
        assert!(at.starts_with("2022-04-18T00:21:48.") && at.ends_with('Z') && at.len() == 24, "{at}");
        notice["eventTime"] = json!("now");
    }
    let common = |status: &str, request: Value, id: &str| {
        json!({"awsRegion": "eu-west-1", "eventTime": "now", "receivedTime": "2022-04-18T00:21:48.000Z",
            "invocationStatus": status, "requestParameters": request, "inferenceId": id, "eventVersion": "1.0",
            "eventSource": "aws:sagemaker", "eventName": "InferenceResult"})
    };
    let request = json!({"contentType": "text/csv", "endpointName": "churn", "inputLocation": "s3://inputs/row.csv"});
    let mut success = common("Completed", request, "order-1");
    success["responseParameters"] = json!({"contentType": "text/csv", "outputLocation": "s3://answers/1.out"});
    success["responseBody"] = json!({"content": "Uk9X", "encoding": "BASE64"});
    let mut failure = common("Failed", json!({"contentType": "text/csv", "endpointName": "churn"}), "order-2");
    failure["failureReason"] = json!("out of memory");
    failure["responseParameters"] = json!({"failureLocation": "s3://failures/2-error.out"});
    let topic = |name: &str| format!("arn:aws:sns:eu-west-1:000000000000:{name}");
    assert_eq!(notices, [(topic("done"), success), (topic("failed"), failure)]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_written_and_what_can_not_be_served_now_is_tried_again() {
    let world = World::new();
    let backlog = world.open();
    backlog.accept(call(1), "fail".into()).await.unwrap();
    backlog.accept(call(2), "later".into()).await.unwrap();
    backlog.accept(call(3), "never".into()).await.unwrap();
    let no_input = Deferred { input: S3Uri::parse("s3://inputs/none.csv").ok(), ..call(4) };
    backlog.accept(no_input, Bytes::new()).await.unwrap();
    backlog.start(world.doors());
    let figures = emptied(&backlog).await;
    assert_eq!((figures.completed, figures.failed, figures.expired), (1, 3, 1));
    assert_eq!(world.object("s3://failures/1-error.out").await.unwrap(), "out of memory");
    assert_eq!(
        world.asked().iter().filter(|asked| *asked == "fail").count(),
        1,
        "a model's answer is not asked for twice"
    );
    assert_eq!(world.object("s3://answers/2.out").await.unwrap(), "LATER");
    assert!(world.object("s3://failures/3-error.out").await.unwrap().contains("expired"));
    assert!(world.object("s3://failures/4-error.out").await.unwrap().contains("no input at s3://inputs/none.csv"));
    let attempts = world.asked().iter().filter(|asked| *asked == "never").count();
    assert!((5..=10).contains(&attempts), "{attempts} attempts in a minute, with growing pauses");
}

#[tokio::test(start_paused = true)]
async fn a_call_under_which_the_model_goes_away_each_time_is_given_up_after_a_few_and_harms_no_other() {
    let world = World::new();
    *world.lanes.lock().unwrap() = Some(3);
    let backlog = world.open();
    let patient = |number| Deferred { expires_at: Timestamp::from_unix_us(START_US + 3_600_000_000), ..call(number) };
    for (number, text) in ["beside poison", "poison", "beside poison", "row"].into_iter().enumerate() {
        backlog.accept(patient(u32::try_from(number).unwrap()), text.into()).await.unwrap();
    }
    backlog.start(world.doors());
    let figures = emptied(&backlog).await;
    assert_eq!((figures.completed, figures.failed, figures.expired), (3, 1, 0));
    assert_eq!(world.asked().iter().filter(|asked| *asked == "poison").count(), 5);
    let told = world.object("s3://failures/1-error.out").await.unwrap();
    assert!(told.contains("The model or the server ended 5 times"), "{told}");
    assert_eq!(world.asked().iter().filter(|asked| *asked == "beside poison").count(), 6, "the third time alone");
}

#[tokio::test(start_paused = true)]
async fn as_many_calls_run_at_a_time_as_the_endpoint_has_lanes() {
    let world = World::new();
    *world.lanes.lock().unwrap() = Some(3);
    let backlog = world.open();
    for number in 0..10 {
        backlog.accept(call(number), format!("wait {number}").into()).await.unwrap();
    }
    backlog.start(world.doors());
    while world.asked().len() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let figures = backlog.figures().endpoints[0].clone();
    assert_eq!((figures.backlog_size, figures.working, world.asked().len()), (10, 3, 3));
    assert!(figures.oldest_age_seconds.unwrap() >= 5.0);
    world.go.add_permits(10);
    emptied(&backlog).await;
    assert_eq!(world.most.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn without_instances_calls_wait_and_it_is_told() {
    let world = World::new();
    *world.lanes.lock().unwrap() = Some(0);
    let backlog = world.open();
    backlog.accept(call(1), "row".into()).await.unwrap();
    backlog.start(world.doors());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(backlog.figures().endpoints[0].without_capacity);
    *world.lanes.lock().unwrap() = Some(1);
    assert_eq!(emptied(&backlog).await.completed, 1);
}

#[tokio::test(start_paused = true)]
async fn calls_of_an_endpoint_that_is_gone_fail_in_writing_and_those_of_one_that_loads_wait() {
    let world = World::new();
    *world.lanes.lock().unwrap() = None;
    let backlog = world.open();
    let patient = |number| Deferred { expires_at: Timestamp::from_unix_us(START_US + 3_600_000_000), ..call(number) };
    backlog.accept(patient(1), "wait".into()).await.unwrap();
    backlog.accept(patient(2), "row".into()).await.unwrap();
    backlog.start(world.doors());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(backlog.figures().failed, 0, "its models may still load");
    *world.lanes.lock().unwrap() = Some(1);
    while world.asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    *world.lanes.lock().unwrap() = None;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(world.object("s3://failures/2-error.out").await.unwrap().contains("Endpoint churn was deleted"));
    world.go.add_permits(1);
    let figures = emptied(&backlog).await;
    assert_eq!((figures.completed, figures.failed), (1, 1), "what was under way ends as it does");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_takes_no_more() {
    let world = World::new();
    let settings = Settings { entries_max: 2, bytes_max: 10_000, ..world.settings() };
    let backlog = Backlog::open(settings, Arc::new(RealDisk), world.clock.clone()).unwrap();
    assert!(matches!(backlog.accept(call(0), vec![b'x'; 10_001].into()).await, Err(NotKept::Full)));
    backlog.accept(call(1), "row".into()).await.unwrap();
    backlog.accept(call(2), "row".into()).await.unwrap();
    assert!(matches!(backlog.accept(call(3), "row".into()).await, Err(NotKept::Full)));
    backlog.start(world.doors());
    emptied(&backlog).await;
    backlog.accept(call(3), "row".into()).await.unwrap();
    emptied(&backlog).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_the_callers_own_name_replaces_an_older_one_and_a_drawn_name_never_does() {
    let world = World::new();
    let backlog = world.open();
    world.put("s3://answers/1.out", "older").await;
    world.put("s3://answers/2.out", "older").await;
    backlog.accept(Deferred { output_named: true, ..call(1) }, "newer".into()).await.unwrap();
    backlog.accept(call(2), "newer".into()).await.unwrap();
    backlog.start(world.doors());
    emptied(&backlog).await;
    assert_eq!(world.object("s3://answers/1.out").await.unwrap(), "NEWER");
    assert_eq!(world.object("s3://answers/2.out").await.unwrap(), "older");
}

#[tokio::test(start_paused = true)]
async fn an_input_beyond_the_limit_is_refused_in_writing() {
    let world = World::new();
    world.put("s3://inputs/large.csv", &"x".repeat(100)).await;
    let settings = Settings { input_max_bytes: 99, ..world.settings() };
    let backlog = Backlog::open(settings, Arc::new(RealDisk), world.clock.clone()).unwrap();
    let large = Deferred { input: S3Uri::parse("s3://inputs/large.csv").ok(), ..call(1) };
    backlog.accept(large, Bytes::new()).await.unwrap();
    backlog.start(world.doors());
    emptied(&backlog).await;
    assert!(world.object("s3://failures/1-error.out").await.unwrap().contains("has 100 bytes; at most 99 are read"));
    assert_eq!(world.asked(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_keeps_no_content_types_takes_answers_all_the_same() {
    let world = World::new();
    let backlog = world.open();
    let folder = tempfile::tempdir().unwrap();
    let store = object_store::local::LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    let resolve: crate::Resolve = Arc::new(move |at, _, _| Ok((Arc::clone(&store), Key::from(at.key()))));
    backlog.accept(call(1), "row".into()).await.unwrap();
    backlog.accept(call(2), "fail".into()).await.unwrap();
    backlog.start(Doors { resolve, ..world.doors() });
    emptied(&backlog).await;
    assert_eq!(std::fs::read_to_string(folder.path().join("1.out")).unwrap(), "ROW");
    assert_eq!(std::fs::read_to_string(folder.path().join("2-error.out")).unwrap(), "out of memory");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_work_ends_neither_the_queue_nor_the_calls_in_it() {
    let world = World::new();
    let backlog = world.open();
    for number in 0..3 {
        backlog.accept(call(number), format!("row {number}").into()).await.unwrap();
    }
    let doors = world.doors();
    let (lanes, run) = (Arc::clone(&doors.lanes), Arc::clone(&doors.run));
    let (looks, runs) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let falls = Doors {
        lanes: Arc::new(move |endpoint| {
            assert!(looks.fetch_add(1, Ordering::SeqCst) != 1, "the lanes fall down");
            lanes(endpoint)
        }),
        run: Arc::new(move |deferred, body| {
            assert!(runs.fetch_add(1, Ordering::SeqCst) > 1, "the model's door falls down");
            run(deferred, body)
        }),
        ..doors
    };
    backlog.start(falls);
    assert_eq!(emptied(&backlog).await.completed, 3);
    let figures = backlog.0.settings.tasks.figures();
    assert_eq!(figures.iter().map(|one| (one.task, one.panics)).collect::<Vec<_>>(), [("backlog", 3)]);
    assert_eq!(world.asked().len(), 3);
}
