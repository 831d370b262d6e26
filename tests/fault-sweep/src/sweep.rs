// SPDX-License-Identifier: GPL-2.0

//! The sweep: one call again and again, with its first allocation failing, then
//! its second, until there are no more.

use crate::failure::Failure;
use crate::failure::fail;
use crate::injection::Injected;
use crate::injection::Injection;
use crate::state;
use crate::state::State;
use crate::tracer::Stack;
use crate::tracer::Tracer;
use dma_heap::Errno;
use dma_heap::HeapInfo;
use dma_heap::MODULE_NAME;
use dmaheap_tap::Tap;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// More allocations than any call has.
const MOST: u32 = 1_000_000;

/// How often to go after sites that were not hit by their number.
const ROUNDS: u32 = 50;

/// The test importer, some of whose calls are swept on the way to the module.
const IMPORTER_NAME: &str = "dma_buf_test_importer";

/// What one call came to.
pub(crate) type Outcome<R> = Result<R, Errno>;

/// An entry of the module, or a way to it.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    /// The errors that its documentation names for want of memory, and for
    /// memory of the caller that cannot be read or written.
    pub(crate) errors: &'a [Errno],
    /// Has each allocation fail, also those of a site that has failed already:
    /// for all calls that do not take too long.
    pub(crate) every: bool,
}

/// A call, what it needs, and a look at what it has made.
#[derive(Debug)]
struct Run<P, C, K> {
    prepare: P,
    call: C,
    check: K,
}

/// How a call with a fault in it ended.
#[derive(Debug, Default)]
struct Ends {
    /// The numbers of the allocations.
    numbers: Vec<u32>,
    /// With an error.
    refused: u32,
    /// With success: there was another way, or it could do without.
    survived: u32,
}

/// What was found on one entry.
#[derive(Debug, Default)]
pub(crate) struct Found {
    sites: BTreeMap<Stack, Ends>,
    faults: u32,
}

/// The machine under test and the results so far.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) heaps: Vec<HeapInfo>,
    tracer: Tracer,
    tap: Tap,
    /// The sites of all entries, each once.
    sites: BTreeSet<Stack>,
    /// Print each site.
    verbose: bool,
}

impl Sweep {
    pub(crate) fn new(tap: Tap, tracer: Tracer, verbose: bool) -> Self {
        Self {
            heaps: Vec::new(),
            tracer,
            tap,
            sites: BTreeSet::new(),
            verbose,
        }
    }

    /// Sweeps a call of this thread. For each of its allocations `prepare` makes
    /// something, `call` has the fault in it, and what both made is dropped.
    pub(crate) fn call<T, R>(
        &mut self,
        entry: &Entry<'_>,
        prepare: impl FnMut() -> Result<T, Failure>,
        call: impl FnMut(&mut T) -> Outcome<R>,
    ) {
        match Injection::of_this_thread() {
            Ok(injection) => self.task(entry, &injection, prepare, call),
            Err(failure) => self.report(entry, Err(failure)),
        }
    }

    /// The same for allocations of another task, or of this one by an injection
    /// that was opened earlier.
    pub(crate) fn task<T, R>(
        &mut self,
        entry: &Entry<'_>,
        injection: &Injection,
        prepare: impl FnMut() -> Result<T, Failure>,
        call: impl FnMut(&mut T) -> Outcome<R>,
    ) {
        self.checked(entry, injection, prepare, call, |_| Ok(()));
    }

    /// The same, with a look at what a call has made that succeeded in spite of
    /// a fault.
    pub(crate) fn checked<T, R>(
        &mut self,
        entry: &Entry<'_>,
        injection: &Injection,
        prepare: impl FnMut() -> Result<T, Failure>,
        call: impl FnMut(&mut T) -> Outcome<R>,
        check: impl FnMut(&R) -> Result<(), Failure>,
    ) {
        let found = self.sweep(
            entry,
            injection,
            Run {
                prepare,
                call,
                check,
            },
        );
        self.report(entry, found);
    }

    fn sweep<T, R>(
        &mut self,
        entry: &Entry<'_>,
        injection: &Injection,
        mut run: Run<
            impl FnMut() -> Result<T, Failure>,
            impl FnMut(&mut T) -> Outcome<R>,
            impl FnMut(&R) -> Result<(), Failure>,
        >,
    ) -> Result<Found, Failure> {
        // The first makes what stays for good, in the kernel and here.
        for _ in 0..2 {
            works(&mut run).map_err(|failure| prefixed("without a fault", failure))?;
        }
        self.settle()?;
        let before = State::now(&self.heaps)?;
        let pages = state::pages(MODULE_NAME)?;
        let mut found = Found::default();

        if entry.every {
            let mut n = 1;
            while self.strike(entry, injection, &before, &mut found, n, &mut run)? == Injected::Yes
            {
                n += 1;
            }
        }
        // No two runs are quite alike, so numbers alone may miss some.
        let mut round = 0;
        loop {
            let task = injection.task();
            let mut subject = (run.prepare)()?;
            let all = self
                .tracer
                .all_of_task(task, || observe(injection, &mut run, &mut subject))?;
            drop(subject);
            let missing = found.missing(&all);
            if missing.is_empty() {
                break;
            }
            round += 1;
            if round > ROUNDS {
                let names: Vec<String> = missing
                    .iter()
                    .filter_map(|n| all.get(n - 1))
                    .map(Stack::to_string)
                    .collect();
                return fail(format!(
                    "not failed in {ROUNDS} rounds: {}",
                    names.join("\n")
                ));
            }
            for n in missing {
                let n = u32::try_from(n)?;
                self.strike(entry, injection, &before, &mut found, n, &mut run)?;
            }
        }
        self.settle()?;
        before.expect(&self.heaps)?;
        let now = state::pages(MODULE_NAME)?;
        if now > pages {
            return fail(format!("the module has {now:?} pages instead of {pages:?}"));
        }
        Ok(found)
    }

    /// Has the `n`th allocation fail, if there are so many.
    fn strike<T, R>(
        &mut self,
        entry: &Entry<'_>,
        injection: &Injection,
        before: &State,
        found: &mut Found,
        n: u32,
        run: &mut Run<
            impl FnMut() -> Result<T, Failure>,
            impl FnMut(&mut T) -> Outcome<R>,
            impl FnMut(&R) -> Result<(), Failure>,
        >,
    ) -> Result<Injected, Failure> {
        let mut subject = (run.prepare)()?;
        self.tracer.take()?;
        injection.arm(n)?;
        let outcome = (run.call)(&mut subject);
        let injected = injection.disarm();
        let ended = outcome.as_ref().map(drop).map_err(|errno| *errno);
        let checked = outcome.as_ref().map_or(Ok(()), &mut run.check);
        drop(outcome);
        drop(subject);
        // Not before: if a load is swept, the module is gone now, whether the load
        // has failed or not, and what stands for its functions is the same.
        let stacks = self.tracer.take()?;

        if injected? == Injected::No {
            ended.map_err(|errno| Failure(format!("without a fault: {errno}")))?;
            return Ok(Injected::No);
        }
        if self.verbose {
            eprintln!("{}: fault {n}: {ended:?}", entry.name);
        }
        let stack = one(stacks).map_err(|failure| prefixed(&format!("fault {n}"), failure))?;
        let place = || format!("fault {n}, in {stack}");
        if let Err(errno) = ended {
            if !entry.errors.contains(&errno) {
                return fail(format!("{errno} is not documented for it: {}", place()));
            }
        }
        // A call that takes long and has succeeded shows itself that calls still
        // work.
        let shown = ended.is_ok() && !entry.every;
        checked
            .and_then(|()| before.expect(&self.heaps))
            .and_then(|()| if shown { Ok(()) } else { works(run) })
            .and_then(|()| before.expect(&self.heaps))
            .map_err(|failure| prefixed(&place(), failure))?;

        found.faults += 1;
        let ends = found.sites.entry(stack).or_default();
        ends.numbers.push(n);
        match ended {
            Ok(()) => ends.survived += 1,
            Err(_) => ends.refused += 1,
        }
        Ok(Injected::Yes)
    }

    /// Has the pools give back what they hold, so that what is left is a leak.
    fn settle(&self) -> Result<(), Failure> {
        for heap in &self.heaps {
            let (Some(sysfs), Some(cap)) = (&heap.sysfs, heap.attribute("pool_cap")) else {
                continue;
            };
            let knob = sysfs.join("pool_cap");
            std::fs::write(&knob, "0")?;
            match heap.attribute("pool_held") {
                Some(0) => {}
                held => return fail(format!("with pool_cap 0, pool_held is {held:?}")),
            }
            std::fs::write(&knob, cap.to_string())?;
        }
        Ok(())
    }

    pub(crate) fn report(&mut self, entry: &Entry<'_>, found: Result<Found, Failure>) {
        let found = match found {
            Ok(found) => found,
            Err(Failure(what)) => {
                self.tap.fail(entry.name, &what);
                return;
            }
        };
        let (ours, importer, kernel) = found.by_module();
        let (refused, survived) = found.ends();
        self.tap.pass(&format!(
            "{}: {} allocation sites failed, none is left ({ours} below the module, {importer} \
                 of the importer, {kernel} of the kernel alone); of {} faults {refused} were \
                 refused, {survived} done without; 0 leaks",
            entry.name,
            found.sites.len(),
            found.faults,
        ));
        if self.verbose {
            for (stack, ends) in &found.sites {
                self.tap.note(&format!(
                    "faults {:?}, {} refused, {} done without: {}",
                    ends.numbers, ends.refused, ends.survived, stack
                ));
            }
        }
        self.sites.extend(found.sites.into_keys());
    }

    /// Says that an entry cannot be swept.
    pub(crate) fn failed(&mut self, name: &str, failure: &Failure) {
        self.tap.fail(name, &failure.0);
    }

    /// Prints the sums.
    pub(crate) fn finish(mut self) -> std::process::ExitCode {
        let ours = |stack: &&Stack| stack.passes(MODULE_NAME);
        self.tap.note(&format!(
            "all entries: {} distinct allocation sites, of which {} below functions of {MODULE_NAME}",
            self.sites.len(),
            self.sites.iter().filter(ours).count()
        ));
        self.tap.finish()
    }
}

impl Found {
    /// The numbers, from 1 on, of the first allocations of sites that have not
    /// failed yet.
    fn missing(&self, all: &[Stack]) -> Vec<usize> {
        let mut seen = BTreeSet::new();
        (1..)
            .zip(all)
            .filter(|(_, stack)| {
                !stack.is_internal() && !self.sites.contains_key(*stack) && seen.insert(*stack)
            })
            .map(|(n, _)| n)
            .collect()
    }

    /// Sites below the module, those of the importer, and all others.
    fn by_module(&self) -> (usize, usize, usize) {
        let (mut ours, mut importer, mut kernel) = (0, 0, 0);
        for stack in self.sites.keys() {
            if stack.passes(MODULE_NAME) {
                ours += 1;
            } else if stack.passes(IMPORTER_NAME) {
                importer += 1;
            } else {
                kernel += 1;
            }
        }
        (ours, importer, kernel)
    }

    fn ends(&self) -> (u32, u32) {
        let sum = |of: fn(&Ends) -> u32| self.sites.values().map(of).sum();
        (sum(|ends| ends.refused), sum(|ends| ends.survived))
    }
}

/// A call without a fault, but armed as one with.
fn observe<T, R, K>(
    injection: &Injection,
    run: &mut Run<impl FnMut() -> Result<T, Failure>, impl FnMut(&mut T) -> Outcome<R>, K>,
    subject: &mut T,
) -> Result<(), Failure> {
    injection.arm(MOST)?;
    let outcome = (run.call)(subject);
    injection.disarm()?;
    match outcome {
        Ok(_) => Ok(()),
        Err(errno) => fail(format!("without a fault: {errno}")),
    }
}

/// The stack of the one fault.
fn one(stacks: Vec<Stack>) -> Result<Stack, Failure> {
    let mut stacks = stacks.into_iter();
    match (stacks.next(), stacks.next()) {
        (Some(stack), None) => Ok(stack),
        (Some(first), Some(second)) => fail(format!("two faults: {first:?} and {second:?}")),
        (None, _) => fail("the tracer has not seen it"),
    }
}

fn works<T, R, K>(
    run: &mut Run<impl FnMut() -> Result<T, Failure>, impl FnMut(&mut T) -> Outcome<R>, K>,
) -> Result<(), Failure> {
    let mut subject = (run.prepare)()?;
    match (run.call)(&mut subject) {
        Ok(_) => Ok(()),
        Err(errno) => fail(format!("the next call gives {errno}")),
    }
}

fn prefixed(what: &str, Failure(why): Failure) -> Failure {
    Failure(format!("{what}: {why}"))
}
