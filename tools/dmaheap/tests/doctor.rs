// SPDX-License-Identifier: GPL-2.0

//! `dmaheap doctor` on machines that are in order and on broken ones.

mod common;

use common::Result;
use common::machine::Machine;
use common::machine::USER;
use common::machine::VIDEO;
use dmaheap_schemas as schema;
use serde_json::Value;
use std::process::Output;

const RELEASE: &str = "7.3.4-test";
const MODULE: &str = "lib/modules/7.3.4-test/updates/dkms/rust_dma_heap.ko";
const HEAP: &str = "default_cma_region";
const NAMES: [&str; 3] = ["linux,cma", "reserved", "vidbuf_cached"];
const RELOAD: &str = "sudo modprobe -r rust_dma_heap && sudo modprobe rust_dma_heap";
const TRIGGER: &str = "sudo udevadm trigger --action=change --subsystem-match=dma_heap \
                       --subsystem-match=rust_dma_heap";

/// A machine on which all is well: Debian's kernel, the packages, a heap.
fn good() -> Result<Option<Machine>> {
    let Some(machine) = Machine::new()? else {
        return Ok(None);
    };
    let sysfs = format!("sys/class/dma_heap/{HEAP}");
    for (path, text) in [
        ("proc/sys/kernel/osrelease", RELEASE),
        ("proc/modules", "rust_dma_heap 90000 0 - Live 0x0\n"),
        ("proc/cmdline", "root=/dev/vda1 cma=64M\n"),
        ("proc/mounts", "udev /dev devtmpfs rw 0 0\n"),
        (
            "boot/config-7.3.4-test",
            "CONFIG_RUST=y\nCONFIG_DMA_SHARED_BUFFER=y\nCONFIG_DMA_CMA=y\n",
        ),
        ("lib/modules/7.3.4-test/build/.config", "CONFIG_RUST=y\n"),
        ("lib/modules/7.3.4-test/build/rust/core.rmeta", ""),
        (MODULE, "\0vermagic=7.3.4-test SMP\0"),
        ("sys/module/rust_dma_heap/initstate", "live\n"),
        ("sys/module/module/parameters/sig_enforce", "N\n"),
        ("sys/kernel/mm/cma/reserved/total_pages", "16384\n"),
        ("sys/kernel/iommu_groups/0/type", "DMA\n"),
        ("sys/dev/char/README", "not a folder of the kernel's\n"),
        (&format!("{sysfs}/dev"), &machine.number()),
        (&format!("{sysfs}/contiguous"), "1\n"),
        (&format!("{sysfs}/cacheable"), "1\n"),
        ("usr/lib/udev/rules.d/60-rust-dma-heap.rules", ""),
        ("usr/lib/udev/rules.d/90-rust-dma-heap-names.rules", ""),
        ("etc/passwd", "root:x:0:0::/:\nme:x:1000:1000::/:\n"),
        ("etc/group", "root:x:0:\nvideo:x:44:\nme:x:1000:\n"),
    ] {
        machine.write(path, text)?;
    }
    machine.node(&format!("dev/dma_heap/{HEAP}"))?;
    for name in NAMES {
        machine.node(&format!("dev/dma_heap/{name}"))?;
    }
    Ok(Some(machine))
}

/// The same after `modprobe -r`.
fn unload(machine: &Machine) -> Result {
    machine.write("proc/modules", "")?;
    machine.remove("sys/module/rust_dma_heap")?;
    machine.remove("sys/class/dma_heap")?;
    machine.remove("dev/dma_heap")
}

/// What a machine's problems are: topic, text and remedy. The output is like its schema,
/// and the status says whether there is a problem.
fn problems(machine: &Machine) -> Result<Vec<(String, String, String)>> {
    let output = machine.doctor(&["--json"]).output()?;
    let document = document(&output)?;
    let word = |finding: &Value, name: &str| {
        let word = finding.get(name).and_then(Value::as_str);
        word.unwrap_or_default().to_owned()
    };
    let findings = document.get("findings").and_then(Value::as_array);
    let problems: Vec<_> = findings
        .into_iter()
        .flatten()
        .filter(|it| word(it, "level") == "problem")
        .map(|it| (word(it, "topic"), word(it, "text"), word(it, "remedy")))
        .collect();
    let status = i32::from(!problems.is_empty());
    assert_eq!(output.status.code(), Some(status), "{problems:?}");
    Ok(problems)
}

fn document(output: &Output) -> Result<Value> {
    assert!(output.stderr.is_empty(), "{output:?}");
    let mut documents = schema::read("doctor", &output.stdout)?;
    Ok(documents.pop().unwrap_or_default())
}

/// The machine has this one problem.
fn has_one(machine: &Machine, topic: &str, text: &str, remedy: &str) -> Result {
    let found = problems(machine)?;
    assert_eq!(found.len(), 1, "{found:?}");
    has(&found, topic, text, remedy);
    Ok(())
}

fn has(found: &[(String, String, String)], topic: &str, text: &str, remedy: &str) {
    assert!(
        found
            .iter()
            .any(|it| it.0 == topic && it.1.contains(text) && it.2 == remedy),
        "no {text:?} with {remedy:?} in {found:#?}"
    );
}

#[test]
fn a_machine_in_order_has_no_problem() -> Result {
    let Some(machine) = good()? else {
        return Ok(());
    };
    assert_eq!(problems(&machine)?, []);
    let output = machine.doctor(&[]).output()?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "ok       kernel       7.3.4-test belongs to a supported series",
        "ok       nodes        you may open default_cma_region linux,cma reserved vidbuf_cached",
        "ok       areas        contiguous area reserved: ",
        "ok       IOMMU        1 IOMMU group, 1 strict",
        "ok       names        linux,cma reserved vidbuf_cached lead to default_cma_region",
        "ok       confinement  a systemd unit with DevicePolicy=closed needs DeviceAllow=char-dma_heap",
        "no problem",
    ] {
        assert!(
            text.lines().any(|it| it.starts_with(line)),
            "{line}: {text}"
        );
    }
    Ok(())
}

#[test]
fn this_machine_is_told_of_by_the_schema() -> Result {
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_dmaheap"))
        .args(["doctor", "--json"])
        .output()?;
    document(&output)?;
    Ok(())
}

#[test]
fn a_kernel_without_rust() -> Result {
    let Some(machine) = good()? else {
        return Ok(());
    };
    unload(&machine)?;
    machine.remove(MODULE)?;
    machine.write(
        "boot/config-7.3.4-test",
        "# CONFIG_RUST is not set\nCONFIG_DMA_SHARED_BUFFER=y\n",
    )?;
    let remedy = "sudo apt install {linux-base,linux-{image,headers}-$(dpkg \
                  --print-architecture),linux-source}/trixie-backports";
    has_one(&machine, "kernel", "is built without CONFIG_RUST", remedy)
}

#[test]
fn no_headers() -> Result {
    let Some(machine) = good()? else {
        return Ok(());
    };
    unload(&machine)?;
    machine.remove(MODULE)?;
    machine.remove("lib/modules/7.3.4-test/build")?;
    // A link that leads nowhere is what a purged package may leave.
    machine.link("lib/modules/7.3.4-test/build", "/usr/src/nowhere")?;
    let found = problems(&machine)?;
    let remedy = "sudo apt install linux-headers-7.3.4-test";
    has(&found, "build", "headers of the kernel 7.3.4-test", remedy);
    assert!(found.iter().all(|it| it.0 == "build"), "{found:?}");
    Ok(())
}

#[test]
fn a_module_that_is_not_signed_under_secure_boot() -> Result {
    let Some(machine) = good()? else {
        return Ok(());
    };
    unload(&machine)?;
    machine.write("var/lib/dkms/rust-dma-heap/0.1.0/source/dkms.conf", "")?;
    machine.write("var/lib/dkms/mok.pub", "CERTIFICATE")?;
    let efi = "sys/firmware/efi/efivars";
    machine.write(
        &format!("{efi}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"),
        b"\x06\0\0\0\x01",
    )?;
    let which = "-m rust-dma-heap -v 0.1.0 -k 7.3.4-test";
    let sign = format!(
        "sudo rm /{MODULE}; sudo dkms build --force {which} && sudo dkms install --force {which}"
    );
    let enrol = "sudo mokutil --import /var/lib/dkms/mok.pub && sudo reboot";
    for (file, text) in [
        ("sys/kernel/security/lockdown", "none [integrity]\n"),
        ("sys/module/module/parameters/sig_enforce", "Y\n"),
    ] {
        let found = problems(&machine)?;
        has(&found, "signature", "is not signed", &sign);
        has(&found, "signature", "trusts DKMS's key", enrol);
        assert!(found.iter().all(|it| it.0 == "signature"), "{found:?}");
        machine.write(file, text)?;
    }
    // Signed, it lacks the key alone; and with that, it is only to be loaded.
    machine.write(MODULE, "module~Module signature appended~\n")?;
    has_one(&machine, "signature", "trusts DKMS's key", enrol)?;
    machine.write(&format!("{efi}/MokListRT-605dab50"), "a CERTIFICATE")?;
    let load = "sudo modprobe rust_dma_heap";
    has_one(&machine, "module", "but not loaded", load)
}

#[test]
fn no_contiguous_area() -> Result {
    let Some(machine) = good()? else {
        return Ok(());
    };
    machine.remove("sys/kernel/mm/cma")?;
    machine.write("proc/cmdline", "quiet\n")?;
    machine.write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet\"\n")?;
    let remedy = "sudo mkdir -p /etc/default/grub.d && \
                  echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX cma=64M\"' | \
                  sudo tee /etc/default/grub.d/cma.cfg && sudo update-grub && sudo reboot";
    has_one(&machine, "areas", "boot with cma=64M or more", remedy)
}

#[test]
fn a_node_that_only_root_may_open() -> Result {
    let Some(machine) = good()? else {
        return Ok(());
    };
    // In a user namespace the user is the node's owner, too.
    machine.chmod(&format!("dev/dma_heap/{HEAP}"), 0)?;
    let text = "you may not open default_cma_region: only root may";
    has_one(&machine, "nodes", text, TRIGGER)?;
    machine.remove("usr/lib/udev/rules.d/60-rust-dma-heap.rules")?;
    let remedy = format!(
        "sudo cp tools/udev/*.rules /etc/udev/rules.d/ && sudo udevadm control --reload && {TRIGGER}"
    );
    has_one(&machine, "nodes", "rules are not installed", &remedy)
}

#[test]
fn a_node_of_a_group_that_the_user_is_not_in() -> Result {
    let Some(machine) = good()? else {
        return Ok(());
    };
    let node = format!("dev/dma_heap/{HEAP}");
    if machine.chown(&node, VIDEO).is_err() {
        println!("skipped: only root can give a file to another group");
        return Ok(());
    }
    machine.chmod(&node, 0o660)?;
    let text = "you may not open default_cma_region: the group video may";
    has_one(&machine, "nodes", text, "sudo usermod -aG video $USER")?;
    machine.write("etc/group", "video:x:44:you,me\n")?;
    has_one(&machine, "nodes", "not logged in again", "newgrp video")?;
    machine.chown(&node, USER)?;
    assert_eq!(problems(&machine)?, []);
    Ok(())
}

#[test]
fn a_name_that_is_taken() -> Result {
    let Some(machine) = good()? else {
        return Ok(());
    };
    machine.write("dev/dma_heap/system", "")?;
    let text = "/dev/dma_heap/system already exists and is a file";
    let remedy = format!("sudo rm /dev/dma_heap/system && {RELOAD}");
    has_one(&machine, "nodes", text, &remedy)?;
    // As it is when the module has refused to load.
    unload(&machine)?;
    machine.write("dev/dma_heap/system", "")?;
    let remedy = "sudo rm /dev/dma_heap/system && sudo modprobe rust_dma_heap";
    has(&problems(&machine)?, "nodes", text, remedy);
    Ok(())
}

#[test]
fn a_remedy_is_on_a_line_of_its_own() -> Result {
    let Some(machine) = good()? else {
        return Ok(());
    };
    for name in NAMES {
        machine.remove(&format!("dev/dma_heap/{name}"))?;
    }
    let output = machine.doctor(&[]).output()?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(1), "{text}");
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("problem  names        no nodes linux,cma reserved"));
    assert!(lines.next().is_some(), "{text}");
    assert_eq!(lines.next().map(str::trim), Some(TRIGGER), "{text}");
    assert_eq!(text.lines().last(), Some("1 problem"), "{text}");
    Ok(())
}
