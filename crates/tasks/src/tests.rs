//! Tasks that fall on command.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::{mpsc as channel, oneshot};
use tokio::time::Instant;

use super::*;
use crate::watch::{PAUSE_FIRST, PAUSE_MAX, PROVEN_AFTER};

fn figures(task: &'static str, panics: u64, pausing: u64) -> Figures {
    Figures { task, panics, pausing }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_begun_again_with_the_state_that_it_had() {
    let tasks = Tasks::default();
    let (sender, receiver) = channel::channel::<u32>(8);
    let (told, mut heard) = channel::channel(8);
    let adding = tasks.spawn("adder", (receiver, 0), move |(numbers, sum)| {
        let told = told.clone();
        Box::pin(async move {
            while let Some(number) = numbers.recv().await {
                assert!(number != 13, "thirteen");
                *sum += number;
                told.send(*sum).await.unwrap();
            }
        })
    });
    for (number, sum) in [(1, Some(1)), (13, None), (2, Some(3))] {
        sender.send(number).await.unwrap();
        if let Some(sum) = sum {
            assert_eq!(heard.recv().await, Some(sum));
        }
    }
    assert_eq!(tasks.figures(), [figures("adder", 1, 0)]);
    drop(sender);
    adding.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_a_limit_and_are_short_again_after_a_task_has_proven_itself() {
    let tasks = Tasks::default();
    let mut watch = tasks.watch("falls");
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let begun_at = Instant::now();
        assert_eq!(watch.survive(async { panic!("falls") }).await, None::<()>);
        pauses.push(begun_at.elapsed());
    }
    assert_eq!(pauses[..3], [PAUSE_FIRST, PAUSE_FIRST * 2, PAUSE_FIRST * 4]);
    assert_eq!(pauses[8], PAUSE_MAX);
    let begun_at = Instant::now();
    let falls_late = async {
        tokio::time::sleep(PROVEN_AFTER).await;
        panic!("{}", "falls late");
    };
    assert_eq!(watch.survive(falls_late).await, None::<()>);
    assert_eq!(begun_at.elapsed(), PROVEN_AFTER + PAUSE_FIRST);
    assert_eq!(tasks.figures(), [figures("falls", 10, 0)]);
}

#[tokio::test(start_paused = true)]
async fn the_end_cuts_a_pause_short_and_begins_nothing_a_third_time() {
    let tasks = Tasks::default();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let falling = tasks.spawn("falls", (), move |()| {
        let counted = Arc::clone(&counted);
        Box::pin(async move {
            counted.fetch_add(1, Ordering::SeqCst);
            panic!("falls");
        })
    });
    while tasks.figures()[0].pausing == 0 {
        tokio::task::yield_now().await;
    }
    let closed_at = Instant::now();
    tasks.close();
    falling.await.unwrap();
    assert_eq!((runs.load(Ordering::SeqCst), closed_at.elapsed()), (2, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn aborting_a_task_drops_what_it_holds() {
    let (held, dropped) = oneshot::channel::<()>();
    let task = Tasks::default().spawn("waits", held, |_| Box::pin(std::future::pending()));
    task.abort();
    assert!(dropped.await.is_err());
}

#[test]
fn a_thread_whose_work_panics_goes_on() {
    let tasks = Tasks::default();
    let (sender, receiver) = mpsc::channel::<u32>();
    for number in [1, 13, 2] {
        sender.send(number).unwrap();
    }
    drop(sender);
    let mut sum = 0;
    tasks.run("adder", || {
        while let Ok(number) = receiver.recv() {
            assert!(number != 13, "thirteen");
            sum += number;
        }
    });
    assert_eq!(sum, 3);
    assert_eq!(tasks.figures(), [figures("adder", 1, 0)]);
}
