//! Paths without `.`, `..` and empty segments.
//!
//! The steps are libmodsecurity's (Apache-2.0), whose results do not follow from a shorter rule: any segment
//! that ends in two dots climbs, and a path that began at the root may come out empty.

use memchr::{memchr, memchr_iter};

use super::rewrite::change_in_place;

pub(super) fn normalize(input: &[u8], out: &mut Vec<u8>) -> bool {
    has_dots(input) && change(input, out, false)
}

/// The same where `\` is `/`.
pub(super) fn normalize_windows(input: &[u8], out: &mut Vec<u8>) -> bool {
    (memchr(b'\\', input).is_some() || has_dots(input)) && change(input, out, true)
}

/// Whether a segment is empty or ends in a dot; a path without such is copied as it is.
fn has_dots(path: &[u8]) -> bool {
    let dots = |slash: usize| {
        path.get(slash + 1) == Some(&b'/')
            || slash.checked_sub(1).is_some_and(|last| path[last] == b'.')
    };
    path.ends_with(b".") || memchr_iter(b'/', path).any(dots)
}

fn change(input: &[u8], out: &mut Vec<u8>, windows: bool) -> bool {
    change_in_place(input, out, |path| Walk::new(path, windows).map_or(0, Walk::finish))
}

/// A path that is normalised in place: what is written never overtakes what is read.
struct Walk<'a> {
    path: &'a mut [u8],
    read: usize,
    write: usize,
    last: usize,
    windows: bool,
    /// Whether it does not begin at the root.
    relative: bool,
    /// Whether it ends in a slash.
    open: bool,
    /// Whether it has climbed as far as it can.
    at_root: bool,
}

/// What becomes of the byte that is read.
enum Step {
    Copy,
    Done,
}

impl<'a> Walk<'a> {
    fn new(path: &'a mut [u8], windows: bool) -> Option<Self> {
        let last = path.len().checked_sub(1)?;
        let is_slash = |byte| byte == b'/' || windows && byte == b'\\';
        let (relative, open) = (!is_slash(path[0]), is_slash(path[last]));
        Some(Self { path, read: 0, write: 0, last, windows, relative, open, at_root: false })
    }

    /// Returns how long the path is now.
    fn finish(mut self) -> usize {
        while self.read <= self.last {
            self.fold_slashes();
            if let Step::Done = self.step() {
                break;
            }
            self.copy();
        }
        let slash = !self.open && self.write > 0 && self.path[self.write - 1] == b'/';
        self.write - usize::from(slash)
    }

    /// Makes this byte and the next one slashes, if they are such on Windows.
    fn fold_slashes(&mut self) {
        if self.windows {
            let next = self.last.min(self.read + 1);
            for byte in &mut self.path[self.read..=next] {
                if *byte == b'\\' {
                    *byte = b'/';
                }
            }
        }
    }

    fn step(&mut self) -> Step {
        let ends = self.read == self.last;
        if ends || self.path[self.read + 1] == b'/' { self.end_segment(ends) } else { Step::Copy }
    }

    fn end_segment(&mut self, ends: bool) -> Step {
        let before = self.write.checked_sub(1).map(|at| self.path[at]);
        match (self.path[self.read], before) {
            (b'/', _) if !ends => Step::Copy,
            (b'.', Some(b'.')) => self.climb(ends),
            (b'.', None) => self.skip(ends),
            (b'.', Some(b'/')) => {
                self.write -= usize::from(!ends);
                self.skip(ends)
            }
            (b'.', _) | (_, None) => Step::Copy,
            _ => {
                self.at_root = false;
                Step::Copy
            }
        }
    }

    /// Takes back the segment before `..`, if there is one.
    fn climb(&mut self, ends: bool) -> Step {
        if self.relative && (self.at_root || self.write <= 2) {
            self.at_root = true;
            return Step::Copy;
        }
        self.write = self.write.saturating_sub(3);
        while self.write > 0 && self.path[self.write] != b'/' {
            self.write -= 1;
        }
        if self.write == 0 {
            self.at_root = true;
            self.write = usize::from(!self.relative && ends);
        }
        self.skip(ends)
    }

    /// Leaves a dot out.
    fn skip(&mut self, ends: bool) -> Step {
        self.read += 1;
        if ends { Step::Done } else { Step::Copy }
    }

    /// Copies a byte, or the last slash of several; none to the start of a relative path.
    fn copy(&mut self) {
        if self.path[self.read] == b'/' {
            while self.read < self.last && self.is_slash(self.path[self.read + 1]) {
                self.read += 1;
            }
            if self.relative && self.write == 0 {
                self.read += 1;
                return;
            }
        }
        self.path[self.write] = self.path[self.read];
        self.write += 1;
        self.read += 1;
    }

    fn is_slash(&self, byte: u8) -> bool {
        byte == b'/' || self.windows && byte == b'\\'
    }
}
