// SPDX-License-Identifier: GPL-2.0

//! What DKMS lacked, as `make kdir` has said it: lines `error: TEXT`, each with
//! lines of advice below it.

/// Something that was missing, and what mends it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) text: String,
    pub(super) remedy: String,
}

/// Reads a file of /var/lib/rust-dma-heap/missing.
pub(super) fn parse(text: &str) -> Vec<Missing> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        if let Some(error) = line.strip_prefix("error: ") {
            found.push((error.trim_end_matches('.').to_owned(), Vec::new()));
        } else if let Some((_, advice)) = found.last_mut() {
            advice.push(line.trim());
        }
    }
    found
        .into_iter()
        .map(|(text, advice)| {
            // Where no line is a command, all of them are the advice.
            let remedy = advice
                .iter()
                .find_map(|line| command(line))
                .unwrap_or_else(|| advice.join(" "));
            Missing { text, remedy }
        })
        .collect()
}

/// The command that a line of advice means.
fn command(advice: &str) -> Option<String> {
    if let Some(command) = advice.strip_prefix("Install it: ") {
        return Some(format!("sudo {command}"));
    }
    let packages = advice
        .strip_prefix("Install the packages ")
        .or_else(|| advice.strip_prefix("Install the package "))?;
    // A point may be in a name, too, as in linux-headers-7.3.4.
    Some(format!(
        "sudo apt install {}",
        packages.trim_end_matches('.')
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(text: &str, remedy: &str) -> Missing {
        let (text, remedy) = (text.to_owned(), remedy.to_owned());
        Missing { text, remedy }
    }

    #[test]
    fn each_error_has_its_command() {
        let text = "\
error: the source of Rust's own libraries is missing (/usr/lib/rust).
       Install the package rust-src.
error: programs and files are missing.
       Install the packages flex bison libelf-dev.
error: the kernel's source is missing: linux-source-7.3 in version 7.3.4-1, that of the headers.
       Installed is none.
       Install it: apt install linux-source-7.3=7.3.4-1
       or name a copy of it: make kdir SOURCE=/path/to/linux-source-7.3.tar.xz
error: the headers of the kernel 7.3.4 are not installed (/lib/modules/7.3.4/build).
       Install the package linux-headers-7.3.4.
error: /var/lib has 3 MiB free, and this needs 1200 MiB for a while.
       Free some space, or make /var/lib a link to a place that has it.
";
        let kernel = "the kernel's source is missing: linux-source-7.3 in version 7.3.4-1, that of \
                      the headers";
        assert_eq!(
            parse(text),
            [
                missing(
                    "the source of Rust's own libraries is missing (/usr/lib/rust)",
                    "sudo apt install rust-src"
                ),
                missing(
                    "programs and files are missing",
                    "sudo apt install flex bison libelf-dev"
                ),
                missing(kernel, "sudo apt install linux-source-7.3=7.3.4-1"),
                missing(
                    "the headers of the kernel 7.3.4 are not installed (/lib/modules/7.3.4/build)",
                    "sudo apt install linux-headers-7.3.4"
                ),
                missing(
                    "/var/lib has 3 MiB free, and this needs 1200 MiB for a while",
                    "Free some space, or make /var/lib a link to a place that has it."
                ),
            ]
        );
    }

    #[test]
    fn nothing_is_missing_in_an_empty_file() {
        assert_eq!(parse(""), []);
        assert_eq!(parse("  stray\n"), []);
    }
}
