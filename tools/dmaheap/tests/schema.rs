// SPDX-License-Identifier: GPL-2.0

//! Tests of the comparison with schemas, and of the schemas themselves.

mod common;

use common::Result;
use common::schema;
use serde_json::Value;
use serde_json::json;

#[test]
fn a_value_is_like_its_schema_or_not() {
    let schema = json!({
        "type": "object",
        "required": ["a"],
        "additionalProperties": false,
        "properties": {
            "a": { "$ref": "#/$defs/words" },
            "b": { "type": ["integer", "null"], "minimum": 1 },
            "c": { "enum": ["x", 2] },
            "d": { "minLength": 2 },
        },
        "$defs": { "words": { "type": "array", "minItems": 1, "items": { "type": "string" } } },
        "if": { "properties": { "c": { "const": 2 } }, "required": ["c"] },
        "then": { "required": ["d"] },
        "else": { "properties": { "d": false } },
    });
    let good = [
        json!({ "a": ["x"] }),
        json!({ "a": ["x", "y"], "b": null }),
        json!({ "a": ["x"], "b": 1, "c": "x" }),
        json!({ "a": ["x"], "c": 2, "d": "no" }),
    ];
    for value in good {
        assert_eq!(schema::check(&schema, &value), Ok(()), "{value}");
    }
    let bad = [
        json!([]),
        json!({}),
        json!({ "a": "x" }),
        json!({ "a": [] }),
        json!({ "a": [1] }),
        json!({ "a": ["x"], "b": 0 }),
        json!({ "a": ["x"], "b": 1.5 }),
        json!({ "a": ["x"], "c": "y" }),
        json!({ "a": ["x"], "c": 2 }),
        json!({ "a": ["x"], "c": 2, "d": "n" }),
        json!({ "a": ["x"], "d": "no" }),
        json!({ "a": ["x"], "e": 1 }),
    ];
    for value in bad {
        assert!(schema::check(&schema, &value).is_err(), "{value}");
    }
}

#[test]
fn what_is_not_known_here_is_no_schema() {
    for schema in [
        json!({ "pattern": "^a" }),
        json!({ "then": true }),
        json!({ "$ref": "#/$defs/nowhere" }),
        json!("x"),
    ] {
        assert!(schema::check(&schema, &json!("a")).is_err(), "{schema}");
    }
}

#[test]
fn each_schema_says_which_draft_it_is_of() -> Result {
    let mut number = 0;
    for entry in std::fs::read_dir(schema::folder())? {
        let path = entry?.path();
        let schema: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        assert_eq!(
            schema.get("$schema").and_then(Value::as_str),
            Some("https://json-schema.org/draft/2020-12/schema"),
            "{}",
            path.display()
        );
        number += 1;
    }
    assert!(number > 0);
    Ok(())
}
