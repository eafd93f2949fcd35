//! What is asked of a value.

use std::{net::IpAddr, ops::RangeInclusive};

use super::{Reading, property};
use crate::{
    native::{
        syntax::{At, Node, Value},
        words::{CONDITIONS, Takes, look_up},
    },
    rule::{Network, Operator, Text},
};

/// What is asked of a value.
pub(super) struct Condition {
    pub(super) operator: Operator,
    pub(super) negated: bool,
    /// Whether it is asked of the value's length.
    pub(super) length: bool,
    /// Whether it is asked of the number of values.
    pub(super) count: bool,
}

impl Reading {
    /// Reads the only condition among `children`; `lower`: it will see lower case.
    pub(super) fn condition(
        &self,
        parent: &Node,
        children: &[Node],
        lower: bool,
    ) -> Option<Condition> {
        let is_condition = |node: &&Node| look_up(CONDITIONS, &node.name.value).is_some();
        let mut found = children.iter().filter(is_condition);
        let Some(node) = found.next() else {
            let known: Vec<&str> = CONDITIONS.iter().map(|(word, _)| *word).collect();
            let help = format!("add one of `{}`", known.join("`, `"));
            self.fault(parent.name.at, format!("this `{}` asks nothing", parent.name.value), help);
            return None;
        };
        if let Some(second) = found.next() {
            let help = "put it into an `and { … }`";
            self.fault(second.name.at, "a second condition", help);
        }
        let negated = self.negated(node);
        let word = node.name.value.as_str();
        Some(Condition {
            operator: self.operator(node, lower)?,
            negated: negated?,
            length: word == "longer-than",
            count: word == "count",
        })
    }

    fn negated(&self, node: &Node) -> Option<bool> {
        match property(node, "not").map(|written| (&written.value, written.at)) {
            None => Some(false),
            Some((Value::Flag(flag), _)) => Some(*flag),
            Some((_, at)) => {
                self.fault(at, "`not` is `#true` or `#false`", "write `not=#true`");
                None
            }
        }
    }

    fn operator(&self, node: &Node, lower: bool) -> Option<Operator> {
        let word = node.name.value.as_str();
        match look_up(CONDITIONS, word)? {
            Takes::Expression => self.expression(node, lower),
            Takes::Texts => self.of_texts(node, lower && word != "phrases"),
            Takes::Number => {
                let number = self.number(node, &["not"], 0..=u64::MAX)?;
                let number = Text::from(number.to_string().as_str());
                Some(if word == "below" { Operator::Lt(number) } else { Operator::Gt(number) })
            }
            Takes::Bounds => self.count(node),
            Takes::ByteRanges => {
                let texts = self.texts(node, &["not"])?;
                let ranges: Option<Vec<_>> =
                    texts.iter().map(|text| self.byte_range(*text)).collect();
                Some(Operator::ValidateByteRange(ranges?.into()))
            }
            Takes::Networks => {
                let texts = self.texts(node, &["not"])?;
                let networks: Option<Vec<_>> =
                    texts.iter().map(|text| self.network(*text)).collect();
                Some(Operator::IpMatch(networks?.into()))
            }
            Takes::Nothing => {
                self.complain_about_entries(node, 0, &["not"]);
                Some(match word {
                    "sqli" => Operator::DetectSqliText,
                    "xss" => Operator::DetectXssText,
                    "bad-percent-encoding" => Operator::ValidateUrlEncoding,
                    "bad-utf8" => Operator::ValidateUtf8Encoding,
                    _ => Operator::UnconditionalMatch,
                })
            }
        }
    }

    fn expression(&self, node: &Node, lower: bool) -> Option<Operator> {
        let pattern = self.one_text(node, &["not"])?;
        self.check_expression(At { value: pattern.value, at: pattern.at }, lower)?;
        Some(Operator::Rx(at_ends_of_value(pattern.value).into()))
    }

    fn of_texts(&self, node: &Node, lower: bool) -> Option<Operator> {
        let texts = self.texts(node, &["not"])?;
        for At { value, at } in &texts {
            if value.is_empty() {
                self.fault(*at, "nothing stands in every value", "write what to look for");
            }
            let letter = value.chars().find(char::is_ascii_uppercase).filter(|_| lower);
            letter.into_iter().for_each(|letter| self.complain_about_case(letter, *at));
        }
        let word = node.name.value.as_str();
        if word == "phrases" {
            let phrases = texts.iter().map(|text| text.value.as_bytes().into());
            return Some(Operator::Pm(phrases.collect::<Vec<_>>().into()));
        }
        if let [only] = texts.as_slice() {
            let text = Text::from(only.value.as_str());
            return Some(match word {
                "contains" => Operator::Contains(text),
                "equals" => Operator::StrEq(text),
                "begins" => Operator::BeginsWith(text),
                _ => Operator::EndsWith(text),
            });
        }
        let texts: Vec<String> =
            texts.iter().map(|text| regex_syntax::escape(text.value)).collect();
        let (start, end) = match word {
            "contains" => ("", ""),
            "equals" => (r"\A", r"\z"),
            "begins" => (r"\A", ""),
            _ => ("", r"\z"),
        };
        Some(Operator::Rx(format!("{start}(?:{}){end}", texts.join("|")).into()))
    }

    fn count(&self, node: &Node) -> Option<Operator> {
        let bounds = ["above", "below", "is"];
        self.complain_about_entries(node, 0, &["not", "above", "below", "is"]);
        let mut written = bounds.iter().filter_map(|name| Some((*name, property(node, name)?)));
        let (Some((name, number)), None) = (written.next(), written.next()) else {
            let help = "write one of `above=`, `below=` and `is=`";
            self.fault(node.name.at, "`count` compares with one number", help);
            return None;
        };
        let number = self.as_number(number, 0..=1_000_000)?.to_string();
        let number = Text::from(number.as_str());
        Some(match name {
            "above" => Operator::Gt(number),
            "below" => Operator::Lt(number),
            _ => Operator::Eq(number),
        })
    }

    fn byte_range(&self, text: At<&String>) -> Option<RangeInclusive<u8>> {
        let (start, end) = text.value.split_once('-').unwrap_or((text.value, text.value));
        let range = start.parse().ok().zip(end.parse().ok()).filter(|(start, end)| start <= end);
        if range.is_none() {
            let help = "write one number from 0 to 255, or two as in \"32-126\"";
            self.fault(text.at, format!("{:?} is no range of bytes", text.value), help);
        }
        range.map(|(start, end): (u8, u8)| start..=end)
    }

    fn network(&self, text: At<&String>) -> Option<Network> {
        let network = network(text.value);
        if network.is_none() {
            let help =
                "write an address, or one with the length of its prefix as in \"10.0.0.0/8\"";
            self.fault(text.at, format!("{:?} is no network", text.value), help);
        }
        network
    }
}

/// The engine finds `^` and `$` at lines, as SecLang wants it; rules here mean the value's ends.
fn at_ends_of_value(pattern: &str) -> String {
    let flags = if pattern.contains(['^', '$']) { "(?-m)" } else { "" };
    format!("{flags}{pattern}")
}

fn network(text: &str) -> Option<Network> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits: u8 = bits.unwrap_or(bits_max);
    (bits <= bits_max).then_some(Network { address, bits })
}
