//! What is refused, how it is said, and what a question may take.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_writes_or_reads_something_else_is_refused() {
    let world = World::new();
    let path = world.write("a.csv", "n,t\n1,x\n");
    let secret = world.write("secret.csv", "s\nhidden\n");
    let target = world.path("stolen.csv");
    for sql in [
        format!("CREATE EXTERNAL TABLE s STORED AS CSV LOCATION '{secret}'"),
        format!("COPY (SELECT * FROM a) TO '{}'", target.display()),
        "CREATE TABLE b AS SELECT * FROM a".into(),
        "CREATE VIEW b AS SELECT * FROM a".into(),
        "INSERT INTO a VALUES (2, 'y')".into(),
        "DELETE FROM a".into(),
        "DROP TABLE a".into(),
        "SET datafusion.execution.batch_size = 1".into(),
        format!("EXPLAIN ANALYZE COPY (SELECT * FROM a) TO '{}'", target.display()),
    ] {
        let message = world.error(&sql, &[&path]).await;
        assert!(message.contains("captura sql only reads"), "{sql}: {message}");
    }
    for sql in [format!("SELECT * FROM '{secret}'"), format!("SELECT * FROM read_csv('{secret}')")] {
        let message = world.error(&sql, &[&path]).await;
        assert!(!message.contains("hidden"), "{sql}: {message}");
    }
    let two = world.error("SELECT 1; SELECT 2", &[&path]).await;
    assert!(two.contains("one at a time"), "{two}");
    assert!(!target.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_where_and_what_comes_near() {
    let world = World::new();
    let from = world.captures("churn", 3..4, |hour| vec![line(1, hour, "1,x", "0.5")]);
    let message = world.error("SELECT event_id,\n  consumer FROM invocations", &[&from]).await;
    let expected = "there is no column consumer; did you mean consumer_id?\n  line 2, column 3:\n    consumer FROM invocations\n    ^^^^^^^^";
    assert_eq!(message, expected);
    for (sql, words) in [
        ("SELECT * FROM invocation", "there is no table invocation; did you mean invocations?"),
        ("SELECT * FROM zzz", "there is no table zzz; there are the tables invocations, rows"),
        ("SELEC 1", "this is no SQL"),
        ("SELECT \"in.00\" FROM rows", "did you mean \"in.0\""),
        ("SELECT nosuch(1)", "nosuch"),
        ("", "there is no statement"),
    ] {
        let message = world.error(sql, &[&from]).await;
        assert!(message.contains(words), "{sql}: {message}");
    }
    let message = world.error("SELECT avg('x')", &[&from]).await;
    assert!(message.starts_with("No function matches") && !message.contains("issues"), "{message}");
    let message = world.error("SELECT 1", &["/no/such/place"]).await;
    assert!(message.contains("/no/such/place"), "{message}");
    let twice = world
        .error(
            "SELECT 1",
            &[&format!("a={}", world.write("x.csv", "a\n1\n")), &format!("a={}", world.write("y.csv", "a\n1\n"))],
        )
        .await;
    assert!(twice.contains("two sources make a table \"a\""), "{twice}");
}

/// Enough lines for several pieces.
fn many(world: &World) -> String {
    let lines = |hour| (0..30_000).map(|n| line(n, hour, &format!("{},plan-{}", n % 90, n % 7), "0.5")).collect();
    world.captures("churn", 3..5, lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_change_nothing_in_the_answer() {
    let world = World::new();
    let from = many(&world);
    let sql = r#"SELECT "in.1", consumer_id, count(*), sum("in.0"), count(DISTINCT event_id) FROM rows GROUP BY 1, 2 ORDER BY 1, 2"#;
    let mut answers = Vec::new();
    for threads in [1, 2, 5] {
        let question = Question { threads, ..world.question(sql, &[&from]) };
        answers.push(world.answer(&question).await.unwrap());
    }
    assert_eq!(answers[0].1.records, 60_000);
    assert_eq!(answers[0].0.len(), 14);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sorts_larger_than_memory_go_to_disk_and_what_cannot_is_said() {
    let world = World::new();
    let from = many(&world);
    let sort = "SELECT event_id, request_raw FROM invocations ORDER BY request_raw DESC, event_id, event_time";
    let roomy = world.answer(&world.question(sort, &[&from])).await.unwrap();
    let tight = Question { memory_bytes: 24 << 20, threads: 1, ..world.question(sort, &[&from]) };
    assert_eq!(world.answer(&tight).await.unwrap(), roomy);
    let nothing = Question { memory_bytes: 1 << 20, threads: 1, ..world.question(sort, &[&from]) };
    let message = world.answer(&nothing).await.unwrap_err().to_string();
    assert!(message.contains("give it more with --memory"), "{message}");
}
