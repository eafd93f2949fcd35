//! One pass over a value: what stays is copied in runs, what begins at certain bytes is rewritten.

use std::ops::Range;

use memchr::memchr;

/// What becomes of the first `len` bytes of a text.
pub(super) struct Edit {
    /// What they give way to, if anything.
    pub(super) byte: Option<u8>,
    /// How many they are; at least one.
    pub(super) len: usize,
}

impl Edit {
    pub(super) fn to(byte: u8, len: usize) -> Self {
        Self { byte: Some(byte), len }
    }

    pub(super) fn remove(len: usize) -> Self {
        Self { byte: None, len }
    }
}

/// Rewrites `input` into `out`: `find` leads to the next byte that `edit` may have something to say about.
///
/// Returns whether anything was rewritten; nothing is written before that.
#[inline]
pub(super) fn rewrite(
    input: &[u8],
    out: &mut Vec<u8>,
    find: impl Fn(&[u8]) -> Option<usize>,
    edit: impl Fn(&[u8]) -> Option<Edit>,
) -> bool {
    let mut rewrite = Rewrite::new(input, out);
    let mut from = 0;
    while let Some(next) = find(&input[from..]) {
        let at = from + next;
        from = at + 1;
        if let Some(Edit { byte, len }) = edit(&input[at..]) {
            rewrite.replace(at..at + len).extend(byte);
            from = at + len;
        }
    }
    rewrite.finish()
}

/// A value on its way into `out`: nothing is written before the first change.
pub(super) struct Rewrite<'a> {
    input: &'a [u8],
    out: &'a mut Vec<u8>,
    /// Up to where the input is dealt with.
    done: usize,
}

impl<'a> Rewrite<'a> {
    pub(super) fn new(input: &'a [u8], out: &'a mut Vec<u8>) -> Self {
        Self { input, out, done: 0 }
    }

    /// Copies what lies before `range`, which is not empty, and leaves that out; the caller writes what stands for it.
    #[inline]
    pub(super) fn replace(&mut self, range: Range<usize>) -> &mut Vec<u8> {
        if self.done == 0 {
            self.out.reserve(self.input.len());
        }
        self.out.extend_from_slice(&self.input[self.done..range.start]);
        self.done = range.end;
        self.out
    }

    /// Copies what is left and returns whether anything was replaced.
    pub(super) fn finish(self) -> bool {
        let changed = self.done > 0;
        if changed {
            self.out.extend_from_slice(&self.input[self.done..]);
        }
        changed
    }
}

/// Changes a copy of `input` behind `out`; `change` returns how long it is then. Returns whether it differs.
pub(super) fn change_in_place(
    input: &[u8],
    out: &mut Vec<u8>,
    change: impl FnOnce(&mut [u8]) -> usize,
) -> bool {
    let start = out.len();
    out.extend_from_slice(input);
    let len = change(&mut out[start..]);
    out.truncate(start + len);
    keep_if_changed(input, out, start)
}

/// Returns whether what is in `out` from `start` on differs from `input`, and takes it back if not.
pub(super) fn keep_if_changed(input: &[u8], out: &mut Vec<u8>, start: usize) -> bool {
    let changed = out[start..] != *input;
    if !changed {
        out.truncate(start);
    }
    changed
}

/// Returns a search for `byte` that is quick where one follows another.
pub(super) fn next(byte: u8) -> impl Fn(&[u8]) -> Option<usize> {
    move |text| if text.first() == Some(&byte) { Some(0) } else { memchr(byte, text) }
}

/// Returns where the first byte is that `is` says yes to. Asks about sixteen at a time, which compilers vectorise
/// as long as `is` does not branch.
#[inline]
pub(super) fn position(text: &[u8], is: impl Fn(u8) -> bool) -> Option<usize> {
    let (blocks, _) = text.as_chunks::<16>();
    let any = |block: &[u8; 16]| block.iter().fold(false, |any, byte| any | is(*byte));
    let clean = blocks.iter().position(any).unwrap_or(blocks.len()) * 16;
    text[clean..].iter().position(|byte| is(*byte)).map(|at| clean + at)
}

/// Returns whether `byte` is one of `set`, without branches.
#[inline(always)]
pub(super) const fn is_one_of<const LEN: usize>(byte: u8, set: [u8; LEN]) -> bool {
    let mut any = false;
    let mut at = 0;
    while at < LEN {
        any |= set[at] == byte;
        at += 1;
    }
    any
}

/// Removes every byte that `is` says yes to.
#[inline]
pub(super) fn remove_all(input: &[u8], out: &mut Vec<u8>, is: impl Fn(u8) -> bool) -> bool {
    let Some(first) = position(input, &is) else { return false };
    let start = out.len();
    out.extend_from_slice(input);
    let value = &mut out[start..];
    let mut len = first;
    for at in first..value.len() {
        // Written in any case and kept by counting: no branch to mispredict.
        let byte = value[at];
        value[len] = byte;
        len += usize::from(!is(byte));
    }
    out.truncate(start + len);
    true
}

/// Returns how many bytes at the start of `text` satisfy `is`.
#[inline]
pub(super) fn run(text: &[u8], is: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| !is(*byte)).unwrap_or(text.len())
}
