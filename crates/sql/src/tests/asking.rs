//! Captures and the invocation table: columns, types, and what is not read.

use std::io::Write as _;

use super::*;

fn ten(hour: u32) -> Vec<String> {
    (0..10).map(|n| line(n, hour, &format!("{},basic\\n", 30 + n), &format!("0.{n}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_their_rows_are_tables_with_typed_columns() {
    let world = World::new();
    let from = world.captures("churn", 3..5, ten);
    let who =
        "SELECT consumer_id, count(*), sum(total_latency_us), max(event_time), min(endpoint), min(variant), min(hour)
               FROM invocations WHERE date = DATE '2026-01-02' GROUP BY consumer_id ORDER BY 1";
    let expected = [
        "billing|12|1080|2026-01-02T04:00:08Z|churn|AllTraffic|3",
        "web|8|720|2026-01-02T04:00:09Z|churn|AllTraffic|3",
    ];
    assert_eq!(world.rows(who, &[&from]).await, expected);
    let what = r#"SELECT "in.1", avg("in.0"), sum("out.0"), count(decode_error) FROM rows GROUP BY "in.1""#;
    assert_eq!(world.rows(what, &[&from]).await, ["basic|34.5|9.0|0"]);
    let types = r#"SELECT arrow_typeof("in.0"), arrow_typeof("in.1"), arrow_typeof("out.0"), arrow_typeof(lsn_n) FROM rows LIMIT 1"#;
    assert_eq!(world.rows(types, &[&from]).await, ["Int64|Utf8|Float64|Int64"]);
    let body = "SELECT CAST(request_raw AS VARCHAR) FROM invocations WHERE lsn_n = 7 LIMIT 1";
    assert_eq!(world.rows(body, &[&from]).await, ["37,basic\n"]);
    let joined = r#"SELECT count(*) FROM old.rows o JOIN new.invocations n USING (event_id) WHERE o."in.0" >= n.status_code - 165"#;
    assert_eq!(
        world.rows(joined, &[&format!("old={from}"), &format!("new={from}")]).await,
        ["20"],
        "five calls, twice two"
    );
    assert_eq!(
        world
            .rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1", &[&from])
            .await,
        ["invocations", "rows"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_called_what_a_file_of_names_calls_them() {
    let world = World::new();
    let from = world.captures("churn", 3..4, ten);
    let asked = async |sql: &str, from: &str, naming: &str| {
        let naming = std::sync::Arc::new(captura_monitor::dataset::Naming::parse(naming).unwrap());
        world.answer(&Question { naming, ..world.question(sql, &[from]) }).await.unwrap().0
    };
    let sql = r#"SELECT avg("in.age"), min("in.plan"), sum("out.score") FROM rows"#;
    for naming in
        [r#"["score", "age", "plan"]"#, "score\nage\nplan", r#"{"outputs": ["score"], "inputs": ["age", "plan"]}"#]
    {
        assert_eq!(asked(sql, &from, naming).await, ["34.5|basic|4.5"], "{naming}");
    }
    let json = r#"{"captureData":{"endpointInput":{"observedContentType":"application/json","mode":"INPUT","data":"{\"f1\":7,\"who\":{\"id\":\"x\"}}","encoding":"JSON"}},"eventMetadata":{"eventId":"1","inferenceTime":"2026-01-02T03:00:00Z"},"eventVersion":"0"}"#;
    world.write("named.jsonl", format!("{json}\n"));
    let named = world.path("named.jsonl").display().to_string();
    let sql = r#"SELECT "in.age", "in.person" FROM rows"#;
    assert_eq!(asked(sql, &named, r#"{"f1": "age", "/who/id": "person"}"#).await, ["7|x"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_and_the_table_made_of_them_answer_alike() {
    let world = World::new();
    let from = world.captures("churn", 3..5, ten);
    world.captures("other", 7..8, |hour| vec![line_of_aws(1, hour, "5,x", "1.5"), line_of_aws(2, hour, "5", "1.5")]);
    let lake = world.path("lake").display().to_string();
    let plan = TablePlan::new(S3Uri::parse("s3://export").unwrap());
    export(&world.stores, std::slice::from_ref(&from), (&plan, Some(&signature())), &lake).await.unwrap();
    for sql in [
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
        "SELECT * FROM invocations ORDER BY event_id, event_time, endpoint",
        "SELECT * FROM rows ORDER BY event_id, event_time, endpoint",
        "SELECT endpoint, date, hour, count(*) FROM rows WHERE event_time < '2026-01-02T04:00:05Z' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    ] {
        let mut question = world.question(sql, &[&from]);
        question.signature = Some(signature());
        let of_captures = world.answer(&question).await.unwrap().0;
        let of_table = world.rows(sql, &[&lake]).await;
        assert_eq!(of_captures, of_table, "{sql}");
        assert!(!of_table.is_empty());
    }
    let halves = world.rows("SELECT count(*), max(row_count) FROM rows", &[&format!("{lake}/rows")]).await;
    assert_eq!(halves, ["22|1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_the_question_excludes_are_never_fetched() {
    let world = World::new();
    let from = world.captures("churn", 3..4, ten);
    // Whoever fetches one of these fails.
    for (endpoint, hour) in [("churn", 9), ("other", 3)] {
        let mut broken =
            std::fs::File::create(world.write(&format!("buckets/captures/{}.gz", key(endpoint, hour)), "")).unwrap();
        broken.write_all(b"no gzip").unwrap();
    }
    assert!(world.error("SELECT count(*) FROM invocations", &[&from]).await.contains("cannot decompress"));
    for condition in [
        "endpoint = 'churn' AND event_time < '2026-01-02T05:00:00Z'",
        "endpoint = 'churn' AND variant = 'AllTraffic' AND event_time BETWEEN '2026-01-02T03:00:00Z' AND '2026-01-02T03:59:59Z'",
        "endpoint IN ('churn', 'none') AND NOT event_time >= '2026-01-02T06:00:00Z'",
        "(endpoint = 'churn' OR endpoint = 'none') AND date = DATE '2026-01-02' AND event_time < '2026-01-02T05:00:00Z' AND status_code = 200",
    ] {
        let question = world.question(&format!("SELECT count(*) FROM invocations WHERE {condition}"), &[&from]);
        let (rows, tally) = world.answer(&question).await.unwrap();
        assert_eq!((rows[0].as_str(), tally.objects, tally.records), ("10", 1, 10), "{condition}");
        let plan = world.rows(&format!("EXPLAIN {}", question.sql), &[&from]).await.join("\n");
        assert!(plan.contains("objects=1 of "), "{plan}");
        assert!(plan.contains("bodies=skipped"), "{plan}");
    }
    let narrow = "EXPLAIN SELECT request_raw FROM invocations WHERE endpoint = 'churn' AND variant = 'AllTraffic' AND event_time < '2026-01-02T05:00:00Z' AND event_time >= '2026-01-02T03:00:00Z'";
    let plan = world.rows(narrow, &[&from]).await.join("\n");
    let words =
        "objects=1 of 1 listed (endpoint=churn, variant=AllTraffic, time=2026-01-02T03:00:00Z..2026-01-02T05:00:00Z)";
    assert!(plan.contains(words) && plan.contains("bodies=decoded"), "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_decoded_only_for_the_columns_that_need_them() {
    let world = World::new();
    let from = world.captures("churn", 3..4, |hour| {
        let odd = line(1, hour, "no base64!", "0.5").replacen("\"encoding\":\"CSV\"", "\"encoding\":\"BASE64\"", 1);
        vec![odd, line(2, hour, "1,x", "0.5"), "not a record\n".into()]
    });
    for (columns, bad, calls) in [("consumer_id, model_latency_us", 1, 2), ("request_raw", 2, 1), ("truncated", 2, 1)] {
        let question = world.question(&format!("SELECT {columns} FROM invocations"), &[&from]);
        let (rows, tally) = world.answer(&question).await.unwrap();
        assert_eq!((rows.len(), tally.bad, tally.records), (calls, bad, 3), "{columns}");
        assert!(tally.described.last().unwrap().contains("byte "), "{:?}", tally.described);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_of_other_inputs_share_a_table_and_names_come_from_json() {
    let world = World::new();
    let from = world.captures("churn", 3..4, ten);
    world.captures("json", 3..4, |hour| {
        let json = |n: u32, input: &str| {
            let line = line(n, hour, input, r#"{\"score\":0.25}"#);
            line.replace("\"encoding\":\"CSV\"", "\"encoding\":\"JSON\"")
        };
        vec![
            json(1, r#"{\"age\":7,\"at\":{\"city\":\"Rio\"}}"#),
            json(2, r#"{\"instances\":[{\"age\":8.5,\"ok\":true}]}"#),
            json(3, "{"),
        ]
    });
    let rows = world
        .rows(
        r#"SELECT endpoint, row_index, "in.0", "in.age", "in.at.city", "in.ok", "out.0", "out.score", decode_error FROM rows
           WHERE endpoint = 'json' OR lsn_n = 4 ORDER BY 1, event_id, 2"#,
        &[&from],
    )
        .await;
    let expected = [
        "churn|0|34|NULL|NULL|NULL|0.4|NULL|NULL",
        "json|0|NULL|7.0|Rio|NULL|NULL|0.25|NULL",
        "json|0|NULL|8.5|NULL|true|NULL|0.25|NULL",
        "json|0|NULL|NULL|NULL|NULL|NULL|NULL|input: the body is not JSON: EOF while parsing an object at line 1 column 1",
    ];
    assert_eq!(rows, expected);
}
