// SPDX-License-Identifier: GPL-2.0

//! `dmaheap list`.

use crate::Outcome;
use crate::cli::ListOptions;
use crate::output;
use crate::owner::Names;
use crate::quantity::format_size_short;
use dma_heap::HeapInfo;
use serde::Serialize;

/// A heap as JSON shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    name: String,
    other_names: Vec<String>,
    path: String,
    origin: &'static str,
    contiguous: Option<bool>,
    cacheable: Option<bool>,
    limit: Option<u64>,
    user_limit: Option<u64>,
    used: Option<u64>,
    pool_cap: Option<u64>,
    pool_held: Option<u64>,
    pool_trim_ms: Option<u64>,
    uid: u32,
    gid: u32,
    owner: String,
    group: String,
    mode: String,
    accessible: bool,
}

/// The whole answer as JSON: an object, so that it can grow.
#[derive(Debug, Serialize)]
struct Document<'a> {
    heaps: &'a [Row],
}

impl Row {
    fn new(heap: HeapInfo, names: &Names) -> Self {
        let accessible = heap.accessible();
        let origin = if heap.is_ours() { "module" } else { "kernel" };
        let attributes = heap.attributes.unwrap_or_default();
        Self {
            path: heap.node.display().to_string(),
            name: heap.name,
            other_names: heap.other_names,
            origin,
            contiguous: attributes.contiguous,
            cacheable: attributes.cacheable,
            limit: attributes.limit,
            user_limit: attributes.user_limit,
            used: attributes.used,
            pool_cap: attributes.pool_cap,
            pool_held: attributes.pool_held,
            pool_trim_ms: attributes.pool_trim_ms,
            uid: heap.uid,
            gid: heap.gid,
            owner: names.user(heap.uid),
            group: names.group(heap.gid),
            mode: format!("{:04o}", heap.mode),
            accessible,
        }
    }

    fn cells(&self) -> Vec<String> {
        let flag = |value: Option<bool>| match value {
            Some(true) => "yes".to_owned(),
            Some(false) => "no".to_owned(),
            None => "-".to_owned(),
        };
        let size = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), format_size_short);
        vec![
            self.name.clone(),
            self.origin.to_owned(),
            flag(self.contiguous),
            flag(self.cacheable),
            size(self.limit),
            size(self.user_limit),
            size(self.used),
            size(self.pool_cap),
            size(self.pool_held),
            format!("{}:{}", self.owner, self.group),
            self.mode.clone(),
            match &*self.other_names {
                [] => "-".to_owned(),
                names => names.join(" "),
            },
        ]
    }
}

/// Each heap once, by the first of its names that was given.
pub(crate) fn asked_for(names: &[String]) -> Result<Vec<HeapInfo>, dma_heap::Error> {
    let mut heaps: Vec<HeapInfo> = Vec::new();
    for name in names {
        if !heaps.iter().any(|heap| heap.has_name(name)) {
            heaps.push(HeapInfo::of(name)?);
        }
    }
    Ok(heaps)
}

/// Those heaps as JSON shows them, or all.
pub(crate) fn rows(heaps: &[String]) -> anyhow::Result<Vec<Row>> {
    let names = Names::read();
    let heaps = if heaps.is_empty() {
        dma_heap::heaps()?
    } else {
        asked_for(heaps)?
    };
    Ok(heaps
        .into_iter()
        .map(|heap| Row::new(heap, &names))
        .collect())
}

/// Lists the heaps.
pub(crate) fn run(options: &ListOptions) -> anyhow::Result<Outcome> {
    let rows = rows(&options.heaps)?;
    if options.json {
        output::print_json(&Document { heaps: &rows })?;
    } else if !rows.is_empty() {
        print(&rows)?;
    }
    if rows.is_empty() {
        return Ok(Outcome::NoHeap);
    }
    Ok(Outcome::Good)
}

fn print(rows: &[Row]) -> anyhow::Result<()> {
    let mut table = output::table(&[
        "NAME",
        "ORIGIN",
        "CONTIGUOUS",
        "CACHEABLE",
        "LIMIT",
        "PER USER",
        "USED",
        "POOL CAP",
        "POOL HELD",
        "OWNER",
        "MODE",
        "OTHER NAMES",
    ]);
    for row in rows {
        table.add_row(row.cells());
    }
    output::print_table(&table)?;
    let closed: Vec<&str> = rows
        .iter()
        .filter(|row| !row.accessible)
        .map(|row| row.name.as_str())
        .collect();
    if !closed.is_empty() {
        output::note(&format!(
            "you may not open {}: run as root, or give your group the node with a udev \
             rule such as SUBSYSTEM==\"rust_dma_heap\", GROUP=\"video\", MODE=\"0660\" \
             (SUBSYSTEM==\"dma_heap\" for the kernel's own)",
            closed.join(", ")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dma_heap::Attributes;

    fn heap(attributes: Option<Attributes>) -> HeapInfo {
        HeapInfo {
            name: "system".into(),
            other_names: vec!["a".into(), "b".into()],
            node: "/dev/dma_heap/system".into(),
            sysfs: None,
            attributes,
            uid: 0,
            gid: 0,
            mode: 0o600,
        }
    }

    #[test]
    fn json_has_null_for_what_is_unknown() -> serde_json::Result<()> {
        let rows = [Row::new(heap(None), &Names::read())];
        let value = serde_json::to_value(Document { heaps: &rows })?;
        let row = value.pointer("/heaps/0");
        let get = |name: &str| row.and_then(|row| row.get(name)).cloned();
        assert_eq!(get("name"), Some("system".into()));
        assert_eq!(get("origin"), Some("kernel".into()));
        assert_eq!(get("limit"), Some(serde_json::Value::Null));
        assert_eq!(get("mode"), Some("0600".into()));
        Ok(())
    }

    #[test]
    fn cells_of_a_heap_of_the_module() {
        let attributes = Attributes {
            contiguous: Some(true),
            cacheable: Some(true),
            limit: Some(64 << 20),
            user_limit: Some(32 << 20),
            used: Some(0),
            ..Attributes::default()
        };
        let cells = Row::new(heap(Some(attributes)), &Names::read()).cells();
        assert_eq!(
            cells.get(1..9).unwrap_or_default(),
            ["module", "yes", "yes", "64 MiB", "32 MiB", "0 B", "-", "-"]
        );
        assert_eq!(cells.last().map(String::as_str), Some("a b"));
    }
}
