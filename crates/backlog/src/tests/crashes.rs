//! What becomes of calls when the disk fails, the server dies, or the bytes are not what they were.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_worked_off_by_the_next_server() {
    let world = World::new();
    let backlog = world.open();
    for number in 0..3 {
        backlog.accept(call(number), format!("row {number}").into()).await.unwrap();
    }
    drop(backlog);
    let backlog = world.open();
    assert_eq!(backlog.figures().endpoints[0].backlog_size, 3);
    backlog.start(world.doors());
    emptied(&backlog).await;
    assert_eq!(world.asked(), ["row 0", "row 1", "row 2"]);
    backlog.accept(call(3), "row 3".into()).await.unwrap();
    emptied(&backlog).await;
    assert_eq!(world.object("s3://answers/3.out").await.unwrap(), "ROW 3");
}

/// Accepting asks the disk for three things, then for the way back.
#[tokio::test(start_paused = true)]
async fn whichever_call_of_the_disk_fails_what_was_accepted_is_there_and_what_was_refused_is_not() {
    for for_good in [false, true] {
        for fails_at in 0..8 {
            let world = World::new();
            let disk = FaultyDisk { calls: AtomicUsize::new(0), fails_at, for_good };
            let backlog = Backlog::open(world.settings(), Arc::new(disk), world.clock.clone()).unwrap();
            let mut accepted = Vec::new();
            for number in 0..3 {
                if backlog.accept(call(number), format!("row {number}").into()).await.is_ok() {
                    accepted.push(format!("row {number}"));
                }
            }
            let waiting = backlog.figures().endpoints.first().map_or(0, |endpoint| endpoint.backlog_size);
            assert_eq!(waiting, accepted.len(), "at {fails_at}");
            drop(backlog);
            let backlog = world.open();
            backlog.start(world.doors());
            emptied(&backlog).await;
            let asked = world.asked();
            assert!(accepted.iter().all(|call| asked.contains(call)), "at {fails_at}: {accepted:?} in {asked:?}");
            if !for_good {
                assert_eq!(asked, accepted, "at {fails_at}");
            }
            assert_eq!(world.files(), BTreeSet::new(), "at {fails_at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_the_answer_was_written_does_not_ask_the_model_again() {
    let world = World::new();
    // Accepting takes three calls of the disk, beginning one; then the dying disk keeps the call on the shelf.
    let disk = FaultyDisk { calls: AtomicUsize::new(0), fails_at: 4, for_good: true };
    let backlog = Backlog::open(world.settings(), Arc::new(disk), world.clock.clone()).unwrap();
    backlog.accept(call(1), "row".into()).await.unwrap();
    backlog.start(world.doors());
    emptied(&backlog).await;
    assert_eq!(world.files().len(), 1);
    backlog.stop(Duration::ZERO).await;

    let backlog = world.open();
    backlog.start(world.doors());
    emptied(&backlog).await;
    assert_eq!(world.asked(), ["row"], "once, in both lives");
    assert_eq!(world.files(), BTreeSet::new());
    assert_eq!(world.notices.lock().unwrap().len(), 2, "a notice may come twice");
}

#[tokio::test(start_paused = true)]
async fn an_orderly_end_puts_back_what_is_under_way_and_takes_no_more() {
    let world = World::new();
    let backlog = world.open();
    backlog.accept(call(1), "wait".into()).await.unwrap();
    backlog.start(world.doors());
    while world.asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.files(), ["0000000000000000-1.call".to_owned()].into());
    backlog.stop(Duration::from_secs(1)).await;
    assert!(matches!(backlog.accept(call(2), "row".into()).await, Err(NotKept::Stopping)));
    assert_eq!(world.files(), ["0000000000000000-0.call".to_owned()].into(), "this start does not count");
    drop(backlog);
    world.go.add_permits(1);
    let backlog = world.open();
    backlog.start(world.doors());
    assert_eq!(emptied(&backlog).await.completed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_kills_the_server_again_and_again_is_given_up() {
    let world = World::new();
    world.open().accept(call(1), "row".into()).await.unwrap();
    let dir = world.settings().dir;
    std::fs::rename(dir.join("0000000000000000-0.call"), dir.join("0000000000000000-5.call")).unwrap();
    let backlog = world.open();
    backlog.start(world.doors());
    emptied(&backlog).await;
    assert!(world.object("s3://failures/1-error.out").await.unwrap().contains("ended 5 times"));
    assert_eq!(world.asked(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn damage_is_noticed_wherever_it_is_and_set_aside() {
    let world = World::new();
    world.open().accept(call(1), "row".into()).await.unwrap();
    let path = world.settings().dir.join("0000000000000000-0.call");
    let sound = std::fs::read(&path).unwrap();
    for at in (0..sound.len()).step_by(7).chain([sound.len() - 1]) {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let figures = world.open().figures();
        assert_eq!((figures.damaged, figures.endpoints.len()), (1, 0), "at byte {at}");
        assert_eq!(world.files(), ["0000000000000000-0.damaged".to_owned()].into());
    }
    std::fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    assert_eq!(world.open().figures().damaged, 1);
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_nobody_kept_before_the_end_is_told_by_the_next_server_with_the_answer() {
    let world = World::new();
    let backlog = world.open();
    let with_answer = |number| {
        let mut call = call(number);
        call.settings.include_response_in =
            vec!["SUCCESS_NOTIFICATION_TOPIC".into(), "ERROR_NOTIFICATION_TOPIC".into()];
        call
    };
    backlog.accept(with_answer(1), "row".into()).await.unwrap();
    backlog.accept(with_answer(2), "fail".into()).await.unwrap();
    *world.lanes.lock().unwrap() = Some(2);
    // Notices come to whoever is to keep them, and never to the disk.
    let heard = Arc::new(AtomicUsize::new(0));
    let hears = Arc::clone(&heard);
    let notify: crate::Notify = Arc::new(move |_, _| {
        hears.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    });
    backlog.start(Doors { notify, ..world.doors() });
    while heard.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    backlog.stop(Duration::ZERO).await;
    assert_eq!(world.files().len(), 2);
    drop(backlog);

    let backlog = world.open();
    backlog.start(world.doors());
    emptied(&backlog).await;
    let mut asked = world.asked();
    asked.sort();
    assert_eq!(asked, ["fail", "row"], "once each, in both lives");
    let mut told = world.notices.lock().unwrap().clone();
    told.sort_by_key(|(topic, _)| topic.clone());
    let [(_, done), (_, failed)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(done["responseBody"]["content"], "Uk9X");
    assert_eq!(done["responseParameters"], json!({"contentType": "text/csv", "outputLocation": "s3://answers/1.out"}));
    assert_eq!(failed["failureReason"], "out of memory");
}
