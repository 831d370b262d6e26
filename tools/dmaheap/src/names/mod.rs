// SPDX-License-Identifier: GPL-2.0

//! `dmaheap names`, and the nodes of compatible names.
//!
//! Programs look for heaps by names that differ from vendor to vendor. Who may
//! open what is decided by names, too: containers are given nodes and skip links,
//! AppArmor judges the path that a link leads to. So each name is a node of the
//! heap's own number.

mod nodes;
mod table;

use crate::Outcome;
use crate::cli::NamesOptions;
use crate::output;
use anyhow::Context as _;
use dma_heap::HEAP_DIR;
use dma_heap::Registered;
use nodes::Directory;
use nodes::Wanted;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use table::Candidate;
use table::Lead;
use table::Table;

const ROOT: &str = "/";
/// Lines of the administrator's own.
const OWN: &str = "/etc/rust-dma-heap/names";
/// What this program remembers until the machine is switched off.
const RUN: &str = "/run/rust-dma-heap";
/// Where logind looks for nodes that whoever sits at the machine may open.
const SEATS: &str = "/run/udev/static_node-tags/uaccess";

/// A name as JSON shows it.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    heap: Option<String>,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    names: &'a [Row],
}

impl Row {
    fn new(name: String, lead: Lead, heaps: &[Registered]) -> Self {
        let (heap, note) = match lead {
            // A heap's own name wins over a compatible one.
            _ if heaps.iter().any(|heap| heap.name == name) => {
                (Some(name.clone()), Some("its own name".to_owned()))
            }
            Lead::To(heap) => (Some(heap), None),
            Lead::NoHeap(none) if none.is_empty() => (None, Some(format!("none, as {OWN} has it"))),
            Lead::NoHeap(none) => (None, Some(format!("there is no {}", none.join(", no ")))),
            Lead::Unlike(heap) => {
                let note = format!("{heap} is not what this name promises");
                (None, Some(note))
            }
        };
        Self { name, heap, note }
    }
}

/// What there is to say of the names on a board, and whether all of the table could be read.
fn rows(board: &[String]) -> (Vec<Row>, Outcome) {
    let heaps = dma_heap::registered();
    let (table, outcome) = table();
    let rows = table
        .leads(board, &candidates(&heaps))
        .into_iter()
        .map(|(name, lead)| Row::new(name, lead, &heaps))
        .collect();
    (rows, outcome)
}

/// Shows where each name leads.
pub(crate) fn run(options: &NamesOptions) -> anyhow::Result<Outcome> {
    let board = match &*options.board {
        [] => board(Path::new(ROOT)),
        names => names.to_vec(),
    };
    let (rows, outcome) = rows(&board);
    if options.json {
        output::print_json(&Document { names: &rows })?;
        return Ok(outcome);
    }
    let mut table = output::table(&["NAME", "HEAP", "NOTE"]);
    let dash = || "-".to_owned();
    for row in rows {
        table.add_row([
            row.name,
            row.heap.unwrap_or_else(dash),
            row.note.unwrap_or_else(dash),
        ]);
    }
    output::print_table(&table)?;
    Ok(outcome)
}

/// The compatible names that lead to a heap on the machine whose files are in `root`,
/// and to which; and what is wrong in the administrator's lines.
pub(crate) fn leads(root: &Path, heaps: &[Registered]) -> (Vec<(String, String)>, Vec<String>) {
    let (table, wrong) = read_table(root);
    let leads = table
        .leads(&board(root), &candidates(heaps))
        .into_iter()
        .filter(|(name, _)| !heaps.iter().any(|heap| heap.name == *name))
        .filter_map(|(name, lead)| match lead {
            Lead::To(heap) => Some((name, heap)),
            Lead::NoHeap(_) | Lead::Unlike(_) => None,
        })
        .collect();
    (leads, wrong)
}

/// Makes the nodes that there should be now, and removes those that there should
/// not. It may be called at any time, and by several at once.
pub(crate) fn update() -> anyhow::Result<()> {
    let directory = Directory::lock(HEAP_DIR, RUN, SEATS)?;
    // Only now: what another one saw before may be old.
    let heaps = dma_heap::registered();
    let (table, _) = table();
    let wanted = table
        .leads(&board(Path::new(ROOT)), &candidates(&heaps))
        .into_iter()
        .filter_map(|(name, lead)| {
            let Lead::To(to) = lead else { return None };
            let heap = heaps.iter().find(|heap| heap.name == to)?;
            let (number, heap) = (heap.number, to);
            Some((name, Wanted { number, heap }))
        })
        .collect();
    settle(&directory, &table, &heaps, &wanted)
}

/// Removes the nodes that this program has made, but for those that it made in the
/// kernel's place: it goes itself.
pub(crate) fn clear() -> anyhow::Result<()> {
    let directory = Directory::lock(HEAP_DIR, RUN, SEATS)?;
    let heaps = dma_heap::registered();
    settle(&directory, &table().0, &heaps, &BTreeMap::new())
}

fn settle(
    directory: &Directory,
    table: &Table,
    heaps: &[Registered],
    wanted: &BTreeMap<String, Wanted>,
) -> anyhow::Result<()> {
    let own = heaps.iter().map(|heap| (heap.name.clone(), heap.number));
    let ours = heaps.iter().filter(|heap| heap.attributes.is_some());
    let plan = nodes::plan(
        &directory.found()?,
        &directory.made()?,
        &own.collect(),
        wanted,
        &table.names().collect(),
        &ours.map(|heap| &*heap.name).collect(),
    );
    let result = directory.carry_out(&plan);
    // The rules gave their rights to a node of another number. Now the heap has one.
    for heap in heaps.iter().filter(|it| plan.make.contains_key(&it.name)) {
        std::fs::write(heap.sysfs.join("uevent"), "change")
            .with_context(|| format!("cannot have the rules look at {} again", heap.name))?;
    }
    result
}

/// The heaps to which names may lead: the module's. The kernel's own keep theirs.
fn candidates(heaps: &[Registered]) -> Vec<Candidate> {
    heaps
        .iter()
        .filter_map(|heap| {
            Some(Candidate {
                name: heap.name.clone(),
                attributes: heap.attributes.clone()?,
            })
        })
        .collect()
}

/// What the device tree of the machine whose files are in `root` calls the board, the
/// most exact name first. Empty if there is no device tree.
fn board(root: &Path) -> Vec<String> {
    let text = std::fs::read(root.join("proc/device-tree/compatible")).unwrap_or_default();
    text.split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// The table, and whether all of it could be read; what could not be is told.
fn table() -> (Table, Outcome) {
    let (table, wrong) = read_table(Path::new(ROOT));
    for why in &wrong {
        output::note(why);
    }
    let outcome = if wrong.is_empty() {
        Outcome::Good
    } else {
        Outcome::Bad
    };
    (table, outcome)
}

/// The table of the machine whose files are in `root`, and what could not be read.
fn read_table(root: &Path) -> (Table, Vec<String>) {
    let own = std::fs::read_to_string(root.join(OWN.trim_start_matches(ROOT)));
    let (own, mut wrong) = match own {
        Ok(text) => (text, Vec::new()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Default::default(),
        Err(error) => (String::new(), vec![format!(" {error}")]),
    };
    let (table, unread) = Table::read(&own);
    wrong.extend(unread);
    let wrong = wrong.into_iter().map(|why| format!("{OWN}:{why}"));
    (table, wrong.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dma_heap::Attributes;

    #[test]
    fn a_heaps_own_name_is_no_compatible_one() -> std::io::Result<()> {
        let heap = |name: &str, contiguous| Registered {
            name: name.into(),
            number: (250, 0),
            sysfs: "/nowhere".into(),
            attributes: Some(Attributes {
                contiguous: Some(contiguous),
                cacheable: Some(true),
                ..Attributes::default()
            }),
        };
        let heaps = [heap("system", false), heap("reserved", true)];
        let root = tempfile::tempdir()?;
        let etc = root.path().join("etc/rust-dma-heap");
        std::fs::create_dir_all(&etc)?;
        std::fs::write(
            etc.join("names"),
            "* reserved system\n* mine system\nwrong\n",
        )?;
        let (leads, wrong) = leads(root.path(), &heaps);
        assert_eq!(leads, [("mine".to_owned(), "system".to_owned())]);
        assert_eq!(
            wrong,
            ["/etc/rust-dma-heap/names:3: a line is: BOARD NAME HEAPS PROMISES"]
        );
        Ok(())
    }
}
