// SPDX-License-Identifier: GPL-2.0

//! Which name leads to which heap, on which board.

use dma_heap::Attributes;

/// The table as this program ships it.
const SHIPPED: &str = include_str!("../../../udev/names");

/// What programs expect of a heap because of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Promises {
    contiguous: bool,
    cacheable: Option<bool>,
}

impl Promises {
    fn parse(words: &str) -> anyhow::Result<Self> {
        let mut promises = Self::default();
        for word in words.split(',') {
            match word {
                "contiguous" => promises.contiguous = true,
                "cached" => promises.cacheable = Some(true),
                "uncached" => promises.cacheable = Some(false),
                "-" => {}
                _ => anyhow::bail!(
                    "{word:?} is no promise: contiguous, cached and uncached are, and - for none"
                ),
            }
        }
        Ok(promises)
    }

    fn are_kept_by(self, heap: &Attributes) -> bool {
        (!self.contiguous || heap.contiguous == Some(true))
            && (self.cacheable.is_none() || heap.cacheable == self.cacheable)
    }
}

/// A line of the table.
#[derive(Clone, Debug)]
struct Line {
    board: String,
    name: String,
    heaps: Vec<String>,
    promises: Promises,
}

impl Line {
    /// Reads a line: [`None`] if it is empty or a comment.
    fn parse(text: &str) -> anyhow::Result<Option<Self>> {
        let mut words = text.split_whitespace().take_while(|w| !w.starts_with('#'));
        let Some(board) = words.next() else {
            return Ok(None);
        };
        let (Some(name), Some(heaps), promises, None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            anyhow::bail!("a line is: BOARD NAME HEAPS PROMISES");
        };
        anyhow::ensure!(
            !name.contains('/') && name != "." && name != "..",
            "a name has no / and is neither . nor .."
        );
        Ok(Some(Self {
            board: board.to_owned(),
            name: name.to_owned(),
            heaps: heaps
                .split(',')
                .filter(|heap| *heap != "-")
                .map(str::to_owned)
                .collect(),
            promises: Promises::parse(promises.unwrap_or("-"))?,
        }))
    }

    fn is_for(&self, board: &[String]) -> bool {
        match self.board.strip_suffix('*') {
            Some("") => true,
            Some(start) => board.iter().any(|name| name.starts_with(start)),
            None => board.contains(&self.board),
        }
    }
}

/// A heap of the module, as far as names go.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The name that the kernel gives it.
    pub(super) name: String,
    /// What it is like.
    pub(super) attributes: Attributes,
}

impl Candidate {
    fn is_called(&self, name: &str) -> bool {
        self.name.strip_suffix("-pooled").unwrap_or(&self.name) == name
    }
}

/// Where a name leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// To this heap.
    To(String),
    /// Nowhere: the module has none of these heaps.
    NoHeap(Vec<String>),
    /// Nowhere: this heap is not what the name promises.
    Unlike(String),
}

/// The table: lines that come first count first.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Line>);

impl Table {
    /// The table of this machine: the administrator's lines, then those that
    /// this program ships. With it comes what is wrong with lines that cannot be
    /// read, which are left out.
    pub(super) fn read(own: &str) -> (Self, Vec<String>) {
        let mut table = Self::default();
        let wrong = table.add(own);
        table.add(SHIPPED);
        (table, wrong)
    }

    fn add(&mut self, text: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        for (number, line) in text.lines().enumerate() {
            match Line::parse(line) {
                Ok(line) => self.0.extend(line),
                Err(error) => wrong.push(format!("{}: {error:#}", number + 1)),
            }
        }
        wrong
    }

    /// All names, of any board.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|line| &*line.name)
    }

    /// The names of a board, in order, and where each leads.
    pub(super) fn leads(&self, board: &[String], heaps: &[Candidate]) -> Vec<(String, Lead)> {
        let mut leads: Vec<(String, Lead)> = Vec::new();
        for line in self.0.iter().filter(|line| line.is_for(board)) {
            if !leads.iter().any(|(name, _)| *name == line.name) {
                leads.push((line.name.clone(), line.lead(heaps)));
            }
        }
        leads
    }
}

impl Line {
    fn lead(&self, heaps: &[Candidate]) -> Lead {
        let mut unlike = None;
        let mut promises = self.promises;
        // Programs take no care of caches then, whatever the line says.
        if self.name.ends_with("-uncached") {
            promises.cacheable = Some(false);
        }
        for wanted in &self.heaps {
            for heap in heaps.iter().filter(|heap| heap.is_called(wanted)) {
                if promises.are_kept_by(&heap.attributes) {
                    return Lead::To(heap.name.clone());
                }
                unlike = unlike.or(Some(heap.name.clone()));
            }
        }
        unlike.map_or_else(|| Lead::NoHeap(self.heaps.clone()), Lead::Unlike)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heap(name: &str, contiguous: bool, cacheable: bool) -> Candidate {
        Candidate {
            name: name.into(),
            attributes: Attributes {
                contiguous: Some(contiguous),
                cacheable: Some(cacheable),
                ..Attributes::default()
            },
        }
    }

    fn usual() -> Vec<Candidate> {
        vec![
            heap("system-pooled", false, true),
            heap("default_cma_region-pooled", true, true),
        ]
    }

    fn lead(own: &str, board: &str, name: &str, heaps: &[Candidate]) -> Option<Lead> {
        let (table, _) = Table::read(own);
        let board: Vec<String> = board.split_whitespace().map(str::to_owned).collect();
        let leads = table.leads(&board, heaps);
        leads.into_iter().find(|(it, _)| it == name).map(|it| it.1)
    }

    fn to(name: &str) -> Option<Lead> {
        Some(Lead::To(name.into()))
    }

    #[test]
    fn the_board_decides() {
        let cma = to("default_cma_region-pooled");
        for board in ["", "raspberrypi,4-model-b brcm,bcm2711"] {
            assert_eq!(lead("", board, "vidbuf_cached", &usual()), cma, "{board}");
            assert_eq!(lead("", board, "linux,cma", &usual()), cma);
            assert_eq!(lead("", board, "cma", &usual()), None);
        }
        let pi5 = "raspberrypi,5-model-b brcm,bcm2712";
        assert_eq!(
            lead("", pi5, "vidbuf_cached", &usual()),
            to("system-pooled")
        );
        assert_eq!(lead("", pi5, "linux,cma", &usual()), cma);
        let rock = "radxa,rock-5b rockchip,rk3588";
        assert_eq!(lead("", rock, "cma", &usual()), cma);
        assert_eq!(
            lead("", "qcom,sm8250", "qcom,system", &usual()),
            to("system-pooled")
        );
        assert_eq!(
            lead("", "mediatek,mt8195", "mtk_mm", &usual()),
            to("system-pooled")
        );
    }

    #[test]
    fn uncached_names_do_not_lead_to_cached_heaps() {
        let rock = "rockchip,rk3588";
        let none = |heaps: &[&str]| {
            Some(Lead::NoHeap(
                heaps.iter().map(|heap| (*heap).to_owned()).collect(),
            ))
        };
        let lead_to = |name, heaps: &[_]| lead("", rock, name, heaps);
        assert_eq!(
            lead_to("cma-uncached", &usual()),
            none(&["default_cma_region-uncached"])
        );
        assert_eq!(
            lead_to("system-uncached", &usual()),
            none(&["system-uncached"])
        );
        // Whatever somebody writes.
        for line in ["* x-uncached system uncached", "* x-uncached system"] {
            assert_eq!(
                lead(line, rock, "x-uncached", &usual()),
                Some(Lead::Unlike("system-pooled".into()))
            );
        }
        let uncached = [heap("system-uncached", false, false)];
        assert_eq!(lead_to("system-uncached", &uncached), to("system-uncached"));
    }

    #[test]
    fn own_lines_come_first() {
        let own = "# mine\n* linux,cma system cached # as I like it\n* reserved -\n";
        assert_eq!(lead(own, "", "linux,cma", &usual()), to("system-pooled"));
        assert_eq!(
            lead(own, "", "reserved", &usual()),
            Some(Lead::NoHeap(vec![]))
        );
    }

    #[test]
    fn a_line_that_cannot_be_read_is_told_and_left_out() {
        let own = "\n* a b cached extra\n* a/b system -\n* c system warm\n* d system -\n";
        let wrong = Table::read(own).1;
        assert_eq!(wrong.len(), 3);
        assert!(wrong.iter().all(|why| why.contains(": ")), "{wrong:?}");
        assert_eq!(
            wrong.first().map(|why| why.starts_with("2: a line is")),
            Some(true)
        );
        assert_eq!(lead(own, "", "d", &usual()), to("system-pooled"));
        assert_eq!(Table::default().add(SHIPPED), Vec::<String>::new());
    }

    #[test]
    fn the_best_heap_that_there_is() {
        let heaps = [heap("carveout", true, true)];
        assert_eq!(lead("", "", "linux,cma", &heaps), to("carveout"));
        assert_eq!(
            lead("", "", "default_cma_region", &heaps),
            Some(Lead::NoHeap(vec!["default_cma_region".into()]))
        );
    }
}
