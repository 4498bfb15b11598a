//! A part of the story is proven by itself: what lies outside raises no alarm, what lies inside does.

use super::*;

/// An hour's calls each to both endpoints, archived; the second hour is long after the first.
async fn two_hours() -> (World, Timestamp) {
    let mut world = World::new();
    let capture = world.start();
    world.call(&capture, 20).await;
    capture.seal().await;
    world.uploader(&capture).round().await;
    world.now.fetch_add(6 * 3_600_000_000, Ordering::SeqCst);
    // A whole second, as lines tell times.
    let between = Timestamp::from_unix_us((world.now.load(Ordering::SeqCst) / 1_000_000 - 3 * 3_600) * 1_000_000);
    world.call(&capture, 20).await;
    capture.seal().await;
    world.uploader(&capture).round().await;
    world.call(&capture, 6).await;
    capture.close().await.unwrap();
    drop(capture);
    (world, between)
}

impl World {
    async fn part(&self, scope: Scope) -> Report {
        let oracle = Some(Oracle::read(self.told.as_bytes()).unwrap());
        reconcile_data_dir(self.data.path(), &self.stores, Depth { deep: true, oracle, scope }).await.unwrap()
    }
}

fn of(endpoint: &str) -> Scope {
    Scope { endpoint: Some(endpoint.into()), ..Scope::default() }
}

#[tokio::test]
async fn parts_of_a_sound_story_balance_and_add_up() {
    let (world, between) = two_hours().await;
    let before = Scope { to: Some(between), ..Scope::default() };
    let after = Scope { from: Some(between), ..Scope::default() };
    let churn_after = Scope { from: Some(between), ..of("churn") };
    let whole = world.part(Scope::default()).await.objects_checked;
    // Acknowledged records, found in objects, found in the journal.
    for (scope, expected) in [
        (Scope::default(), (46, 40, 6)),
        (of("churn"), (23, 20, 3)),
        (before, (20, 20, 0)),
        (after, (26, 20, 6)),
        (churn_after, (13, 10, 3)),
    ] {
        let report = world.part(scope.clone()).await;
        assert_balanced(&report, &format!("{scope:?}"));
        let sum = |of: fn(&AccountProof) -> u64| report.accounts.iter().map(of).sum::<u64>();
        let found =
            (report.acknowledged_found, sum(|proof| proof.found_in_objects), sum(|proof| proof.found_in_journal));
        assert_eq!(found, expected, "{scope:?}");
        assert_eq!(report.objects_checked < whole, scope != Scope::default(), "others are not read: {scope:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_elsewhere_raises_no_alarm_and_what_is_wrong_here_does() {
    let (world, between) = two_hours().await;
    let before = Scope { to: Some(between), ..Scope::default() };
    let after = Scope { from: Some(between), ..Scope::default() };
    let objects = world.objects();
    let earliest = |endpoint: &str| {
        let own = objects.iter().filter(|path| path.to_string_lossy().contains(&format!("/{endpoint}/")));
        own.min_by_key(|path| path.to_string_lossy().into_owned()).unwrap().clone()
    };
    let object = earliest("churn");
    let sound = std::fs::read(&object).unwrap();
    for damage in [None, Some(sound[..sound.len() / 2].to_vec())] {
        match damage {
            None => std::fs::remove_file(&object).unwrap(),
            Some(bytes) => std::fs::write(&object, bytes).unwrap(),
        }
        for scope in [of("fraud"), after.clone()] {
            assert_balanced(&world.part(scope.clone()).await, &format!("{scope:?}"));
        }
        for scope in [of("churn"), before.clone(), Scope { to: Some(between), ..of("churn") }] {
            assert!(!kinds(&world.part(scope).await).is_empty());
        }
    }
    std::fs::write(&object, &sound).unwrap();
    // A record of the journal's, of the second stretch.
    let segment = world.files("journal", ".seg").pop().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|window| window == b"45,2,3").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    assert_balanced(&world.part(before).await, "the journal holds nothing of that time");
    assert!(kinds(&world.part(after).await).contains(&FindingKind::Damaged));
}

#[tokio::test]
async fn a_lost_record_counts_where_its_line_tells_or_nothing_tells_otherwise() {
    let (mut world, between) = two_hours().await;
    let told = world.told.clone();
    let line = told.lines().next().unwrap().replace("-1-0\"", "-1-7777\"");
    world.told = format!("{told}{line}\n");
    let report = world.part(of("churn")).await;
    assert_eq!(report.verdict, Verdict::CannotTell, "{report:?}");
    assert!(report.doubts[0].contains("cannot be told"), "{:?}", report.doubts);
    for (endpoint, verdict) in [("churn", Verdict::Imbalance), ("fraud", Verdict::Balanced)] {
        world.told = format!("{told}{}\n", line.replacen('{', &format!("{{\"endpoint\":\"{endpoint}\","), 1));
        assert_eq!(world.part(of("churn")).await.verdict, verdict);
    }
    let timed = line.replacen('{', &format!("{{\"at\":\"{between}\","), 1);
    world.told = format!("{told}{timed}\n");
    let before = Scope { to: Some(between), ..Scope::default() };
    assert_eq!(world.part(before).await.verdict, Verdict::Balanced);
    assert_eq!(world.part(Scope { from: Some(between), ..Scope::default() }).await.verdict, Verdict::Imbalance);
}

#[tokio::test]
async fn an_account_that_does_not_balance_is_a_doubt_about_its_times_and_an_unknown_endpoint_cannot_be_told_of() {
    let (world, between) = two_hours().await;
    let manifest = world.files("journal", ".json").remove(0);
    std::fs::remove_file(&manifest).unwrap();
    let report = world.part(Scope { from: Some(between), ..Scope::default() }).await;
    assert_eq!(report.verdict, Verdict::CannotTell, "{report:?}");
    assert!(kinds(&world.part(of("churn")).await).contains(&FindingKind::Account));
    let report = world.part(of("chrun")).await;
    assert_eq!(report.verdict, Verdict::CannotTell, "{report:?}");
    assert!(report.doubts.iter().any(|doubt| doubt.contains("an endpoint named chrun")), "{:?}", report.doubts);
}
