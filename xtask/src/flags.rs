//! Command lines of the subcommands: words and `--name value`, nothing ignored.

use crate::Result;

/// A command line taken apart.
#[derive(Debug, Default)]
pub struct Flags {
    words: Vec<String>,
    values: Vec<(&'static str, String)>,
    switches: Vec<&'static str>,
}

impl Flags {
    /// Splits `arguments`; a flag that is in neither list is an error.
    pub fn parse(
        arguments: &[String],
        switches: &[&'static str],
        values: &[&'static str],
    ) -> Result<Self> {
        let mut flags = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if let Some(name) = switches.iter().find(|name| *name == argument) {
                flags.switches.push(name);
            } else if let Some(name) = values.iter().find(|name| *name == argument) {
                let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
                flags.values.push((name, value.clone()));
            } else if argument.starts_with('-') {
                let known = [switches, values].concat().join(", ");
                return Err(format!("unknown flag `{argument}`; known: {known}").into());
            } else {
                flags.words.push(argument.clone());
            }
        }
        Ok(flags)
    }

    /// The arguments that are not flags, in order.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether the switch `name` was given.
    pub fn has(&self, name: &str) -> bool {
        self.switches.contains(&name)
    }

    /// The values given for `name`, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.values.iter().filter(move |(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// The last value given for `name` as a number, or `default`.
    pub fn number(&self, name: &str, default: u64) -> Result<u64> {
        match self.all(name).last() {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("{name}: `{text}` is no number").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: std::result::Result<(&str, &str, bool), &str>) {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let found = Flags::parse(&arguments, &["--write"], &["--seconds"]);
        match (found, expected) {
            (Ok(flags), Ok((words, seconds, write))) => {
                assert_eq!(flags.words().join(" "), words);
                assert_eq!(flags.all("--seconds").last().unwrap_or(""), seconds);
                assert_eq!(flags.has("--write"), write);
            }
            (Err(error), Err(text)) => assert_eq!(error.to_string(), text),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn splits_words_from_flags() {
        check("", Ok(("", "", false)));
        check("h2 --seconds 5 tls --write", Ok(("h2 tls", "5", true)));
        check("--seconds", Err("--seconds needs a value"));
        check("--hours 3", Err("unknown flag `--hours`; known: --write, --seconds"));
    }
}
