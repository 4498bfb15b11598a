use super::*;

#[test]
fn the_pace_changes_above_a_quarter_and_below_an_eighth() {
    let after = |pace: Pace, bytes| pace.after(Backlog { bytes, limit_bytes: 800 });
    for (bytes, given_way, hurried) in [
        (0, Pace::GivesWay, Pace::GivesWay),
        (99, Pace::GivesWay, Pace::GivesWay),
        (100, Pace::GivesWay, Pace::Hurries),
        (200, Pace::GivesWay, Pace::Hurries),
        (201, Pace::Hurries, Pace::Hurries),
        (u64::MAX, Pace::Hurries, Pace::Hurries),
    ] {
        assert_eq!((after(Pace::GivesWay, bytes), after(Pace::Hurries, bytes)), (given_way, hurried), "{bytes} bytes");
    }
}

mod at_work {
    use std::sync::atomic::Ordering;
    use std::sync::{Arc, mpsc};

    use captura_names::Timestamp;
    use captura_tasks::Tasks;

    use super::*;
    use crate::batch::Plan;
    use crate::destinations::Patience;
    use crate::fake_journal::FakeJournal;
    use crate::faulty_store::{Fault, FaultyStore};
    use crate::fixture::record;
    use crate::journal::Journal;
    use crate::stores::{StoreSettings, Stores};
    use crate::uploader::UploaderSettings;

    const PATIENT: Duration = Duration::from_secs(600);

    fn uploader(data: &std::path::Path, journal: &Arc<FakeJournal>, store: &FaultyStore, tasks: &Tasks) -> Uploader {
        std::fs::create_dir(data.join("journal")).unwrap();
        let stores = Stores::new(StoreSettings { data_dir: data.to_owned(), mappings: Default::default() });
        stores.put_in("captures", Arc::new(store.clone()));
        let settings = UploaderSettings {
            journal: data.join("journal"),
            plan: Plan::default(),
            tables: None,
            read_back: false,
            answer_within: PATIENT,
            patience: Patience::default(),
            carry_after: crate::uploader::CARRY_AFTER,
            evict_when_full: false,
            now: Arc::new(|| Timestamp::from_unix_us(0)),
            tasks: tasks.clone(),
        };
        Uploader::new(Arc::clone(journal) as Arc<dyn Journal>, stores, settings).unwrap()
    }

    /// Nice value of the calling thread; the same everywhere where threads have none of their own.
    fn nice() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[tokio::test]
    async fn a_full_journal_is_archived_at_normal_priority_until_it_is_nearly_empty() {
        let data = tempfile::tempdir().unwrap();
        let journal = Arc::new(FakeJournal::new());
        let (tell, told) = mpsc::channel();
        *journal.before_free.lock().unwrap() = Box::new(move |_| tell.send(nice()).unwrap());
        let archiving = uploader(data.path(), &journal, &FaultyStore::sound(), &Tasks::default()).start().unwrap();
        let normal = nice();
        let low = if cfg!(target_os = "linux") { normal.max(10) } else { normal };
        for (n, (backlog_bytes, expected)) in
            [(0, low), (200, low), (201, normal), (100, normal), (99, low), (800, normal)].into_iter().enumerate()
        {
            journal.backlog_bytes.store(backlog_bytes, Ordering::SeqCst);
            journal.seal(n as u64 + 1, vec![Ok(record(n as u64))]);
            assert_eq!(told.recv_timeout(PATIENT).unwrap(), expected, "segment {n}, {backlog_bytes} bytes");
        }
        assert_eq!(archiving.stop(PATIENT).await, Stopped::Finished);
        assert!(journal.is_empty());
    }

    #[tokio::test]
    async fn what_is_sealed_before_the_end_is_archived_and_a_silent_store_is_broken_off() {
        let data = tempfile::tempdir().unwrap();
        let journal = Arc::new(FakeJournal::new());
        let archiving = uploader(data.path(), &journal, &FaultyStore::sound(), &Tasks::default()).start().unwrap();
        journal.seal(1, vec![Ok(record(1))]);
        assert_eq!(archiving.stop(PATIENT).await, Stopped::Finished);
        assert!(journal.is_empty());

        let data = tempfile::tempdir().unwrap();
        journal.seal(2, vec![Ok(record(2))]);
        let silent = FaultyStore::scripted(|_, _| Some(Fault::Hangs));
        let archiving = uploader(data.path(), &journal, &silent, &Tasks::default()).start().unwrap();
        assert_eq!(archiving.stop(Duration::ZERO).await, Stopped::BrokenOff);
        assert!(!journal.is_empty());
    }

    #[tokio::test]
    async fn the_archive_goes_on_after_a_panic_and_one_at_its_end_is_told() {
        let data = tempfile::tempdir().unwrap();
        let journal = Arc::new(FakeJournal::new());
        let (tell, told) = mpsc::channel();
        let falls = std::sync::atomic::AtomicBool::new(true);
        let store = FaultyStore::scripted(move |_, _| {
            assert!(!falls.swap(false, Ordering::SeqCst), "the store falls down");
            None
        });
        *journal.before_free.lock().unwrap() = Box::new(move |name| tell.send(*name).unwrap());
        let tasks = Tasks::default();
        let archiving = uploader(data.path(), &journal, &store, &tasks).start().unwrap();
        let sealed = journal.seal(1, vec![Ok(record(1))]);
        assert_eq!(told.recv_timeout(PATIENT).unwrap(), sealed);
        assert_eq!(tasks.figures()[0].panics, 1);
        assert_eq!(archiving.stop(PATIENT).await, Stopped::Finished);

        let data = tempfile::tempdir().unwrap();
        journal.seal(2, vec![Ok(record(2))]);
        let store = FaultyStore::scripted(|_, _| panic!("the store falls down"));
        let tasks = Tasks::default();
        let archiving = uploader(data.path(), &journal, &store, &tasks).start().unwrap();
        tasks.close();
        assert_eq!(archiving.stop(PATIENT).await, Stopped::Panicked);
        assert!(!journal.is_empty());
    }
}
