// SPDX-License-Identifier: GPL-2.0

//! Who may open a heap.

use crate::Test;
use crate::child;
use crate::child::Role;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::fail;
use crate::outcome::skip;
use crate::target::Target;
use dma_heap::Errno;
use std::os::unix::process::CommandExt as _;

pub(crate) const TESTS: &[Test] = &[("a user without rights cannot open the node", others)];

/// A user and group that own nothing, by tradition.
const NOBODY: u32 = 65534;

fn others(target: &Target) -> TestResult {
    let info = target.info();
    if info.uid != 0 || info.gid != 0 || info.mode != 0o600 {
        return skip(format!(
            "the node is not root's alone (mode {:04o}, {}:{}), by a rule of this machine",
            info.mode, info.uid, info.gid
        ));
    }
    if !rustix::process::geteuid().is_root() {
        return skip("only root can become another user");
    }
    let mut command = child::command(Role::Open, target.name(), 0)?;
    let status = match command.uid(NOBODY).gid(NOBODY).status() {
        Ok(status) => status,
        Err(error) => {
            return skip(format!(
                "user {NOBODY} cannot run this program: {error}; put it where everyone can"
            ));
        }
    };
    match status.code() {
        Some(code) if code == Errno::ACCESS.raw_os_error() => Ok(Pass),
        Some(0) => fail(format!("user {NOBODY} has opened the node")),
        _ => fail(format!("the child ended with {status}")),
    }
}
