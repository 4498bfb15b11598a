//! Cases of the language; where a text is from AWS's guide, it is marked so.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn search(expression: &str, value: &Value) -> Result<Value, String> {
    expression.parse::<Expression>()?.search(value)
}

fn finds(value: &Value, cases: &[(&str, Value)]) {
    for (expression, wanted) in cases {
        assert_eq!(search(expression, value).as_ref(), Ok(wanted), "{expression}");
    }
}

#[test]
fn the_expressions_of_awss_guide_say_what_it_says() {
    finds(&json!([1, 0.6]), &[("`true`", json!(true)), ("`false`", json!(false)), ("[1]>`0.5`", json!(true))]);
    finds(&json!({"predicted_label": 1, "probability": 0.6}), &[("probability>`0.5`", json!(true))]);
    let classes = json!({"probabilities": [0.4, 0.1, 0.4], "labels": ["cat", "dog", "fish"]});
    finds(&classes, &[("!contains(probabilities[:-1], max(probabilities))", json!(false))]);
    finds(&json!({"data": {"features": [1, 2]}}), &[("data.features", json!([1, 2]))]);
}

#[test]
fn members_places_and_slices_are_found() {
    let value = json!({"a": {"b": [10, 11, 12, 13], "c d": {"e": 1}}, "n": null});
    finds(
        &value,
        &[
            ("a.b[0]", json!(10)),
            ("a.b[-1]", json!(13)),
            ("a.b[9]", json!(null)),
            ("a.b[1:3]", json!([11, 12])),
            ("a.b[::-1]", json!([13, 12, 11, 10])),
            ("a.b[-2:]", json!([12, 13])),
            ("a.b[:99:2]", json!([10, 12])),
            ("a.b[3:1:-1]", json!([13, 12])),
            ("a.b[1:9:9223372036854775807]", json!([11])),
            ("a.\"c d\".e", json!(1)),
            ("a.x.y", json!(null)),
            ("n.x", json!(null)),
            ("@.a.b | [0]", json!(10)),
        ],
    );
}

#[test]
fn projections_go_over_lists_objects_and_what_holds() {
    let value =
        json!({"rows": [{"x": 1, "y": [1, 2]}, {"x": 2}, {"x": 3, "y": [3]}], "by": {"a": {"x": 1}, "b": {"x": 2}}});
    finds(
        &value,
        &[
            ("rows[*].x", json!([1, 2, 3])),
            ("rows[*].y", json!([[1, 2], [3]])),
            ("rows[].y[]", json!([1, 2, 3])),
            ("rows[*].y[0]", json!([1, 3])),
            ("rows[*].y | [0]", json!([1, 2])),
            ("by.*.x", json!([1, 2])),
            ("rows[?x > `1`].x", json!([2, 3])),
            ("rows[?y][0].x", json!([])),
            ("rows[?y] | [0].x", json!(1)),
            ("rows[?x==`1` || x==`3`].[x, y[0]]", json!([[1, 1], [3, 3]])),
            ("rows[1:].{name: x}", json!([{"name": 2}, {"name": 3}])),
            ("rows.x", json!(null)),
        ],
    );
}

#[test]
fn operators_bind_as_they_do_elsewhere() {
    let value = json!({"t": true, "f": false, "one": 1, "text": "1", "empty": []});
    finds(
        &value,
        &[
            ("t || f && f", json!(true)),
            ("(t || f) && f", json!(false)),
            ("!f && one == `1.0`", json!(true)),
            ("one == text", json!(false)),
            ("one != text", json!(true)),
            ("one < text", json!(null)),
            ("empty || one", json!(1)),
            ("one && `0`", json!(0)),
            ("!empty", json!(true)),
            ("'it\\'s \\\\n'", json!("it's \\\\n")),
            ("`\"a\"`", json!("a")),
            ("`[1, {\"a\": null}]`", json!([1, {"a": null}])),
        ],
    );
}

#[test]
fn functions_take_what_they_are_defined_for() {
    let value = json!({"n": [3, 1.5, -2], "s": ["b", "a"], "o": {"a": 1}, "p": [{"k": 2, "v": "x"}, {"k": 2, "v": "y"}, {"k": 1, "v": "z"}]});
    finds(
        &value,
        &[
            ("abs(n[2])", json!(2)),
            ("avg(n)", json!(2.5 / 3.0)),
            ("avg(`[]`)", json!(null)),
            ("[ceil(n[1]), floor(n[1])]", json!([2, 1])),
            ("[contains(s, 'a'), contains('abc', 'bc'), contains(s, `1`)]", json!([true, true, false])),
            ("[starts_with('abc', 'ab'), ends_with('abc', 'ab')]", json!([true, false])),
            ("join('-', s)", json!("b-a")),
            ("[keys(o), values(o)]", json!([["a"], [1]])),
            ("[length(n), length('äb'), length(o)]", json!([3, 2, 1])),
            ("map(&k, p)", json!([2, 2, 1])),
            ("[max(n), min(n), max(s), max(`[]`)]", json!([3, -2, "b", null])),
            ("[max_by(p, &k).v, min_by(p, &k).v]", json!(["x", "z"])),
            ("merge(o, `{\"b\": 2}`)", json!({"a": 1, "b": 2})),
            ("not_null(x, o.a)", json!(1)),
            ("[reverse(s), reverse('ab')]", json!([["a", "b"], "ba"])),
            ("[sort(n), sort(s)]", json!([[-2, 1.5, 3], ["a", "b"]])),
            ("sort_by(p, &k)[*].v", json!(["z", "x", "y"])),
            ("[sum(n), sum(`[]`)]", json!([2.5, 0])),
            ("[to_array(s), to_array(`1`)]", json!([["b", "a"], [1]])),
            ("[to_number('1.5'), to_number('x'), to_number(`2`)]", json!([1.5, null, 2])),
            ("[to_string(o), to_string('a')]", json!(["{\"a\":1}", "a"])),
            (
                "[type(x), type(o), type(n), type('a'), type(`1`), type(`true`)]",
                json!(["null", "object", "array", "string", "number", "boolean"]),
            ),
        ],
    );
}

#[test]
fn what_is_no_expression_is_refused_and_so_is_what_a_function_does_not_take() {
    for text in [
        "",
        " ",
        "[0",
        "a >",
        "a.",
        "a..b",
        ".a",
        "a b",
        "`{`x",
        "foo(@)",
        "a[",
        "[::0:1]",
        "abs()",
        "abs(a, b)",
        "\"abs\"(@)",
        "map(a, b)",
        "abs(&a)",
        "{a}",
        "{a:}",
        "a = b",
        "'a",
        "#",
        "a[x]",
        "99999999999999999999",
        "\0",
        "a | ",
        "&",
    ] {
        assert!(text.parse::<Expression>().is_err(), "{text:?}");
    }
    let value = json!({"mixed": [1, "a"], "n": [1]});
    for text in
        ["n[::0]", "max(mixed)", "sum(mixed)", "abs('a')", "keys(n)", "sort_by(mixed, &@)", "&a", "join(',', n)"]
    {
        assert!(search(text, &value).is_err(), "{text:?}");
    }
    assert!("a".repeat(EXPRESSION_MAX_BYTES + 1).parse::<Expression>().is_err());
}

#[test]
fn what_a_search_makes_is_bounded() {
    let value = Value::from(vec![0; 1_000]);
    let doubling = ["[@,@]"; 11].join("|");
    assert!(search(&doubling, &value).unwrap_err().contains("values"));
    let nested = format!("{}a{}", "(".repeat(120), ")".repeat(120));
    assert_eq!(search(&nested, &json!({"a": 1})), Ok(json!(1)));
}

proptest! {
    #[test]
    fn no_text_breaks_it(text in "[a\\[\\]\\(\\)\\{\\}.*,:@&|!<>=?'\"`0-9 -]{0,24}") {
        if let Ok(expression) = text.parse::<Expression>() {
            let _ = expression.search(&json!({"a": [1, {"a": "b"}, [2]]}));
        }
    }
}
