//! What an agent measured, as it lies in a `METRICS` frame and as an edge may show it.

use std::collections::BTreeSet;

use bytes::BufMut;

use crate::wire::{Malformed, Reader, TooLong, put_bytes8, put_bytes16};

/// Series that one agent may have; a histogram has one for each bound and three more.
pub const SERIES_MAX: usize = 4096;
/// Families of one agent.
pub const FAMILIES_MAX: usize = 256;
/// Labels of a family.
pub const LABELS_MAX: usize = 8;
/// Bounds of a histogram.
pub const BUCKETS_MAX: usize = 64;
/// Bytes of a label's value.
pub const VALUE_BYTES_MAX: usize = 256;
/// Bytes of the name of a family or of a label.
pub const NAME_BYTES_MAX: usize = 100;
/// Bytes of what a family says of itself; the rest is cut.
const HELP_BYTES_MAX: usize = 500;
/// Labels that the edge sets, or that a histogram has.
const TAKEN_LABELS: [&str; 2] = ["agent", "le"];

/// What an agent measured: every family with its values since the agent began.
///
/// One that was read from a frame is fit to be shown: what is not, or goes beyond the bounds of this
/// module, was left out and counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// No two have the same name.
    pub families: Vec<Family>,
    /// Series that are not among them.
    pub left_out: u32,
    /// Why the first of them is not.
    pub why: Option<&'static str>,
}

/// Series of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name, to which the edge adds what it is of.
    pub name: String,
    /// What the values are.
    pub kind: MetricKind,
    /// What they mean, for people.
    pub help: String,
    /// Names of the labels.
    pub labels: Vec<String>,
    /// Upper bounds of a histogram's buckets, rising; the last bucket has none.
    pub bounds: Vec<f64>,
    /// No two have the same values of labels.
    pub series: Vec<Series>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// A value for each label.
    pub values: Vec<String>,
    /// What was measured; of the family's kind.
    pub value: Measured,
}

/// What the values of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MetricKind {
    /// They only rise, until the agent begins anew.
    Counter = 0,
    /// They rise and fall.
    Gauge = 1,
    /// Each counts how many measurements lay within which bound.
    Histogram = 2,
}

impl MetricKind {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Counter, Self::Gauge, Self::Histogram].into_iter().find(|kind| *kind as u8 == number)
    }

    /// The name in the text format of Prometheus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A value that was measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// Of a counter.
    Counter(u64),
    /// Of a gauge.
    Gauge(f64),
    /// Of a histogram.
    Histogram {
        /// Measurements in each bucket, and in the last those beyond all bounds.
        buckets: Vec<u64>,
        /// All measurements together.
        sum: f64,
    },
}

impl Report {
    /// Writes what fits `max` bytes; the rest is counted as left out.
    pub(crate) fn write(&self, out: &mut Vec<u8>, max: usize) {
        let start = out.len();
        out.put_u32(0);
        out.put_u16(0);
        let (mut left_out, mut families) = (self.left_out, 0_u16);
        for family in &self.families {
            let before = out.len();
            let missing = match family.write(out, start + max) {
                Ok(missing) if families < u16::MAX => {
                    families += 1;
                    missing
                }
                _ => {
                    out.truncate(before);
                    family.series.len()
                }
            };
            left_out = left_out.saturating_add(u32::try_from(missing).unwrap_or(u32::MAX));
        }
        out[start..start + 4].copy_from_slice(&left_out.to_be_bytes());
        out[start + 4..start + 6].copy_from_slice(&families.to_be_bytes());
    }

    /// Reads a payload. What breaks the form is malformed; what has it and cannot be shown is left out.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let mut report = Self { left_out: reader.u32()?, ..Self::default() };
        if report.left_out > 0 {
            report.why = Some("there are more than fit a frame");
        }
        let (mut names, mut room) = (BTreeSet::new(), SERIES_MAX);
        for _ in 0..reader.u16()? {
            let definition = Definition::read(&mut reader)?;
            let flaw = definition.flaw().or_else(|| match names.len() < FAMILIES_MAX {
                true => (!names.insert(definition.name)).then_some("a name comes twice"),
                false => Some("there are too many families"),
            });
            report.take(&mut reader, &definition, (flaw, &mut room))?;
        }
        reader.end()?;
        Ok(report)
    }

    /// Reads the series of a family, and keeps those that can be shown.
    fn take<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        definition: &Definition<'a>,
        (flaw, room): (Option<&'static str>, &mut usize),
    ) -> Result<(), Malformed> {
        let count = reader.u16()?;
        let mut series = Vec::new();
        for _ in 0..count {
            let (values, value) = definition.read_series(reader)?;
            let cost = definition.series_cost();
            let flaw = flaw
                .or_else(|| series_flaw(&values, &value))
                .or_else(|| (cost > *room).then_some("there are too many series"));
            if let Some(flaw) = flaw {
                self.leave_out(flaw);
                continue;
            }
            *room -= cost;
            series.push(Series { values: values.into_iter().map(str::to_owned).collect(), value });
        }
        let before = series.len();
        series.sort_by(|one, other| one.values.cmp(&other.values));
        series.dedup_by(|one, other| one.values == other.values);
        (series.len()..before).for_each(|_| self.leave_out("a series comes twice"));
        if !series.is_empty() {
            self.families.push(definition.family(series));
        }
        Ok(())
    }

    fn leave_out(&mut self, why: &'static str) {
        self.left_out = self.left_out.saturating_add(1);
        self.why.get_or_insert(why);
    }

    /// Number of series.
    pub fn series_len(&self) -> usize {
        self.families.iter().map(|family| family.series.len()).sum()
    }
}

impl Family {
    /// Writes as many series as end before `end`, and returns how many do not.
    fn write(&self, out: &mut Vec<u8>, end: usize) -> Result<usize, TooLong> {
        let Self { name, kind, help, labels, bounds, series } = self;
        put_bytes8(out, name.as_bytes())?;
        out.put_u8(*kind as u8);
        put_bytes16(out, help.as_bytes())?;
        out.put_u8(u8::try_from(labels.len()).map_err(|_| TooLong)?);
        labels.iter().try_for_each(|label| put_bytes8(out, label.as_bytes()))?;
        out.put_u8(u8::try_from(bounds.len()).map_err(|_| TooLong)?);
        bounds.iter().for_each(|bound| out.put_f64(*bound));
        let count_at = out.len();
        out.put_u16(0);
        if out.len() > end {
            return Err(TooLong);
        }
        let mut count = 0_u16;
        for one in series {
            let before = out.len();
            if one.write(out).is_err() || out.len() > end || count == u16::MAX {
                out.truncate(before);
                break;
            }
            count += 1;
        }
        out[count_at..count_at + 2].copy_from_slice(&count.to_be_bytes());
        Ok(series.len() - usize::from(count))
    }
}

impl Series {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        self.values.iter().try_for_each(|value| put_bytes16(out, value.as_bytes()))?;
        match &self.value {
            Measured::Counter(value) => out.put_u64(*value),
            Measured::Gauge(value) => out.put_f64(*value),
            Measured::Histogram { buckets, sum } => {
                buckets.iter().for_each(|count| out.put_u64(*count));
                out.put_f64(*sum);
            }
        }
        Ok(())
    }
}

/// What comes before the series of a family.
struct Definition<'a> {
    name: &'a str,
    kind: MetricKind,
    help: &'a str,
    labels: Vec<&'a str>,
    bounds: Vec<f64>,
}

impl<'a> Definition<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let name = reader.text8()?;
        let kind = MetricKind::from_number(reader.u8()?);
        let kind = kind.ok_or(Malformed("a kind of metric that does not exist"))?;
        let help = reader.text16()?;
        let labels = (0..reader.u8()?).map(|_| reader.text8()).collect::<Result<_, _>>()?;
        let bounds: Vec<f64> = (0..reader.u8()?).map(|_| reader.f64()).collect::<Result<_, _>>()?;
        if kind != MetricKind::Histogram && !bounds.is_empty() {
            return Err(Malformed("bounds of what is no histogram"));
        }
        Ok(Self { name, kind, help, labels, bounds })
    }

    /// Why nothing of it can be shown.
    fn flaw(&self) -> Option<&'static str> {
        let Self { name, kind: _, help: _, labels, bounds } = self;
        let is_rising = bounds.is_sorted_by(|one, next| one < next);
        let flaws = [
            (!is_name(name), "a name is not one of Prometheus"),
            (labels.len() > LABELS_MAX, "a family has too many labels"),
            (
                !labels.iter().all(|label| is_label(label)),
                "a label's name is not one of Prometheus, or is taken",
            ),
            (has_twice(labels), "a label comes twice"),
            (bounds.len() > BUCKETS_MAX, "a histogram has too many bounds"),
            (!is_rising || !bounds.iter().all(|bound| bound.is_finite()), "bounds do not rise"),
        ];
        flaws.into_iter().find_map(|(is_there, flaw)| is_there.then_some(flaw))
    }

    fn read_series(&self, reader: &mut Reader<'a>) -> Result<(Vec<&'a str>, Measured), Malformed> {
        let values = self.labels.iter().map(|_| reader.text16()).collect::<Result<_, _>>()?;
        let value = match self.kind {
            MetricKind::Counter => Measured::Counter(reader.u64()?),
            MetricKind::Gauge => Measured::Gauge(reader.f64()?),
            MetricKind::Histogram => {
                let buckets = (0..=self.bounds.len()).map(|_| reader.u64());
                let buckets = buckets.collect::<Result<_, _>>()?;
                Measured::Histogram { buckets, sum: reader.f64()? }
            }
        };
        Ok((values, value))
    }

    fn series_cost(&self) -> usize {
        series_cost(self.kind, self.bounds.len())
    }

    fn family(&self, series: Vec<Series>) -> Family {
        let Self { name, kind, help, labels, bounds } = self;
        Family {
            name: (*name).to_owned(),
            kind: *kind,
            help: help[..help.floor_char_boundary(HELP_BYTES_MAX)].to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            bounds: bounds.clone(),
            series,
        }
    }
}

/// How many series of Prometheus one of ours is.
pub(crate) fn series_cost(kind: MetricKind, bounds: usize) -> usize {
    match kind {
        MetricKind::Counter | MetricKind::Gauge => 1,
        MetricKind::Histogram => bounds + 3,
    }
}

/// Whether a family may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a label may have this name.
pub(crate) fn is_label(name: &str) -> bool {
    is_name(name) && !name.starts_with("__") && !TAKEN_LABELS.contains(&name)
}

fn has_twice(labels: &[&str]) -> bool {
    labels.iter().enumerate().any(|(at, label)| labels[..at].contains(label))
}

fn series_flaw(values: &[&str], value: &Measured) -> Option<&'static str> {
    let is_finite = match value {
        Measured::Counter(_) => true,
        Measured::Gauge(value) | Measured::Histogram { sum: value, .. } => value.is_finite(),
    };
    match values.iter().all(|value| value.len() <= VALUE_BYTES_MAX) {
        false => Some("a label's value is too long"),
        true => (!is_finite).then_some("a value is no number"),
    }
}
