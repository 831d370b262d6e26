// SPDX-License-Identifier: GPL-2.0

//! Memory that is kept warm stays with the NUMA node that it is of.

use crate::Test;
use crate::mmap::fill;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::pool_fixture;
use crate::pool_fixture::PoolFixture;
use crate::system;
use crate::target::Target;
use dma_heap::pattern::Pattern;
use dma_heap::sys::policy;
use dma_heap::sys::policy::Policy;
use rustix::thread::CpuSet;

pub(crate) const TESTS: &[Test] = &[
    ("a task bound to a node gets that node's memory only", bound),
    (
        "a task that prefers a node gets what is kept of it",
        preferred,
    ),
    ("a task gets what is kept of the node it runs on", local),
    ("a task that spreads its pages does so", interleaved),
];

/// Large enough to be seen in a node's counters.
const SIZE: u64 = 16 << 20;

/// What a node's counters may be off by.
const SLACK: u64 = 2 << 20;

/// The calling thread's policy and processors, put back on drop.
struct Thread(CpuSet);

impl Thread {
    fn new() -> Result<Self, Failure> {
        Ok(Self(rustix::thread::sched_getaffinity(None)?))
    }

    fn run_on(&self, node: u32) -> Result<(), Failure> {
        let mut cpus = CpuSet::new();
        for cpu in system::cpus_of_node(node)? {
            cpus.set(cpu);
        }
        Ok(rustix::thread::sched_setaffinity(None, &cpus)?)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Both were so a moment ago.
        let _ = policy::set(Policy::Default);
        let _ = rustix::thread::sched_setaffinity(None, &self.0);
    }
}

/// Runs a test with two nodes, or skips it.
fn with_nodes(
    target: &Target,
    test: impl FnOnce(&PoolFixture<'_>, &Thread, [u32; 2]) -> TestResult,
) -> TestResult {
    let nodes = system::nodes_with_memory()?;
    let [one, other, ..] = nodes[..] else {
        return skip("the machine has one NUMA node");
    };
    if target.is_contiguous() {
        return skip("a contiguous area lies where it lies");
    }
    pool_fixture::with(target, |pool| test(pool, &Thread::new()?, [one, other]))
}

/// Bytes of both nodes that the kernel could have back.
fn reclaimable(nodes: [u32; 2]) -> Result<[u64; 2], Failure> {
    let [one, other] = nodes;
    Ok([
        system::node_reclaimable(one)?,
        system::node_reclaimable(other)?,
    ])
}

/// Allocates and frees, and says how much of the buffer was kept before.
fn hits(target: &Target, pool: &PoolFixture<'_>, write: bool) -> Result<u64, Failure> {
    let before = pool.counters()?;
    let buffer = target.heap.alloc(SIZE)?;
    let found = pool.since(&before)?;
    equal("hits and misses", found.hits + found.misses, SIZE)?;
    if write {
        fill(&mut buffer.map()?, Pattern::random()?)?;
    }
    drop(buffer);
    pool.wait_zeroed(&before, SIZE)?;
    Ok(found.hits)
}

/// Waits until the nodes' counters have grown by as many bytes, or by up to twice
/// as many: a heap that was asked for much lately gets some in advance.
fn expect_grown(
    pool: &PoolFixture<'_>,
    nodes: [u32; 2],
    before: [u64; 2],
    grown: [u64; 2],
) -> Result<(), Failure> {
    pool.wait("each node's counter has what is kept of it", || {
        let now = reclaimable(nodes)?;
        Ok((0..2).all(|n| {
            let at = |of: [u64; 2]| of.get(n).copied().unwrap_or(0);
            let least = at(before) + at(grown);
            at(now) + SLACK >= least && at(now) <= least + at(grown) + SLACK
        }))
    })
}

fn bound(target: &Target) -> TestResult {
    with_nodes(target, |pool, _thread, nodes| {
        let [one, other] = nodes;
        for (one, other, grown) in [(one, other, [SIZE, 0]), (other, one, [0, SIZE])] {
            for write in [false, true] {
                pool.empty()?;
                let before = reclaimable(nodes)?;
                policy::set(Policy::Bind(one))?;
                equal("what a cold heap had", hits(target, pool, write)?, 0)?;
                expect_grown(pool, nodes, before, grown)?;
                // The other node must serve this, not what is kept of the one.
                policy::set(Policy::Bind(other))?;
                let counters = pool.counters()?;
                let buffer = target.heap.alloc(SIZE)?;
                equal("the other's hits", pool.since(&counters)?.hits, 0)?;
                policy::set(Policy::Bind(one))?;
                equal("the node's hits", hits(target, pool, write)?, SIZE)?;
                // When it comes back, it is kept as the other's.
                drop(buffer);
                expect_grown(pool, nodes, before, [SIZE, SIZE])?;
            }
        }
        Ok(Pass)
    })
}

fn preferred(target: &Target) -> TestResult {
    with_nodes(target, |pool, thread, [one, other]| {
        for (one, other) in [(one, other), (other, one)] {
            pool.empty()?;
            thread.run_on(other)?;
            policy::set(Policy::Preferred(one))?;
            equal("what a cold heap had", hits(target, pool, false)?, 0)?;
            equal("what it has now", hits(target, pool, false)?, SIZE)?;
            policy::set(Policy::Preferred(other))?;
            equal("what it has of the other", hits(target, pool, false)?, 0)?;
        }
        Ok(Pass)
    })
}

fn local(target: &Target) -> TestResult {
    with_nodes(target, |pool, thread, nodes| {
        let [one, other] = nodes;
        if system::cpus_of_node(one)?.is_empty() || system::cpus_of_node(other)?.is_empty() {
            return skip("a NUMA node has no processor");
        }
        pool.empty()?;
        let before = reclaimable(nodes)?;
        for (node, grown) in [(one, [SIZE, 0]), (other, [SIZE, SIZE])] {
            thread.run_on(node)?;
            equal("what a cold node had", hits(target, pool, false)?, 0)?;
            expect_grown(pool, nodes, before, grown)?;
        }
        for node in nodes {
            thread.run_on(node)?;
            equal("what a warm node has", hits(target, pool, true)?, SIZE)?;
            expect_grown(pool, nodes, before, [SIZE, SIZE])?;
        }
        Ok(Pass)
    })
}

/// The page allocator spreads; what is kept of one node would undo that.
fn interleaved(target: &Target) -> TestResult {
    with_nodes(target, |pool, _thread, nodes| {
        let [one, other] = nodes;
        let before = reclaimable(nodes)?;
        policy::set(Policy::Interleave((1 << one) | (1 << other)))?;
        hits(target, pool, false)?;
        expect_grown(pool, nodes, before, [SIZE / 2, SIZE / 2])?;
        if pool.held()? != SIZE {
            return fail("what was spread is not kept");
        }
        Ok(Pass)
    })
}
