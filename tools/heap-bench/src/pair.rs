// SPDX-License-Identifier: GPL-2.0

//! Which heap of ours is measured against which of the kernel's.

use anyhow::bail;
use anyhow::ensure;
use dma_heap::HeapInfo;
use dma_heap::MODULE_NAME;

/// What the module adds to a name that the kernel has, too.
const SUFFIX: &str = "-pooled";

/// A heap to measure, and what stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The module's, or one of the kernel's that is measured alone.
    pub heap: String,
    /// The kernel's, which it is compared with; `None` to measure the heap alone.
    pub against: Option<String>,
    /// Each buffer is one range of addresses.
    pub contiguous: bool,
}

impl Pair {
    /// How many heaps that are.
    pub(crate) fn heaps(&self) -> usize {
        1 + usize::from(self.against.is_some())
    }
}

/// A heap with a pool is one of the module's.
fn has_pool(heap: &HeapInfo) -> bool {
    heap.attributes
        .as_ref()
        .is_some_and(|attributes| attributes.pool_cap.is_some())
}

/// The kernel's heaps do not say what they are; their names do.
pub fn is_contiguous(kernel: &str) -> bool {
    !kernel.starts_with("system")
}

fn find<'a>(heaps: &'a [HeapInfo], name: &str) -> anyhow::Result<&'a HeapInfo> {
    match heaps.iter().find(|heap| heap.name == name) {
        Some(heap) => Ok(heap),
        None => bail!("there is no heap {name}; `dmaheap list` shows those that there are"),
    }
}

/// The pair of a heap of ours with one of the kernel's.
fn pair(heaps: &[HeapInfo], ours: &str, kernel: &str) -> anyhow::Result<Pair> {
    let (heap, baseline) = (find(heaps, ours)?, find(heaps, kernel)?);
    ensure!(
        has_pool(heap) && !has_pool(baseline),
        "{ours} is to be a heap of the module, and {kernel} one of the kernel"
    );
    Ok(Pair {
        heap: heap.name.clone(),
        against: Some(baseline.name.clone()),
        contiguous: has_contiguous_buffers(heap).unwrap_or_else(|| is_contiguous(&baseline.name)),
    })
}

/// Whether a heap of the module says that its buffers are contiguous.
fn has_contiguous_buffers(heap: &HeapInfo) -> Option<bool> {
    heap.attributes.as_ref()?.contiguous
}

/// The kernel's heap that a heap of the module has its name of, if it has a longer one.
fn twin(ours: &str) -> Option<&str> {
    ours.strip_suffix(SUFFIX)
}

/// The pairs asked for, each as `OURS=KERNEL` or as `OURS`, or else all that
/// there are: two heaps are one if their names are the same but for the suffix.
pub fn pairs(heaps: &[HeapInfo], wanted: &[String]) -> anyhow::Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for text in wanted {
        let (ours, kernel) = match text.split_once('=') {
            Some((ours, kernel)) => (ours, Some(kernel)),
            None => (text.as_str(), twin(text)),
        };
        match kernel {
            Some(kernel) => pairs.push(pair(heaps, ours, kernel)?),
            None => bail!("which heap of the kernel to measure {ours} against? Say {ours}=NAME"),
        }
    }
    if wanted.is_empty() {
        for heap in heaps.iter().filter(|heap| has_pool(heap)) {
            let kernel = twin(&heap.name);
            if let Some(kernel) = kernel.filter(|name| find(heaps, name).is_ok()) {
                pairs.push(pair(heaps, &heap.name, kernel)?);
            }
        }
    }
    ensure!(
        !pairs.is_empty(),
        "no heap of the module stands beside one of the kernel's: load the kernel's heaps, and \
         the module with pooled_names=1; or name both as OURS=KERNEL"
    );
    Ok(pairs)
}

/// The same, or all heaps of the module; but one that the kernel has none beside is measured
/// alone.
///
/// # Errors
///
/// If a heap is not there, or is not the module's.
pub fn pairs_or_alone(heaps: &[HeapInfo], wanted: &[String]) -> anyhow::Result<Vec<Pair>> {
    let mut found = Vec::new();
    for text in wanted {
        if let Some((ours, kernel)) = text.split_once('=') {
            found.push(pair(heaps, ours, kernel)?);
            continue;
        }
        let heap = match heaps.iter().find(|heap| heap.has_name(text)) {
            Some(heap) => heap,
            None => find(heaps, text)?,
        };
        ensure!(
            heap.is_ours(),
            "{text} is a heap of the kernel: name it beside one of the module, as OURS={text}"
        );
        found.push(beside_its_twin(heaps, heap));
    }
    if wanted.is_empty() {
        let ours = heaps.iter().filter(|heap| heap.is_ours());
        found.extend(ours.map(|heap| beside_its_twin(heaps, heap)));
        ensure!(
            !found.is_empty(),
            "no heap here is one of the module: load it with `modprobe {MODULE_NAME}`"
        );
    }
    Ok(found)
}

/// A heap of the module beside the kernel's, if that has one.
fn beside_its_twin(heaps: &[HeapInfo], heap: &HeapInfo) -> Pair {
    let beside = twin(&heap.name).and_then(|kernel| pair(heaps, &heap.name, kernel).ok());
    beside.unwrap_or_else(|| Pair {
        heap: heap.name.clone(),
        against: None,
        contiguous: has_contiguous_buffers(heap).unwrap_or_else(|| is_contiguous(&heap.name)),
    })
}

/// The kernel's heaps alone, those asked for or all.
pub fn controls(heaps: &[HeapInfo], wanted: &[String]) -> anyhow::Result<Vec<Pair>> {
    ensure!(
        !heaps.iter().any(has_pool),
        "the module is loaded: --control measures the kernel's heaps without it"
    );
    for name in wanted {
        find(heaps, name)?;
    }
    Ok(heaps
        .iter()
        .filter(|heap| wanted.is_empty() || wanted.contains(&heap.name))
        .map(|heap| Pair {
            heap: heap.name.clone(),
            against: None,
            contiguous: is_contiguous(&heap.name),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dma_heap::Attributes;

    fn heap(name: &str, contiguous: Option<bool>) -> HeapInfo {
        HeapInfo {
            name: name.into(),
            other_names: Vec::new(),
            node: name.into(),
            sysfs: None,
            attributes: contiguous.map(|contiguous| Attributes {
                contiguous: Some(contiguous),
                pool_cap: Some(0),
                ..Attributes::default()
            }),
            uid: 0,
            gid: 0,
            mode: 0,
        }
    }

    fn both() -> Vec<HeapInfo> {
        vec![
            heap("default_cma_region", Some(true)),
            heap("reserved", None),
            heap("system", None),
            heap("system-pooled", Some(false)),
        ]
    }

    fn system() -> Pair {
        Pair {
            heap: "system-pooled".into(),
            against: Some("system".into()),
            contiguous: false,
        }
    }

    #[test]
    fn pairs_find_themselves() -> anyhow::Result<()> {
        assert_eq!(pairs(&both(), &[])?, [system()]);
        assert_eq!(pairs(&both(), &["system-pooled".into()])?, [system()]);
        Ok(())
    }

    #[test]
    fn pairs_can_be_named() -> anyhow::Result<()> {
        let named = pairs(&both(), &["default_cma_region=reserved".into()])?;
        assert_eq!(
            named,
            [Pair {
                heap: "default_cma_region".into(),
                against: Some("reserved".into()),
                contiguous: true,
            }]
        );
        for wrong in ["system", "default_cma_region", "system=reserved", "a=b"] {
            assert!(pairs(&both(), &[wrong.into()]).is_err(), "{wrong}");
        }
        Ok(())
    }

    fn alone(name: &str, contiguous: bool) -> Pair {
        Pair {
            heap: name.into(),
            against: None,
            contiguous,
        }
    }

    #[test]
    fn what_has_nothing_beside_it_is_alone() -> anyhow::Result<()> {
        let area = alone("default_cma_region", true);
        assert_eq!(pairs_or_alone(&both(), &[])?, [area.clone(), system()]);
        let named = ["default_cma_region".into(), "system-pooled".into()];
        assert_eq!(pairs_or_alone(&both(), &named)?, [area, system()]);
        let board = [
            heap("carveout", Some(true)),
            HeapInfo {
                other_names: vec!["linux,cma".into()],
                ..heap("default_cma_region", Some(true))
            },
            heap("system", Some(false)),
        ];
        assert!(pairs(&board, &[]).is_err());
        let all = pairs_or_alone(&board, &[])?;
        assert_eq!(
            all,
            [
                alone("carveout", true),
                alone("default_cma_region", true),
                alone("system", false)
            ]
        );
        let named = pairs_or_alone(&board, &["linux,cma".into()])?;
        assert_eq!(named, [alone("default_cma_region", true)]);
        Ok(())
    }

    #[test]
    fn the_kernels_heaps_are_not_measured_alone() {
        let kernel = [heap("system", None)];
        for wanted in [&[][..], &["system".to_owned()], &["gone".into()]] {
            assert!(pairs_or_alone(&kernel, wanted).is_err(), "{wanted:?}");
        }
        assert!(pairs_or_alone(&both(), &["system=reserved".into()]).is_err());
    }

    #[test]
    fn a_control_has_nothing_of_ours() -> anyhow::Result<()> {
        assert!(controls(&both(), &[]).is_err());
        let kernel = [heap("default_cma_region", None), heap("system", None)];
        let found = controls(&kernel, &[])?;
        assert_eq!(
            found.iter().map(|pair| pair.contiguous).collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!(controls(&kernel, &["system".into()])?.len(), 1);
        assert!(controls(&kernel, &["gone".into()]).is_err());
        Ok(())
    }
}
