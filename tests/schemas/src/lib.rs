// SPDX-License-Identifier: GPL-2.0

//! Is JSON what its schema in docs/schemas says?

#![forbid(unsafe_code)]

mod checker;
#[cfg(test)]
mod tests;

use serde_json::Deserializer;
use serde_json::Value;

macro_rules! schemas {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../docs/schemas/", $name, ".json")))),*]
    };
}

/// All there are, by the names of the commands.
const SCHEMAS: [(&str, &str); 9] = schemas![
    "alloc", "bench", "doctor", "holders", "list", "names", "stats", "verify", "which",
];

/// Reads what a command has printed and compares each value with its schema. Returns them:
/// one, or one a line.
///
/// # Errors
///
/// If there is no such schema or no value, and where a value is not like that.
pub fn read(command: &str, json: &[u8]) -> Result<Vec<Value>, String> {
    let (_, schema) = SCHEMAS
        .iter()
        .find(|(name, _)| *name == command)
        .ok_or_else(|| format!("docs/schemas has no {command}.json"))?;
    let wrong = |why: String| format!("{command}: {why}");
    let schema = serde_json::from_str(schema).map_err(|error| wrong(error.to_string()))?;
    let values = Deserializer::from_slice(json).into_iter();
    let values: Vec<Value> = values
        .map(|value| {
            let value = value.map_err(|error| error.to_string())?;
            checker::check(&schema, &value)?;
            Ok(value)
        })
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    if values.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    Ok(values)
}
