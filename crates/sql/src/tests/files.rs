//! Plain files: CSV, JSON Lines, Parquet, and answers written as them.

use std::io::Write as _;

use super::*;
use crate::output::{Format, Writer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_files_are_tables_called_after_them_and_bad_rows_are_counted() {
    let world = World::new();
    let path =
        world.write("Labels.csv", "event_id,label,share,note\na,1,0.5,\"x, \"\"y\"\"\nz\"\nb,0,,\nc,1\n\nd,oops,1,w\n");
    let mut question = world.question("SELECT * FROM labels ORDER BY event_id", &[&path]);
    question.sample = Sample::Records(2);
    let (rows, tally) = world.answer(&question).await.unwrap();
    assert_eq!(rows, ["a|1|0.5|x, \"y\"\nz", "b|0|NULL|NULL", "d|NULL|1.0|w"]);
    assert_eq!((tally.records, tally.bad, tally.unread), (4, 1, 1));
    assert!(
        tally.described[0].ends_with("byte 53: the row has 2 values, the table 4 columns"),
        "{:?}",
        tally.described
    );
    assert_eq!(tally.first_unread.as_deref(), Some("label: \"oops\" is no whole number"));
    let bare = world.write("bare.csv", "1,2\r\n3,4\r\n");
    assert_eq!(world.rows("SELECT sum(_c1) FROM t", &[&format!("t={bare}")]).await, ["6"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_may_lack_a_name_and_files_may_be_empty() {
    let world = World::new();
    let index = world.write("index.csv", ",x,x\n0,1,2\n1,3,4\n");
    assert_eq!(world.rows("SELECT sum(_c0), sum(x), sum(x_2) FROM index", &[&index]).await, ["1|4|6"]);
    let empty = world.write("empty.csv", "");
    assert!(world.error("SELECT * FROM empty", &[&empty]).await.contains("there is not one row in it"));
    world.write("day/a.csv", "x\n");
    world.write("day/b.csv", "");
    let last = world.write("day/c.csv", "x\n5\n");
    let day = last.strip_suffix("/c.csv").unwrap();
    assert_eq!(world.rows("SELECT sum(x) FROM day", &[day]).await, ["5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_folder_find_their_columns_by_name() {
    let world = World::new();
    world.write("day/a.csv", "x,y\n1,2\n");
    let path = world.write("day/b.csv", "y,x\n20,10\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"x,y\n100,200\n").unwrap();
    world.write("day/c.csv.gz", gzip.finish().unwrap());
    let day = path.strip_suffix("/b.csv").unwrap();
    assert_eq!(world.rows("SELECT sum(x), sum(y), count(*) FROM day", &[day]).await, ["111|222|3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_are_flattened_and_bad_lines_are_counted() {
    let world = World::new();
    let path = world.write("a.jsonl", "{\"a\":1,\"b\":{\"c\":\"x\"}}\nnope\n{\"b\":{\"c\":\"y\"},\"a\":2}\n");
    let question = world.question(r#"SELECT a, "b.c" FROM a ORDER BY a"#, &[&path]);
    let (rows, tally) = world.answer(&question).await.unwrap();
    assert_eq!(rows, ["1|x", "2|y"]);
    assert_eq!((tally.bad, tally.records), (1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_written_as_files_can_be_asked_again() {
    let world = World::new();
    let path = world.write("a.csv", "n,t,at\n1,\"x,y\",2026-01-02T03:04:05Z\n2,,2026-01-02T03:04:05Z\n");
    let sql = "SELECT n, t, CAST(at AS TIMESTAMP) AS at FROM a ORDER BY n";
    for (format, name) in [(Format::Csv, "o.csv"), (Format::Json, "o.jsonl"), (Format::Parquet, "o.parquet")] {
        let mut answer = ask(&world.stores, &world.question(sql, &[&path])).await.unwrap();
        let mut writer = Writer::new(format, Vec::new(), &answer.schema()).unwrap();
        while let Some(batch) = answer.next().await {
            writer.write(&batch.unwrap()).unwrap();
        }
        let written = world.write(name, writer.finish().unwrap());
        let again = world.rows("SELECT n, t, CAST(at AS TIMESTAMP) FROM o ORDER BY n", &[&written]).await;
        assert_eq!(again, ["1|x,y|2026-01-02T03:04:05", "2|NULL|2026-01-02T03:04:05"], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_rows_has_its_header() {
    let world = World::new();
    let path = world.write("a.csv", "n,t\n1,x\n");
    let mut answer =
        ask(&world.stores, &world.question("SELECT n AS one, t FROM a WHERE n > 1", &[&path])).await.unwrap();
    let mut writer = Writer::new(Format::Csv, Vec::new(), &answer.schema()).unwrap();
    while let Some(batch) = answer.next().await {
        writer.write(&batch.unwrap()).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), b"one,t\n");
}
