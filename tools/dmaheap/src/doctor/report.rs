// SPDX-License-Identifier: GPL-2.0

//! What was found, and how it is printed.

use crate::output;
use serde::Serialize;
use std::fmt::Write as _;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Topic {
    Kernel,
    Build,
    Dkms,
    Signature,
    Module,
    Nodes,
    Areas,
    Iommu,
    Names,
    Confinement,
}

impl Topic {
    fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Build => "build",
            Self::Dkms => "DKMS",
            Self::Signature => "signature",
            Self::Module => "module",
            Self::Nodes => "nodes",
            Self::Areas => "areas",
            Self::Iommu => "IOMMU",
            Self::Names => "names",
            Self::Confinement => "confinement",
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Something does not work until it is mended.
    Problem,
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    topic: Topic,
    level: Level,
    text: String,
    remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(topic: Topic, text: impl Into<String>) -> Self {
        Self {
            topic,
            level: Level::Ok,
            text: text.into(),
            remedy: None,
        }
    }

    pub(super) fn note(topic: Topic, text: impl Into<String>) -> Self {
        Self {
            level: Level::Note,
            ..Self::ok(topic, text)
        }
    }

    /// With what mends it: a command that people paste, where there is one.
    pub(super) fn problem(
        topic: Topic,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Problem,
            remedy: Some(remedy.into()),
            ..Self::ok(topic, text)
        }
    }

    /// A problem if it stands in the way of something, else a note. The remedy is
    /// the same.
    pub(super) fn problem_if(
        is_problem: bool,
        topic: Topic,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level: if is_problem {
                Level::Problem
            } else {
                Level::Note
            },
            ..Self::problem(topic, text, remedy)
        }
    }

    pub(super) fn is(&self, level: Level) -> bool {
        self.level == level
    }

    #[cfg(test)]
    pub(super) fn topic(&self) -> Topic {
        self.topic
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    #[cfg(test)]
    pub(super) fn remedy(&self) -> &str {
        self.remedy.as_deref().unwrap_or_default()
    }
}

/// Whether there is one finding, of that level, which says so or is mended so.
#[cfg(test)]
pub(super) fn is_one(findings: &[Finding], level: Level, part: &str) -> bool {
    match findings {
        [it] => it.is(level) && (it.text().contains(part) || it.remedy() == part),
        _ => false,
    }
}

/// The whole answer as JSON: an object, so that it can grow.
#[derive(Debug, Serialize)]
struct Document<'a> {
    findings: &'a [Finding],
}

/// Prints the findings for people or programs.
pub(super) fn print(findings: &[Finding], json: bool) -> anyhow::Result<()> {
    if json {
        return output::print_json(&Document { findings });
    }
    output::print_text(&format(findings))
}

/// A line each, and a remedy on a line of its own, so that it can be pasted.
fn format(findings: &[Finding]) -> String {
    let mut text = String::new();
    for it in findings {
        let mark = match it.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Problem => "problem",
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "{mark:<8} {:<12} {}", it.topic.name(), it.text);
        if let Some(remedy) = &it.remedy {
            let _ = writeln!(text, "{:<22}{remedy}", "");
        }
    }
    let problems = findings.iter().filter(|it| it.is(Level::Problem)).count();
    text + &match problems {
        0 => "no problem\n".to_owned(),
        1 => "1 problem\n".to_owned(),
        more => format!("{more} problems\n"),
    }
}

/// A word as a shell reads it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,+:=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_is_below_its_problem() {
        let findings = [
            Finding::ok(Topic::Iommu, "none"),
            Finding::problem(Topic::Nodes, "closed", "sudo usermod -aG video $USER"),
        ];
        assert_eq!(
            format(&findings),
            "ok       IOMMU        none\n\
             problem  nodes        closed\n                      sudo usermod -aG video $USER\n\
             1 problem\n"
        );
        assert!(format(&[]).ends_with("no problem\n"));
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("/dev/dma_heap/linux,cma"), "/dev/dma_heap/linux,cma");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
