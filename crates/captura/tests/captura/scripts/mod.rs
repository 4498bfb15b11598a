//! Scripts of the user's before and after an analysis, through the command line.

use std::path::Path;

use super::{run, text};

/// Captured lines: `n,word` was sent, and a half answered.
fn captures(folder: &Path, count: usize) {
    let line = |n: usize| {
        format!(
            r#"{{"captureData":{{"endpointInput":{{"observedContentType":"text/csv","mode":"INPUT","data":"{n},word {}","encoding":"CSV"}},"endpointOutput":{{"observedContentType":"text/csv","mode":"OUTPUT","data":"0.5","encoding":"CSV"}}}},"eventMetadata":{{"eventId":"e{n}","inferenceTime":"2026-01-02T03:00:00Z"}},"eventVersion":"0"}}"#,
            n % 3
        ) + "\n"
    };
    let at = folder.join("captures/e/v/2026/01/02/03");
    std::fs::create_dir_all(&at).unwrap();
    std::fs::write(at.join("00-00-000-1.jsonl"), (0..count).map(line).collect::<String>()).unwrap();
}

#[test]
fn what_a_script_makes_of_records_is_analysed_and_another_runs_when_the_files_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    captures(folder.path(), 300);
    std::fs::write(
        at("before.py"),
        "def preprocess_handler(inference_record, logger):\n    number, word = inference_record.endpoint_input.data.split(',')\n    \
         if number == '7':\n        raise ValueError('seven')\n    if int(number) % 10 == 0:\n        return []\n    \
         return {'word': word, 'score': float(inference_record.endpoint_output.data), 'big': int(number) > 150}\n",
    )
    .unwrap();
    std::fs::write(
        at("after.py"),
        "import json, os\ndef postprocess_handler():\n    folder = os.environ['output_path']\n    \
         count = json.load(open(folder + '/statistics.json'))['dataset']['item_count']\n    \
         open(folder + '/told', 'w').write(str(count))\n",
    )
    .unwrap();
    let (captures, before, after, out) = (at("captures"), at("before.py"), at("after.py"), at("baseline"));
    let scripts = ["--record-preprocessor-script", &before, "--post-analytics-processor-script", &after];
    let baseline = run(&[&["baseline", &captures, "--out", &out, "--json"][..], &scripts].concat());
    assert_eq!(baseline.status.code(), Some(0), "{}", text(&baseline.stderr));
    let told: serde_json::Value = serde_json::from_slice(&baseline.stdout).unwrap();
    assert_eq!((&told["rows"], &told["bad"], &told["records"]), (&269.into(), &1.into(), &270.into()));
    assert_eq!(told["columns"], serde_json::json!(["word", "score", "big"]));
    let reason = told["described"][0]["reason"].as_str().unwrap();
    assert_eq!(reason, "preprocess_handler: ValueError: seven (line 4)");
    assert_eq!(std::fs::read_to_string(at("baseline/told")).unwrap(), "269");

    let checked =
        run(&[&["check", &captures, "--baseline", &out, "--out", &at("checked")][..], &scripts[..2]].concat());
    assert_eq!(checked.status.code(), Some(0), "{}{}", text(&checked.stdout), text(&checked.stderr));
    let drift = run(&[&["drift", &captures, "--baseline", &out][..], &scripts[..2]].concat());
    assert_eq!(drift.status.code(), Some(0), "{}{}", text(&drift.stdout), text(&drift.stderr));

    std::fs::write(&before, "import sys\nsys.exit('no such table')\n").unwrap();
    let dead = run(&[&["profile", &captures, "--out", &at("s.json")][..], &scripts[..2]].concat());
    assert_eq!(dead.status.code(), Some(1));
    assert!(
        text(&dead.stderr).contains("before it had answered everything; it said last:\nno such table"),
        "{}",
        text(&dead.stderr)
    );
    std::fs::write(&before, "def preprocess_handler(record): return None\n").unwrap();
    let nothing = run(&[&["profile", &captures, "--out", &at("s.json")][..], &scripts[..2]].concat());
    assert_eq!(nothing.status.code(), Some(3), "{}", text(&nothing.stderr));
}
