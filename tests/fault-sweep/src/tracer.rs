// SPDX-License-Identifier: GPL-2.0

//! Which allocations there are, and which one it was that failed: the kernel's
//! tracer records the call stack of each that fault injection was asked about.
//!
//! The fault injection could print them into the kernel log, but not those of
//! allocations that must not warn (`__GFP_NOWARN`), as most of the module's are.

use crate::failure::Failure;
use crate::failure::at;
use crate::failure::fail;
use dma_heap::MODULE_NAME;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;

const TRACEFS: &str = "/sys/kernel/tracing";

/// An event for each time that fault injection is asked.
const GROUP: &str = "fault_sweep";
const EVENT: &str = "fault";
/// Of which failures are recorded.
const FAILING: &str = "fails == 1";
const PROBE: &str = "r:fault_sweep/fault should_fail_ex fails=$retval:u8";

/// The functions of fault injection itself, on top of each stack. Below them
/// begins what differs.
const INJECTION: [&str; 5] = [
    "should_fail_ex",
    "should_fail",
    "should_failslab",
    "should_fail_alloc_page",
    "should_fail_usercopy",
];

/// What stands on top of the stack of a return probe, beside the tracer's own
/// functions.
const PROBES: [&str; 3] = [
    "arch_rethook_trampoline",
    "arch_rethook_trampoline_callback",
    "rethook_trampoline_handler",
];

/// Functions where a stack ends: what is below them is the same for all.
const ENTRIES: [&str; 5] = [
    "do_syscall_64",
    "x64_sys_call",
    "entry_SYSCALL_64_after_hwframe",
    "asm_exc_page_fault",
    "ret_from_fork_asm",
];

/// The call stack of an allocation that failed, innermost function first, each
/// as `function+0x12/0x34 [module]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stack(pub(crate) Vec<String>);

/// The calls by which this program arms an injection, and looks what came of it.
const ARM: &str = "__x64_sys_pwrite64";
const DISARM: &str = "__x64_sys_pread64";

/// Where the stack of something that cannot fail in a sweep passes through: those
/// calls, and interrupts.
const NEVER_FAIL: [&str; 9] = [
    ARM,
    DISARM,
    "asm_common_interrupt",
    "asm_sysvec_apic_timer_interrupt",
    "asm_sysvec_call_function_single",
    "asm_sysvec_call_function",
    "asm_sysvec_reschedule_ipi",
    "handle_softirqs",
    "__do_softirq",
];

/// Functions that get memory for what the allocators keep, for what the sanitizers
/// note, and for trees of numbers and addresses, which grow now and then. Whether
/// they have to is a matter of what was done before, so that no run is like
/// another.
const INTERNAL: [&str; 11] = [
    "allocate_slab",
    "refill_objects",
    "refill_sheaf",
    "__pcs_replace_empty_main",
    "alloc_empty_sheaf",
    "__alloc_empty_sheaf",
    "__set_page_owner",
    "stack_depot_save_flags",
    "__kasan_populate_vmalloc",
    "mas_alloc_nodes",
    "radix_tree_node_alloc",
];

impl Stack {
    fn has_any(&self, names: &[&str]) -> bool {
        self.0.iter().any(|frame| names.contains(&function(frame)))
    }

    /// Whether it is by chance that a call comes here.
    pub(crate) fn is_internal(&self) -> bool {
        self.has_any(&INTERNAL)
    }

    fn may_fail(&self) -> bool {
        !self.has_any(&NEVER_FAIL) && !self.has_any(&crate::injection::ALLOCATING)
    }

    /// Whether a function of a module is in it.
    pub(crate) fn passes(&self, module: &str) -> bool {
        let suffix = format!("[{module}]");
        self.0.iter().any(|frame| frame.ends_with(&suffix))
    }
}

impl std::fmt::Display for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(" < "))
    }
}

/// The tracer at work. Dropping it removes the event.
#[derive(Debug)]
pub(crate) struct Tracer {
    pipe: OwnedFd,
    /// Which events are recorded, and whether any are. Open, for a task that is
    /// somebody else meanwhile.
    filter: File,
    switch: File,
    text: String,
}

fn put(path: &str, text: &str) -> Result<(), Failure> {
    at(path, std::fs::write(path, text))
}

fn open(path: &str) -> Result<File, Failure> {
    at(path, OpenOptions::new().write(true).open(path))
}

/// The same to a file that stays open.
fn put_again(file: &mut File, text: &str) -> Result<(), Failure> {
    file.rewind()?;
    Ok(file.write_all(text.as_bytes())?)
}

/// Adds a line to a file whose content else stays.
fn append(path: &str, text: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().append(true).open(path);
    at(
        path,
        file.and_then(|mut file| file.write_all(text.as_bytes())),
    )
}

impl Tracer {
    /// Makes the event. An error names what the kernel lacks.
    pub(crate) fn start() -> Result<Self, Failure> {
        let probes = format!("{TRACEFS}/kprobe_events");
        if !Path::new(&probes).exists() {
            return fail(format!(
                "{probes} is not there: the kernel needs CONFIG_KPROBE_EVENTS, and tracefs must be \
                 mounted (mount -t tracefs tracefs {TRACEFS})"
            ));
        }
        // An earlier run may have been killed.
        remove_event();
        append(&probes, PROBE)?;
        let event = format!("{TRACEFS}/events/{GROUP}/{EVENT}");
        put(&format!("{TRACEFS}/buffer_size_kb"), "8192")?;
        let mut filter = open(&format!("{event}/filter"))?;
        put_again(&mut filter, FAILING)?;
        put(&format!("{TRACEFS}/options/sym-offset"), "1")?;
        put(&format!("{TRACEFS}/options/stacktrace"), "1")?;
        put(&format!("{event}/enable"), "1")?;
        let mut switch = open(&format!("{TRACEFS}/tracing_on"))?;
        put_again(&mut switch, "1")?;
        let path = format!("{TRACEFS}/trace_pipe");
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe = rustix::fs::open(&path, flags, Mode::empty());
        Ok(Self {
            pipe: at(&path, pipe.map_err(Into::into))?,
            filter,
            switch,
            text: String::new(),
        })
    }

    /// The stacks of all that might have failed in a task while `run` runs.
    pub(crate) fn all_of_task(
        &mut self,
        task: u32,
        run: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Vec<Stack>, Failure> {
        self.take()?;
        put_again(&mut self.filter, &format!("common_pid == {task}"))?;
        let result = run();
        // To read what was recorded would be recorded, and so without end.
        put_again(&mut self.switch, "0")?;
        put_again(&mut self.filter, FAILING)?;
        let stacks = self.read();
        put_again(&mut self.switch, "1")?;
        result?;
        let mut stacks = armed(&stacks?).to_vec();
        stacks.retain(Stack::may_fail);
        Ok(stacks)
    }

    /// The stacks of all that was recorded since the last call.
    pub(crate) fn take(&mut self) -> Result<Vec<Stack>, Failure> {
        let mut stacks = self.read()?;
        stacks.retain(Stack::may_fail);
        Ok(stacks)
    }

    fn read(&mut self) -> Result<Vec<Stack>, Failure> {
        self.text.clear();
        let mut piece = [0; 4096];
        loop {
            match rustix::io::read(&self.pipe, &mut piece) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(len) => {
                    let piece = piece.get(..len).unwrap_or(&[]);
                    self.text.push_str(&String::from_utf8_lossy(piece));
                }
                Err(Errno::INTR) => {}
                Err(errno) => return fail(format!("{TRACEFS}/trace_pipe: {errno}")),
            }
        }
        if self.text.contains(" EVENTS]") {
            return fail("the tracer has lost events: its buffer is too small");
        }
        Ok(stacks(&self.text))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        remove_event();
    }
}

/// What cannot be removed is not there, or was refused by a machine that is to
/// be switched off anyway.
fn remove_event() {
    let _ = std::fs::write(format!("{TRACEFS}/options/stacktrace"), "0");
    let _ = std::fs::write(format!("{TRACEFS}/events/{GROUP}/{EVENT}/enable"), "0");
    let _ = append(
        &format!("{TRACEFS}/kprobe_events"),
        &format!("-:{GROUP}/{EVENT}"),
    );
}

/// The stacks in what the tracer prints: after a line that ends in
/// `<stack trace>`, one line for each function, with an arrow.
fn stacks(text: &str) -> Vec<Stack> {
    let mut stacks = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.ends_with("<stack trace>") {
            continue;
        }
        let mut frames = Vec::new();
        while let Some(frame) = lines.peek().and_then(|line| line.strip_prefix(" => ")) {
            frames.push(named(frame.trim_end()));
            lines.next();
        }
        stacks.push(Stack(trimmed(&frames)));
    }
    stacks
}

/// A function of a module that is no longer loaded has no name, only an address,
/// and each time that the module is loaded another one. The place in the page stays.
/// Of the modules only the one under test comes and goes.
fn named(frame: &str) -> String {
    /// In digits, the part of an address that is in its page.
    const IN_PAGE: usize = 3;
    match frame.strip_prefix("0x") {
        Some(address) => {
            let digits = address.get(address.len().saturating_sub(IN_PAGE)..);
            format!("...{} [{MODULE_NAME}]", digits.unwrap_or(address))
        }
        None => frame.to_owned(),
    }
}

/// Of what a task did, what it did while it was armed. Another task than this
/// program's does nothing else.
fn armed(stacks: &[Stack]) -> &[Stack] {
    let Some(arm) = stacks.iter().position(|stack| stack.has_any(&[ARM])) else {
        return stacks;
    };
    let rest = stacks.get(arm + 1..).unwrap_or(&[]);
    let len = rest.iter().position(|stack| stack.has_any(&[DISARM]));
    rest.get(..len.unwrap_or(rest.len())).unwrap_or(&[])
}

fn function(frame: &str) -> &str {
    frame.split('+').next().unwrap_or(frame)
}

/// The frames between the injection and the kernel's entry.
fn trimmed(frames: &[String]) -> Vec<String> {
    let is_top = |frame: &String| {
        let name = function(frame);
        INJECTION.contains(&name) || PROBES.contains(&name)
    };
    let first = frames.iter().rposition(is_top).map_or(0, |top| top + 1);
    frames
        .iter()
        .skip(first)
        .take_while(|frame| !ENTRIES.contains(&function(frame)))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_a_module_that_is_gone() {
        let text =
            |address: &str| format!(" x: <stack trace>\n => kmalloc+0x1/0x2\n => {address}\n");
        let one = stacks(&text("0xffffffffa0013fb1"));
        assert_eq!(one, stacks(&text("0xffffffffa0033fb1")));
        assert_ne!(one, stacks(&text("0xffffffffa0033fb5")));
        assert!(one.iter().all(|stack| stack.passes(MODULE_NAME)));
    }

    const TEXT: &str = "\
 sweep-77 [001] ..... 9.1: fault: (should_failslab+0x4/0x10 <- should_fail_ex) fails=1
 sweep-77 [001] ..... 9.1: <stack trace>
 => kretprobe_dispatcher+0x1/0x2
 => arch_rethook_trampoline+0x3/0x4
 => should_failslab+0x4/0x10
 => __kmalloc_noprof+0x9/0x20
 => take+0x5/0x6 [rust_dma_heap]
 => do_syscall_64+0x1/0x2
 => entry_SYSCALL_64_after_hwframe+0x1/0x2
 sweep-77 [001] ..... 9.2: fault: (x+0x4/0x10 <- should_fail_ex) fails=1
 sweep-77 [001] ..... 9.2: <stack trace>
 => arch_rethook_trampoline+0x3/0x4
 => _copy_from_user+0x4/0x10
";

    #[test]
    fn what_was_done_while_armed() {
        let stack = |name: &str| Stack(vec![format!("{name}+0x1/0x2")]);
        let of_this = ["vfs_write", ARM, "a", "b", DISARM, "vfs_read"].map(stack);
        assert_eq!(armed(&of_this), ["a", "b"].map(stack));
        let of_another = ["a", "b"].map(stack);
        assert_eq!(armed(&of_another), of_another);
    }

    #[test]
    fn stacks_are_cut_out() {
        let stacks = stacks(TEXT);
        let frames: Vec<&[String]> = stacks.iter().map(|stack| stack.0.as_slice()).collect();
        assert_eq!(
            frames,
            [
                &["__kmalloc_noprof+0x9/0x20", "take+0x5/0x6 [rust_dma_heap]"][..],
                &["_copy_from_user+0x4/0x10"],
            ]
        );
        let ours: Vec<bool> = stacks
            .iter()
            .map(|stack| stack.passes("rust_dma_heap"))
            .collect();
        assert_eq!(ours, [true, false]);
    }
}
