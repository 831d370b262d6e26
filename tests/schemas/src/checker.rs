// SPDX-License-Identifier: GPL-2.0

//! The keywords of JSON Schema that our schemas use, and no others: a schema with one
//! that is not known here fails. (The crate jsonschema would bring seventy more, and take
//! longer to compile than all of the program.)

use serde_json::Map;
use serde_json::Value;

/// What says nothing about a value.
const REMARKS: [&str; 6] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "title",
    "description",
];

/// Compares.
///
/// # Errors
///
/// Where the value is not like that, and why; or what in the schema is not known here.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    let root = Checker { root: schema };
    root.check(schema, value, "")
}

struct Checker<'a> {
    root: &'a Value,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
        let keywords = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => return Err(format!("{place:?} should not be there")),
            other => other.as_object().ok_or("a schema is an object")?,
        };
        for (keyword, argument) in keywords {
            self.keyword(keywords, keyword, argument, value, place)?;
        }
        Ok(())
    }

    fn keyword(
        &self,
        keywords: &Map<String, Value>,
        keyword: &str,
        argument: &Value,
        value: &Value,
        place: &str,
    ) -> Result<(), String> {
        let bad = |good| match good {
            true => Ok(()),
            false => Err(format!(
                "{place:?} is {value}, against {keyword}: {argument}"
            )),
        };
        let list = || argument.as_array().map(Vec::as_slice).unwrap_or_default();
        let least = argument.as_u64().unwrap_or(u64::MAX);
        match keyword {
            _ if REMARKS.contains(&keyword) => Ok(()),
            "type" => bad(match argument {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(value, kind)),
                kind => is_of(value, kind),
            }),
            "enum" => bad(list().contains(value)),
            "const" => bad(argument == value),
            "minimum" => bad(match (value.as_f64(), argument.as_f64()) {
                (Some(value), Some(least)) => value >= least,
                (value, _) => value.is_none(),
            }),
            "minLength" => bad(value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 >= least)),
            "minItems" => bad(value
                .as_array()
                .is_none_or(|items| items.len() as u64 >= least)),
            "minProperties" => bad(value
                .as_object()
                .is_none_or(|object| object.len() as u64 >= least)),
            "maxProperties" => bad(value
                .as_object()
                .is_none_or(|object| argument.as_u64() >= Some(object.len() as u64))),
            "required" => bad(value.as_object().is_none_or(|object| {
                let mut names = list().iter().filter_map(Value::as_str);
                names.all(|name| object.contains_key(name))
            })),
            "items" => {
                let items = value.as_array().into_iter().flatten();
                items
                    .enumerate()
                    .try_for_each(|(n, item)| self.check(argument, item, &format!("{place}/{n}")))
            }
            "properties" => argument.as_object().into_iter().flatten().try_for_each(
                |(name, schema)| match value.get(name) {
                    Some(it) => self.check(schema, it, &format!("{place}/{name}")),
                    None => Ok(()),
                },
            ),
            "additionalProperties" => {
                let known = keywords.get("properties").and_then(Value::as_object);
                let is_known = |name: &str| known.is_some_and(|it| it.contains_key(name));
                let entries = value.as_object().into_iter().flatten();
                entries
                    .filter(|(name, _)| !is_known(name))
                    .try_for_each(|(name, it)| self.check(argument, it, &format!("{place}/{name}")))
            }
            "$ref" => {
                let target = argument.as_str().and_then(|it| it.strip_prefix('#'));
                let target = target.and_then(|it| self.root.pointer(it));
                let target = target.ok_or_else(|| format!("there is no {argument}"))?;
                self.check(target, value, place)
            }
            "if" => match (
                self.check(argument, value, place),
                keywords.get("then"),
                keywords.get("else"),
            ) {
                (Ok(()), Some(then), _) => self.check(then, value, place),
                (Err(_), _, Some(other)) => self.check(other, value, place),
                _ => Ok(()),
            },
            "then" | "else" if keywords.contains_key("if") => Ok(()),
            _ => Err(format!("the keyword {keyword:?} is not known here")),
        }
    }
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => false,
    }
}
