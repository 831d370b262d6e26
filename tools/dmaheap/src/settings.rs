// SPDX-License-Identifier: GPL-2.0

//! Settings of heaps that outlive a reload of the module.

use crate::quantity::parse_duration;
use crate::quantity::parse_size;
use anyhow::Context as _;
use dma_heap::Registered;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// What people write, and then what tools have saved, which counts more.
const FILES: [&str; 2] = ["/etc/rust-dma-heap/settings", SAVED];

/// What tools save.
const SAVED: &str = "/etc/rust-dma-heap/settings.saved";

/// What a value is written in, by the attribute's name.
const UNITS: [(&str, Unit); 6] = [
    ("limit", Unit::Bytes),
    ("user_limit", Unit::Share),
    ("pool_cap", Unit::Bytes),
    ("pool_trim_ms", Unit::Milliseconds),
    ("keep_mappings", Unit::Flag),
    ("map_at_mmap", Unit::Flag),
];

#[derive(Clone, Copy, Debug)]
enum Unit {
    Bytes,
    /// Bytes, or a part of the heap's limit.
    Share,
    Milliseconds,
    Flag,
}

impl Unit {
    fn parse(self, text: &str) -> Result<Value, String> {
        if let (Self::Share, Some(percent)) = (self, text.strip_suffix('%')) {
            return match percent.parse() {
                Ok(percent @ 0..=100) => Ok(Value::PercentOfLimit(percent)),
                _ => Err("a part of the limit is 0% to 100%".to_owned()),
            };
        }
        let number = match self {
            Self::Bytes | Self::Share if text == "0" => 0,
            Self::Bytes | Self::Share => parse_size(text)?,
            Self::Milliseconds => match text.parse() {
                // The attribute's own unit needs none.
                Ok(number) => number,
                Err(_) => u64::try_from(parse_duration(text)?.as_millis())
                    .map_err(|_| "that is too long".to_owned())?,
            },
            Self::Flag => match text {
                "0" => 0,
                "1" => 1,
                _ => return Err("it is 0 or 1".to_owned()),
            },
        };
        Ok(Value::Number(number))
    }
}

/// What an attribute gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Number(u64),
    PercentOfLimit(u8),
}

/// An attribute and its value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    attribute: &'static str,
    value: Value,
}

impl Setting {
    /// Reads NAME=VALUE.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, value) = text
            .split_once('=')
            .with_context(|| format!("{text:?} is not NAME=VALUE"))?;
        let (attribute, unit) = UNITS.iter().find(|(it, _)| *it == name).with_context(|| {
            let known: Vec<_> = UNITS.iter().map(|(it, _)| *it).collect();
            format!(
                "there is no setting {name:?}; there are: {}",
                known.join(", ")
            )
        })?;
        let value = unit
            .parse(value)
            .map_err(|why| anyhow::anyhow!("{name}={value}: {why}"))?;
        Ok(Self { attribute, value })
    }
}

/// The settings that a file's text has for a heap, and what is wrong with its
/// other lines.
fn settings(text: &str, heap: &str) -> (Vec<Setting>, Vec<String>) {
    let plain = heap.strip_suffix("-pooled").unwrap_or(heap);
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace().take_while(|w| !w.starts_with('#'));
        let Some(name) = words.next() else { continue };
        for word in words {
            match Setting::parse(word) {
                Ok(setting) if ["*", heap, plain].contains(&name) => found.push(setting),
                Ok(_) => {}
                Err(error) => wrong.push(format!("{}: {error:#}", number + 1)),
            }
        }
    }
    (found, wrong)
}

/// What there is for a heap in all files, the last word for each attribute; and what
/// is wrong in them.
fn of(heap: &str) -> (BTreeMap<&'static str, Value>, Vec<String>) {
    let (mut found, mut wrong) = (BTreeMap::new(), Vec::new());
    for file in FILES {
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let (here, unread) = settings(&text, heap);
                found.extend(here.into_iter().map(|it| (it.attribute, it.value)));
                wrong.extend(unread.into_iter().map(|why| format!("{file}:{why}")));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => wrong.push(format!("{file}: {error}")),
        }
    }
    (found, wrong)
}

/// Gives a heap the settings that the files have for it. The limit comes first: the
/// others may be parts of it, and it is no more than what the heap's area has. What
/// is wrong in the files is told, and the rest is applied.
pub(crate) fn apply(heap: &Registered) -> anyhow::Result<()> {
    let (mut found, wrong) = of(&heap.name);
    let limit = found.remove_entry("limit");
    let first = limit
        .into_iter()
        .map(|(name, value)| write(&heap.sysfs, name, value));
    let mut result = first.fold(Ok(()), Result::and).and(fit_to_area(heap));
    for (name, value) in found {
        result = result.and(write(&heap.sysfs, name, value));
    }
    result.and(match &*wrong {
        [] => Ok(()),
        wrong => Err(anyhow::anyhow!("{}", wrong.join("; "))),
    })
}

/// Gives a heap settings, the limit first: the others may be parts of it.
pub(crate) fn set(heap: &Registered, settings: &[Setting]) -> anyhow::Result<()> {
    let (limits, others): (Vec<_>, Vec<_>) =
        settings.iter().partition(|it| it.attribute == "limit");
    for setting in limits.into_iter().chain(others) {
        write(&heap.sysfs, setting.attribute, setting.value)?;
    }
    Ok(())
}

/// Has words NAME=VALUE count whenever the heap comes up. What was saved of the same names before
/// goes, other lines stay.
pub(crate) fn save(heap: &str, words: &[String]) -> anyhow::Result<()> {
    let file = Path::new(SAVED);
    let context = || format!("cannot write {}", file.display());
    let before = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(context),
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    // The new file is whole before it takes the old one's place.
    let new = file.with_extension("new");
    std::fs::write(&new, saved(&before, heap, words)).with_context(context)?;
    std::fs::rename(&new, file).with_context(context)
}

/// The text of the file with words for a heap saved in it.
fn saved(before: &str, heap: &str, words: &[String]) -> String {
    let attribute = |word: &str| word.split('=').next().map(str::to_owned);
    let replaced: Vec<_> = words.iter().map(|word| attribute(word)).collect();
    let mut lines: Vec<String> = Vec::new();
    for line in before.lines() {
        if line.split_whitespace().next() != Some(heap) {
            lines.push(line.to_owned());
            continue;
        }
        let left: Vec<&str> = line
            .split_whitespace()
            .filter(|word| !replaced.contains(&attribute(word)))
            .collect();
        if left.len() > 1 {
            lines.push(left.join(" "));
        }
    }
    lines.push(format!("{heap} {}", words.join(" ")));
    lines.join("\n") + "\n"
}

fn write(sysfs: &Path, attribute: &str, value: Value) -> anyhow::Result<()> {
    let file = sysfs.join(attribute);
    let number = match value {
        Value::Number(number) => number,
        Value::PercentOfLimit(percent) => {
            let limit = number_in(&sysfs.join("limit")).context("the heap tells no limit")?;
            limit / 100 * u64::from(percent) + limit % 100 * u64::from(percent) / 100
        }
    };
    std::fs::write(&file, number.to_string()).map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::PermissionDenied => "; run as root",
            ErrorKind::Unsupported => "; the heap keeps nothing warm, so it has no such setting",
            ErrorKind::NotFound => "; the module is of another version and has no such setting",
            _ => "",
        };
        anyhow::anyhow!(
            "cannot write {number} to {}: {error}{advice}",
            file.display()
        )
    })
}

/// The number that a file of sysfs or debugfs holds.
pub(crate) fn number_in(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Lowers the limit of a heap that uses a contiguous area as a whole to what the
/// area has: the module itself knows only that it has no more than all areas
/// together. A lower limit stays.
pub(crate) fn fit_to_area(heap: &Registered) -> anyhow::Result<()> {
    let area = std::fs::read_to_string(heap.sysfs.join("area")).unwrap_or_default();
    // Without a name, or where the kernel does not tell (CONFIG_CMA_SYSFS), nothing is known.
    let file = Path::new("/sys/kernel/mm/cma")
        .join(area.trim())
        .join("total_pages");
    let Some(pages) = number_in(&file) else {
        return Ok(());
    };
    let size = pages.saturating_mul(dma_heap::page_size() as u64);
    if number_in(&heap.sysfs.join("limit")).is_none_or(|limit| limit > size) {
        write(&heap.sysfs, "limit", Value::Number(size))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, heap: &str) -> (Vec<(&'static str, Value)>, Vec<String>) {
        let (found, wrong) = settings(text, heap);
        let pairs = found.into_iter().map(|it| (it.attribute, it.value));
        (pairs.collect(), wrong)
    }

    #[test]
    fn lines_are_for_a_heap() {
        let text = "# nothing\nsystem limit=512M user_limit=1920x1080x4 # mine\n\
                    system pool_trim_ms=2s keep_mappings=0\ncarveout limit=1G\n";
        let wanted = vec![
            ("limit", Value::Number(512 << 20)),
            ("user_limit", Value::Number(1920 * 1080 * 4)),
            ("pool_trim_ms", Value::Number(2000)),
            ("keep_mappings", Value::Number(0)),
        ];
        for heap in ["system", "system-pooled"] {
            assert_eq!(read(text, heap), (wanted.clone(), vec![]));
        }
        assert_eq!(read(text, "other"), (vec![], vec![]));
        assert_eq!(
            read("system-pooled pool_cap=0 pool_trim_ms=100", "system-pooled").0,
            [
                ("pool_cap", Value::Number(0)),
                ("pool_trim_ms", Value::Number(100))
            ]
        );
        assert_eq!(
            read("* user_limit=50%", "carveout").0,
            [("user_limit", Value::PercentOfLimit(50))]
        );
    }

    #[test]
    fn a_wrong_word_is_told_and_the_rest_counts() {
        let text = "\nsystem limit=lots pool_cap=1M used=0 keep_mappings=2 limit user_limit=101%\n";
        let (found, wrong) = read(text, "system");
        assert_eq!(found, [("pool_cap", Value::Number(1 << 20))]);
        assert_eq!(wrong.len(), 5);
        assert!(wrong.iter().all(|why| why.starts_with("2: ")), "{wrong:?}");
    }

    #[test]
    fn what_is_saved_replaces_what_was() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let text = saved("", "system", &words("limit=1G pool_cap=0"));
        assert_eq!(text, "system limit=1G pool_cap=0\n");
        let text = saved(
            &format!("# mine\nsystem-pooled limit=1M\n{text}"),
            "system",
            &words("limit=2G"),
        );
        assert_eq!(
            text,
            "# mine\nsystem-pooled limit=1M\nsystem pool_cap=0\nsystem limit=2G\n"
        );
        assert_eq!(
            saved("system limit=1\n", "system", &words("limit=2")),
            "system limit=2\n"
        );
    }

    #[test]
    fn a_part_is_of_the_limit_that_there_is() -> anyhow::Result<()> {
        let dir = std::env::temp_dir().join(format!("dmaheap-settings-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("limit"), "67108863\n")?;
        let done = write(&dir, "user_limit", Value::PercentOfLimit(50));
        let written = std::fs::read_to_string(dir.join("user_limit"));
        std::fs::remove_dir_all(&dir)?;
        done?;
        assert_eq!(written?, "33554431");
        Ok(())
    }
}
