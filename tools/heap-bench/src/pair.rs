// SPDX-License-Identifier: GPL-2.0

//! Which heap of ours is measured against which of the kernel's.

use anyhow::bail;
use anyhow::ensure;
use dma_heap::HeapInfo;

/// What the module adds to a name that the kernel has, too.
const SUFFIX: &str = "-pooled";

/// Heaps to measure side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The module's; `None` to measure the kernel's alone.
    pub ours: Option<String>,
    /// The kernel's.
    pub kernel: String,
    /// Each buffer is one range of addresses.
    pub contiguous: bool,
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
    let contiguous = heap.attributes.as_ref().and_then(|it| it.contiguous);
    Ok(Pair {
        ours: Some(ours.to_owned()),
        kernel: kernel.to_owned(),
        contiguous: contiguous.unwrap_or_else(|| is_contiguous(kernel)),
    })
}

/// The pairs asked for, each as `OURS=KERNEL` or as `OURS`, or else all that
/// there are: two heaps are one if their names are the same but for the suffix.
pub fn pairs(heaps: &[HeapInfo], wanted: &[String]) -> anyhow::Result<Vec<Pair>> {
    let twin = |ours: &str| ours.strip_suffix(SUFFIX).map(str::to_owned);
    let mut pairs = Vec::new();
    for text in wanted {
        let (ours, kernel) = match text.split_once('=') {
            Some((ours, kernel)) => (ours, Some(kernel.to_owned())),
            None => (text.as_str(), twin(text)),
        };
        match kernel {
            Some(kernel) => pairs.push(pair(heaps, ours, &kernel)?),
            None => bail!("which heap of the kernel to measure {ours} against? Say {ours}=NAME"),
        }
    }
    if wanted.is_empty() {
        for heap in heaps.iter().filter(|heap| has_pool(heap)) {
            let kernel = twin(&heap.name);
            if let Some(kernel) = kernel.filter(|name| find(heaps, name).is_ok()) {
                pairs.push(pair(heaps, &heap.name, &kernel)?);
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
            ours: None,
            kernel: heap.name.clone(),
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
            ours: Some("system-pooled".into()),
            kernel: "system".into(),
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
                ours: Some("default_cma_region".into()),
                kernel: "reserved".into(),
                contiguous: true,
            }]
        );
        for wrong in ["system", "default_cma_region", "system=reserved", "a=b"] {
            assert!(pairs(&both(), &[wrong.into()]).is_err(), "{wrong}");
        }
        Ok(())
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
