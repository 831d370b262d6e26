// SPDX-License-Identifier: GPL-2.0

//! The command line.

/// What the user asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// What random numbers are made from.
    pub(crate) seed: Option<u64>,
    /// How many random sequences to test.
    pub(crate) sequences: Option<u64>,
    /// The topics to test; none means all.
    pub(crate) only: Vec<String>,
    /// The heaps to test; none means the module's.
    pub(crate) heaps: Vec<String>,
}

/// Why there are no options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoOptions {
    /// The user asked for help.
    Help,
    /// This is wrong.
    Wrong(String),
}

impl Options {
    /// Reads arguments; `topics` are the names that `--only` takes.
    pub(crate) fn parse<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
        topics: &[&str],
    ) -> Result<Self, NoOptions> {
        let mut options = Self::default();
        for argument in arguments {
            if matches!(argument, "-h" | "--help") {
                return Err(NoOptions::Help);
            } else if let Some(number) = argument.strip_prefix("--seed=") {
                let Some(seed) = number_of(number) else {
                    return wrong(format!("{number} is not a 64-bit number"));
                };
                options.seed = Some(seed);
            } else if let Some(number) = argument.strip_prefix("--sequences=") {
                match number_of(number) {
                    Some(count) if count > 0 => options.sequences = Some(count),
                    _ => return wrong(format!("{number} is no number of sequences")),
                }
            } else if let Some(names) = argument.strip_prefix("--only=") {
                for name in names.split(',') {
                    if !topics.contains(&name) {
                        return wrong(format!("there is no topic \"{name}\""));
                    }
                    options.only.push(name.to_owned());
                }
            } else if argument.starts_with('-') {
                return wrong(format!("there is no option {argument}"));
            } else {
                options.heaps.push(argument.to_owned());
            }
        }
        Ok(options)
    }

    /// Whether a topic is to be tested.
    pub(crate) fn wants(&self, topic: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == topic)
    }
}

fn wrong<T>(what: String) -> Result<T, NoOptions> {
    Err(NoOptions::Wrong(what))
}

/// A number, hexadecimal after `0x`.
fn number_of(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, NoOptions> {
        Options::parse(arguments.iter().copied(), &["abi", "zeroing"])
    }

    #[test]
    fn options_in_any_order() {
        let wanted = Options {
            seed: Some(31),
            sequences: Some(10_000),
            only: vec!["abi".into(), "zeroing".into()],
            heaps: vec!["one".into(), "two".into()],
        };
        assert_eq!(
            parse(&[
                "one",
                "--seed=0x1f",
                "--only=abi,zeroing",
                "two",
                "--sequences=10000"
            ]),
            Ok(wanted)
        );
        assert_eq!(parse(&["--seed=12"]).map(|o| o.seed), Ok(Some(12)));
    }

    #[test]
    fn without_only_every_topic_is_wanted() {
        assert!(parse(&[]).is_ok_and(|o| o.wants("abi") && o.wants("zeroing")));
        assert!(parse(&["--only=abi"]).is_ok_and(|o| o.wants("abi") && !o.wants("zeroing")));
    }

    #[test]
    fn mistakes_are_found() {
        assert_eq!(parse(&["--help"]), Err(NoOptions::Help));
        for argument in [
            "--seed=",
            "--seed=x",
            "--sequences=",
            "--sequences=0",
            "--only=",
            "--only=abi,x",
            "--oops",
        ] {
            assert!(matches!(parse(&[argument]), Err(NoOptions::Wrong(_))));
        }
    }
}
