// SPDX-License-Identifier: GPL-2.0

use super::*;
use checker::check;
use serde_json::json;
use std::error::Error;
use std::path::Path;

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
            "f": { "minProperties": 1, "maxProperties": 2 },
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
        json!({ "a": ["x"], "f": { "g": 1 } }),
    ];
    for value in good {
        assert_eq!(check(&schema, &value), Ok(()), "{value}");
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
        json!({ "a": ["x"], "f": {} }),
        json!({ "a": ["x"], "f": { "g": 1, "h": 2, "i": 3 } }),
    ];
    for value in bad {
        assert!(check(&schema, &value).is_err(), "{value}");
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
        assert!(check(&schema, &json!("a")).is_err(), "{schema}");
    }
}

#[test]
fn each_schema_is_of_a_draft_and_known_here() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas"));
    let mut files: Vec<String> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    let known: Vec<String> = SCHEMAS
        .iter()
        .map(|(name, _)| format!("{name}.json"))
        .collect();
    assert_eq!(files, known);
    for (name, text) in SCHEMAS {
        let schema: Value = serde_json::from_str(text)?;
        assert_eq!(
            schema.get("$schema").and_then(Value::as_str),
            Some("https://json-schema.org/draft/2020-12/schema"),
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn what_is_no_json_or_empty_is_refused() {
    let good = r#"{"heap":"a","pid":1,"name":null,"buffers":[]}"#;
    assert!(read("alloc", good.as_bytes()).is_ok_and(|values| values.len() == 1));
    let two = format!("{good}\n{good}\n");
    assert!(read("alloc", two.as_bytes()).is_ok_and(|values| values.len() == 2));
    for bad in [
        "",
        "\n",
        "{",
        "{}",
        &format!("{good}x"),
        &good.replace('1', "-1"),
    ] {
        assert!(read("alloc", bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(read("nobody", good.as_bytes()).is_err());
}
