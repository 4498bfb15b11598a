use captura_route::{Field, FieldType};
use proptest::prelude::*;

use super::*;

fn numbers(body: &str, content_type: &str) -> Vec<Vec<f64>> {
    let table = decode(body.as_bytes(), Some(content_type), Cells::Numbers).unwrap();
    assert!(!table.has_text(), "{body}");
    table.numbers().chunks(table.columns()).map(<[f64]>::to_vec).collect()
}

fn names(body: &str, content_type: &str) -> Vec<String> {
    decode(body.as_bytes(), Some(content_type), Cells::Numbers).unwrap().names().unwrap().to_vec()
}

fn refused(body: &str, content_type: &str) -> String {
    decode(body.as_bytes(), Some(content_type), Cells::Numbers).unwrap_err().to_string()
}

fn fields(names: &[&str]) -> Vec<Field> {
    names.iter().map(|name| Field { name: (*name).into(), kind: FieldType::Fractional, shape: vec![] }).collect()
}

#[test]
fn every_shape_of_two_rows_makes_the_same_table() {
    let bodies = [
        ("1,2.5\n3,4", "text/csv"),
        ("1,2.5\r\n3,4\r\n", "text/csv; charset=utf-8"),
        ("\u{feff}1, 2.5 \n\n3,4\n\n", "CSV"),
        ("\"1\",\"2.5\"\n3,4", "text/csv"),
        ("1;2.5\n3;4", "text/csv"),
        ("1\t2.5\n3\t4", "text/csv"),
        ("a,b\n1,2.5\n3,4", "text/csv; header=present"),
        ("1,2.5\n3,4", "application/octet-stream"),
        ("[[1,2.5],[3,4]]", "application/json"),
        (r#"[{"a":1,"b":2.5},{"b":4,"a":3}]"#, "application/json"),
        (r#"{"instances":[[1,2.5],[3,4]],"note":{"x":[1]}}"#, "application/json"),
        (r#"{"instances":[{"a":1,"b":2.5},{"a":3,"b":4}]}"#, "application/json; charset=utf-8"),
        (r#"{"instances":[{"features":[1,2.5]},{"features":[3,4]}]}"#, "application/json"),
        (r#"{"inputs":[[1,2.5],[3,4]]}"#, "application/json"),
        (r#"{"inputs":{"a":[1,3],"b":[2.5,4]}}"#, "application/json"),
        (r#"{"dataframe_split":{"columns":["a","b"],"index":[0,1],"data":[[1,2.5],[3,4]]}}"#, "application/json"),
        (r#"{"data":[[1,2.5],[3,4]],"columns":["a","b"]}"#, "application/json"),
        (r#"{"dataframe_records":[{"a":1,"b":2.5},{"a":3,"b":4}]}"#, "application/json"),
        (r#"{"features":[[1,2.5],[3,4]]}"#, "application/json"),
        ("[1,2.5]\n[3,4]\n", "application/jsonlines"),
        ("{\"features\":[1,2.5]}\n{\"features\":[3,4]}", "application/x-ndjson"),
        ("{\"a\":1,\"b\":2.5}\r\n\r\n{\"a\":3,\"b\":4}", "application/jsonlines"),
    ];
    for (body, content_type) in bodies {
        assert_eq!(numbers(body, content_type), [[1.0, 2.5], [3.0, 4.0]], "{body}");
    }
}

#[test]
fn a_flat_list_is_a_row_at_the_top_and_a_column_among_instances() {
    assert_eq!(numbers("[1,2,3]", "application/json"), [[1.0, 2.0, 3.0]]);
    assert_eq!(numbers(r#"{"features":[1,2,3]}"#, "application/json"), [[1.0, 2.0, 3.0]]);
    assert_eq!(numbers(r#"{"instances":[1,2]}"#, "application/json"), [[1.0], [2.0]]);
    assert_eq!(numbers("1\n2", "application/jsonlines"), [[1.0], [2.0]]);
    let table = decode(br#"{"instances":[1,2]}"#, Some("application/json"), Cells::Numbers).unwrap();
    let error = table.arrange(&fields(&["a", "b"])).unwrap_err().to_string();
    assert_eq!(
        error,
        "the rows have 1 column, but the model takes 2 columns; a flat list is one value a row, so put the row into \
         another pair of brackets"
    );
}

#[test]
fn no_content_type_is_csv() {
    let table = decode(b"1,2", None, Cells::Numbers).unwrap();
    assert_eq!((table.rows(), table.columns()), (1, 2));
}

#[test]
fn blank_null_and_nan_are_missing() {
    for (body, content_type) in [
        ("1,,3", "text/csv"),
        ("1, ,3", "text/csv"),
        ("1,nan,3", "text/csv"),
        ("1,\"\",3", "text/csv"),
        ("[[1,null,3]]", "application/json"),
        ("[[1,NaN,3]]", "application/json"),
        (r#"[[1,"",3]]"#, "application/json"),
        (r#"[{"a":1,"b":null,"c":3}]"#, "application/json"),
        ("[1,NaN,3]", "application/jsonlines"),
    ] {
        let table = decode(body.as_bytes(), Some(content_type), Cells::Numbers).unwrap();
        assert_eq!(table.cell(0, 1), Cell::Missing, "{body}");
        assert_eq!(table.cell(0, 2), Cell::Number(3.0), "{body}");
    }
    let text = decode(br#"[["NaN \" NaN", NaN]]"#, Some("application/json"), Cells::Verbatim).unwrap();
    assert_eq!(text.cell(0, 0), Cell::Text("NaN \" NaN"));
}

#[test]
fn a_million_nans_take_one_pass() {
    let body = format!("[{}1]", "NaN,".repeat(1_000_000));
    let table = decode(body.as_bytes(), Some("application/json"), Cells::Numbers).unwrap();
    assert_eq!((table.columns(), table.numbers()[1_000_000]), (1_000_001, 1.0));
}

#[test]
fn objects_may_leave_columns_out() {
    let body = r#"[{"a":1},{"a":2,"b":"x"},{"b":"y"}]"#;
    let table = decode(body.as_bytes(), Some("application/json"), Cells::Numbers).unwrap();
    assert_eq!(table.names().unwrap(), ["a", "b"]);
    assert_eq!(table.cell(0, 1), Cell::Missing);
    assert_eq!(table.cell(1, 1), Cell::Text("x"));
    assert_eq!(table.cell(2, 0), Cell::Missing);
    assert_eq!(table.cell(2, 1), Cell::Text("y"));
}

#[test]
fn text_is_kept_and_verbatim_keeps_the_spelling_of_numbers() {
    for (body, content_type) in [("007,x", "text/csv"), (r#"[["007","x"]]"#, "application/json")] {
        let table = decode(body.as_bytes(), Some(content_type), Cells::Verbatim).unwrap();
        assert_eq!(table.text(0, 0).unwrap(), "007");
        assert_eq!(table.numbers()[0], 7.0);
        assert_eq!(table.cell(0, 1), Cell::Text("x"));
        assert!(table.demand_numbers(0..1, &[]).is_ok());
        let table = decode(body.as_bytes(), Some(content_type), Cells::Numbers).unwrap();
        assert_eq!(table.cell(0, 0), Cell::Number(7.0));
        assert_eq!(table.text(0, 0).unwrap(), "7");
    }
}

#[test]
fn nested_arrays_keep_their_shape() {
    let body = r#"{"instances":[[[1,2],[3,4],[5,6]],[[1,2],[3,4],[5,6]]]}"#;
    let table = decode(body.as_bytes(), Some("application/json"), Cells::Numbers).unwrap();
    assert_eq!((table.rows(), table.columns(), table.row_shape()), (2, 6, &[3, 2][..]));
    let body = r#"{"inputs":{"x":[[1,2],[3,4]],"y":[5,6]}}"#;
    let table = decode(body.as_bytes(), Some("application/json"), Cells::Numbers).unwrap();
    assert_eq!(table.named("x"), Some(0..2));
    assert_eq!(table.named("y"), Some(2..3));
    assert_eq!(table.numbers(), [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
}

#[test]
fn named_columns_find_the_models_order() {
    assert_eq!(names("b,a,extra\n1,2,3", "text/csv;header=present"), ["b", "a", "extra"]);
    let table = decode(b"b,a,extra\n1,x,3", Some("text/csv;header=present"), Cells::Numbers).unwrap();
    let table = table.arrange(&fields(&["a", "b"])).unwrap();
    assert_eq!(table.cell(0, 0), Cell::Text("x"));
    assert_eq!(table.cell(0, 1), Cell::Number(1.0));
    let several = decode(br#"{"inputs":{"b":[1],"a":[[1,2]]}}"#, Some("application/json"), Cells::Numbers).unwrap();
    let error = several.arrange(&fields(&["a", "b"])).unwrap_err().to_string();
    assert_eq!(error, "column \"a\" holds several values a row, but the model takes one");
    let error = table.arrange(&fields(&["a", "c"])).unwrap_err().to_string();
    assert_eq!(error, "column \"c\" is missing; the body names a, b");
}

#[test]
fn errors_name_the_row_and_the_column() {
    let cases = [
        ("1,2\n3", "text/csv", "row 2 has 1 column, but row 1 has 2 columns; every row needs the same columns"),
        ("", "text/csv", "the body holds no rows; send at least one"),
        ("a,b", "text/csv; header=present", "the body holds no rows; send at least one"),
        ("a,b\n1", "text/csv; header=present", "the body is not CSV: the header names 2 columns, but row 1 has 1"),
        ("a,a\n1,2", "text/csv; header=present", "column \"a\" is named twice"),
        (
            "1,2",
            "image/png",
            "content type \"image/png\" is not supported; send text/csv, application/json or application/jsonlines",
        ),
        (" ", "application/json", "the body holds no rows; send at least one"),
        ("\n\n", "application/jsonlines", "the body holds no rows; send at least one"),
        (
            "[[1,2],[3]]",
            "application/json",
            "the JSON body cannot be read: row 2 has 1 column, but row 1 has 2 columns; every row needs the same \
             columns at line 1 column 10",
        ),
        (
            r#"{"rows":[[1]]}"#,
            "application/json",
            "the JSON body cannot be read: no rows found; send an array of rows, or an object with \"instances\", \
             \"inputs\", \"dataframe_split\", \"dataframe_records\" or \"features\" at line 1 column 14",
        ),
        (
            r#"{"inputs":{"a":[1,2],"b":[1]}}"#,
            "application/json",
            "the JSON body cannot be read: column \"a\" has 2 values, but \"b\" has 1 at line 1 column 29",
        ),
        (
            "[1]\n[1,2]",
            "application/jsonlines",
            "line 2 of the JSON Lines body cannot be read: row 2 has 2 columns, but row 1 has 1 column; every row \
             needs the same columns at line 1 column 5",
        ),
    ];
    for (body, content_type, expected) in cases {
        assert_eq!(refused(body, content_type), expected);
    }
}

#[test]
fn odd_json_is_refused_not_guessed() {
    let bodies = [
        "[1,[2]]",
        "[[1],2]",
        "[[1],{\"a\":1}]",
        "[{\"a\":1},[1]]",
        "[{\"a\":1,\"a\":2}]",
        "[[{\"a\":1}]]",
        "[[]]",
        "[]",
        "{}",
        "[{}]",
        "{\"instances\":[[1]],\"inputs\":[[1]]}",
        "{\"instances\":3}",
        "[[1,[2]]]",
        "[[[1],[2,3]]]",
        "[[1]",
        "[[1]] x",
        "\"text\"",
        "12",
        "null",
        "{\"instances\":{\"a\":[]}}",
        "{\"columns\":[\"a\"],\"data\":[[1,2]]}",
        "{\"columns\":[\"a\",\"a\"],\"data\":[[1,2]]}",
        "[[1e999]]",
    ];
    for body in bodies {
        assert!(decode(body.as_bytes(), Some("application/json"), Cells::Numbers).is_err(), "{body}");
    }
    let deep = "[".repeat(100_000);
    assert!(refused(&deep, "application/json").contains("recursion limit"));
}

#[test]
fn text_for_a_number_is_named_by_the_models_words() {
    let table = decode(b"1,2\n3,abc", None, Cells::Numbers).unwrap();
    let error = table.demand_numbers(0..2, &fields(&["age", "bmi"])).unwrap_err();
    assert_eq!(error.to_string(), "row 2, column 2 (bmi): \"abc\" is not a number");
    assert_eq!(error.status(), 400);
    let table = decode(b"age,bmi\n3,4", None, Cells::Numbers).unwrap();
    assert_eq!(
        table.demand_numbers(0..2, &[]).unwrap_err().to_string(),
        "row 1, column 1: \"age\" is not a number; if the first line is a header, send content type \"text/csv; \
         header=present\""
    );
}

#[test]
fn sparse_objects_cannot_ask_for_gigabytes() {
    for value in ["1", "[]"] {
        let wide: Vec<String> = (0..2_000).map(|index| format!("\"c{index}\":{value}")).collect();
        let body = format!("[{{{}}}{}]", wide.join(","), ",{}".repeat(2_000));
        assert!(refused(&body, "application/json").contains("stands for more than 1048576 cells"), "{value}");
    }
}

fn predictions() -> Predictions {
    Predictions {
        rows: 2,
        outputs: vec![
            Output::scalar("label", Values::Text(vec!["no".into(), "a,\"b\"".into()])),
            Output::vector("score", 2, Values::F32(vec![0.1, 1.0, f32::NAN, 1e-9])),
        ],
    }
}

#[test]
fn answers_by_accept() {
    let csv = "no,0.1,1.0\n\"a,\"\"b\"\"\",nan,1e-9";
    let json = r#"{"predictions":[{"label":"no","score":[0.1,1.0]},{"label":"a,\"b\"","score":[null,1e-9]}]}"#;
    let lines = "{\"label\":\"no\",\"score\":[0.1,1.0]}\n{\"label\":\"a,\\\"b\\\"\",\"score\":[null,1e-9]}";
    let cases = [
        (None, "text/csv; charset=utf-8", csv),
        (Some(""), "text/csv; charset=utf-8", csv),
        (Some("*/*"), "text/csv; charset=utf-8", csv),
        (Some("text/csv; charset=utf-8"), "text/csv; charset=utf-8", csv),
        (Some("image/png, text/*"), "text/csv; charset=utf-8", csv),
        (Some("Application/JSON"), "application/json", json),
        (Some("text/csv;q=0.5, application/json"), "application/json", json),
        (Some("application/json;q=0, text/csv"), "text/csv; charset=utf-8", csv),
        (Some("application/jsonlines"), "application/jsonlines", lines),
    ];
    for (accept, content_type, body) in cases {
        let format = Format::negotiate(accept, Format::Csv).unwrap();
        let answer = encode(&predictions(), format);
        assert_eq!(answer.content_type.as_deref(), Some(content_type), "{accept:?}");
        assert_eq!(answer.body, body, "{accept:?}");
    }
    assert_eq!(Format::negotiate(Some("*/*"), Format::Json).unwrap(), Format::Json);
    for accept in ["application/x-npy", "text/csv;q=0", "application/x-recordio-protobuf"] {
        assert_eq!(Format::negotiate(Some(accept), Format::Csv).unwrap_err().status(), 406, "{accept}");
    }
}

#[test]
fn shapes_and_keys_of_outputs_show_in_json() {
    let outputs = vec![
        Output { shape: vec![2, 2], ..Output::scalar("grid", Values::I64(vec![1, 2, 3, 4])) },
        Output {
            keys: Some(vec!["no".into(), "yes".into()]),
            ..Output::vector("odds", 2, Values::F64(vec![0.1, 0.9]))
        },
        Output::scalar("sure", Values::Bool(vec![true])),
    ];
    let answer = encode(&Predictions { rows: 1, outputs }, Format::JsonLines);
    assert_eq!(answer.body, r#"{"grid":[[1,2],[3,4]],"odds":{"no":0.1,"yes":0.9},"sure":true}"#);
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(body in proptest::collection::vec(any::<u8>(), 0..200), kind in 0_usize..4) {
        let content_type = ["text/csv", "text/csv; header=present", "application/json", "application/jsonlines"][kind];
        for cells in [Cells::Numbers, Cells::Verbatim] {
            if let Ok(table) = decode(&body, Some(content_type), cells) {
                prop_assert_eq!(table.numbers().len(), table.rows() * table.columns());
            }
        }
    }

    #[test]
    fn anything_json_like_decodes_or_is_refused(
        body in "([\\[\\]{},:\"]|[0-9]{1,3}|\"[ab]\":|null|NaN|\"instances\":|\"columns\":|\"data\":|\"features\":){0,40}",
    ) {
        for content_type in ["application/json", "application/jsonlines"] {
            if let Ok(table) = decode(body.as_bytes(), Some(content_type), Cells::Verbatim) {
                prop_assert_eq!(table.numbers().len(), table.rows() * table.columns());
                prop_assert!(table.rows() > 0 && table.columns() > 0);
            }
        }
    }

    #[test]
    fn numbers_survive_csv_and_json(rows in proptest::collection::vec(proptest::array::uniform3(any::<f64>()), 1..5)) {
        let finite: Vec<Vec<f64>> =
            rows.iter().map(|row| row.iter().map(|v| if v.is_finite() { *v } else { 0.5 }).collect()).collect();
        let csv: Vec<String> =
            finite.iter().map(|row| row.iter().map(f64::to_string).collect::<Vec<_>>().join(",")).collect();
        prop_assert_eq!(&numbers(&csv.join("\n"), "text/csv"), &finite);
        prop_assert_eq!(&numbers(&serde_json::to_string(&finite).unwrap(), "application/json"), &finite);
    }
}
