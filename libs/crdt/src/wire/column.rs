//! Columns: numbers of one meaning, in which what repeats is said once.

use super::{Malformed, Reader, put_varint, unzigzag, zigzag};

/// Shorter runs are cheaper as they are.
const RUN_MIN: usize = 3;

/// Writes numbers whose count the reader knows; one alone is just written.
pub(crate) fn put_column(out: &mut Vec<u8>, values: &[u64]) {
    if let [value] = values {
        return put_varint(out, *value);
    }
    let (mut literals, mut at) = (0, 0);
    while let Some(&value) = values.get(at) {
        let run = values[at..].iter().take_while(|other| **other == value).count();
        if run >= RUN_MIN {
            put_literals(out, &values[literals..at]);
            put_varint(out, (run as u64) << 1 | 1);
            put_varint(out, value);
            literals = at + run;
        }
        at += run;
    }
    put_literals(out, &values[literals..]);
}

fn put_literals(out: &mut Vec<u8>, values: &[u64]) {
    if !values.is_empty() {
        put_varint(out, (values.len() as u64) << 1);
        values.iter().for_each(|value| put_varint(out, *value));
    }
}

/// Writes a column of differences.
pub(crate) fn put_deltas(out: &mut Vec<u8>, values: &[u64]) {
    let mut last = 0;
    let differences: Vec<u64> = values
        .iter()
        .map(|value| {
            let difference = value.wrapping_sub(last) as i64;
            last = *value;
            zigzag(difference)
        })
        .collect();
    put_column(out, &differences);
}

/// Reads `count` numbers; the caller has compared `count` with a bound.
pub(crate) fn read_column(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u64>, Malformed> {
    if count == 1 {
        return Ok(vec![reader.varint()?]);
    }
    let mut values = Vec::with_capacity(count);
    let mut after_literals = false;
    while values.len() < count {
        let head = reader.varint()?;
        let len = usize::try_from(head >> 1).unwrap_or(usize::MAX);
        if len > count - values.len() {
            return Err(Malformed::Invalid("a column has too many numbers"));
        }
        if head & 1 == 1 {
            read_run(reader, len, &mut values)?;
        } else if after_literals || len == 0 {
            return Err(Malformed::NotCanonical("a column"));
        } else {
            read_literals(reader, len, &mut values)?;
        }
        after_literals = head & 1 == 0;
    }
    Ok(values)
}

fn read_run(reader: &mut Reader<'_>, len: usize, values: &mut Vec<u64>) -> Result<(), Malformed> {
    let value = reader.varint()?;
    if len < RUN_MIN || values.last() == Some(&value) {
        return Err(Malformed::NotCanonical("a column"));
    }
    values.resize(values.len() + len, value);
    Ok(())
}

fn read_literals(
    reader: &mut Reader<'_>,
    len: usize,
    values: &mut Vec<u64>,
) -> Result<(), Malformed> {
    let start = values.len();
    for at in start..start + len {
        let value = reader.varint()?;
        let continues_run = at == start && values.last() == Some(&value);
        let is_run = at >= start + 2 && values[at - 2..] == [value, value];
        if continues_run || is_run {
            return Err(Malformed::NotCanonical("a column"));
        }
        values.push(value);
    }
    Ok(())
}

/// Reads `count` numbers from their differences; the caller has compared `count` with a bound.
pub(crate) fn read_deltas(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u64>, Malformed> {
    let mut values = read_column(reader, count)?;
    let mut last = 0u64;
    for value in &mut values {
        last = last.wrapping_add(unzigzag(*value) as u64);
        *value = last;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(values: &[u64], expected: &[u8]) {
        let mut bytes = Vec::new();
        put_column(&mut bytes, values);
        assert_eq!(bytes, expected);
        assert_eq!(read_column(&mut Reader::new(&bytes), values.len()).unwrap(), values);
    }

    #[test]
    fn runs_and_what_lies_between() {
        check(&[], &[]);
        check(&[7], &[7]);
        check(&[7, 7], &[4, 7, 7]);
        check(&[7, 7, 7], &[7, 7]);
        check(&[1, 2, 7, 7, 7, 3], &[4, 1, 2, 7, 7, 2, 3]);
        check(&[7, 7, 7, 8, 8, 8, 8], &[7, 7, 9, 8]);
    }

    #[track_caller]
    fn check_refused(count: usize, bytes: &[u8]) {
        assert!(read_column(&mut Reader::new(bytes), count).is_err(), "{bytes:?}");
    }

    #[test]
    fn columns_have_one_spelling() {
        check_refused(2, &[2, 1, 2, 2]); // two blocks of literals
        check_refused(3, &[6, 7, 7, 7]); // a run as literals
        check_refused(2, &[5, 7]); // a run of two
        check_refused(4, &[7, 7, 2, 7]); // a run that goes on in literals
        check_refused(4, &[2, 7, 7, 7]); // a run that began in literals
        check_refused(6, &[7, 7, 7, 7]); // a run in two parts
        check_refused(2, &[0, 4, 7, 8]); // an empty block
        check_refused(2, &[7, 7]); // too many
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            values in prop::collection::vec(prop_oneof![0..3u64, any::<u64>()], 0..40),
        ) {
            let mut bytes = Vec::new();
            put_column(&mut bytes, &values);
            put_deltas(&mut bytes, &values);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(read_column(&mut reader, values.len()), Ok(values.clone()));
            prop_assert_eq!(read_deltas(&mut reader, values.len()), Ok(values));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn what_is_read_is_written_the_same(
            count in 0..12usize,
            bytes in prop::collection::vec(0..9u8, 0..16),
        ) {
            let mut reader = Reader::new(&bytes);
            if let Ok(values) = read_column(&mut reader, count) {
                let mut again = Vec::new();
                put_column(&mut again, &values);
                prop_assert_eq!(&bytes[..bytes.len() - reader.remaining()], again);
            }
        }
    }
}
