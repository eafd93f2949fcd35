//! Pages found lately, so that the next request for one touches no file.

use std::{
    num::NonZeroUsize,
    rc::Rc,
    time::{Duration, Instant},
};

use lru::LruCache;

use super::page::Page;

/// How long a page is believed before its file is opened again.
const FRESH: Duration = Duration::from_secs(1);
/// Pages held; then the least recently used goes.
pub(crate) const PAGES_MAX: NonZeroUsize = NonZeroUsize::new(512).expect("512 is not zero");
/// Bytes held; then the least recently used goes.
pub(crate) const MEMORY_MAX: usize = 8 * 1024 * 1024;
/// Descriptors held; then the least recently used goes.
pub(crate) const DESCRIPTORS_MAX: usize = 64;

/// Pages by request path, bounded in number, memory and descriptors.
pub(super) struct PageCache {
    pages: LruCache<Box<str>, Rc<Page>>,
    memory: usize,
    descriptors: usize,
}

impl PageCache {
    pub(super) fn new() -> Self {
        Self { pages: LruCache::new(PAGES_MAX), memory: 0, descriptors: 0 }
    }

    /// The page, while fresh.
    pub(super) fn get(&mut self, path: &str, now: Instant) -> Option<Rc<Page>> {
        self.pages.get(path).filter(|page| is_fresh(page, now)).cloned()
    }

    pub(super) fn insert(&mut self, path: &str, page: Rc<Page>, now: Instant) {
        self.memory += page.memory();
        self.descriptors += page.descriptors();
        if let Some((_, evicted)) = self.pages.push(path.into(), page) {
            self.forget(&evicted);
        }
        while self.is_over() || self.has_stale_end(now) {
            let Some((_, evicted)) = self.pages.pop_lru() else { break };
            self.forget(&evicted);
        }
    }

    fn is_over(&self) -> bool {
        self.memory > MEMORY_MAX || self.descriptors > DESCRIPTORS_MAX
    }

    fn has_stale_end(&self, now: Instant) -> bool {
        self.pages.peek_lru().is_some_and(|(_, page)| !is_fresh(page, now))
    }

    fn forget(&mut self, page: &Page) {
        self.memory -= page.memory();
        self.descriptors -= page.descriptors();
    }
}

fn is_fresh(page: &Page, now: Instant) -> bool {
    now.saturating_duration_since(page.loaded) < FRESH
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn page(len: u64, now: Instant) -> Rc<Page> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len).unwrap();
        Rc::new(Page::load(b"page.html", file, now).unwrap())
    }

    /// What is held after inserting pages of one size.
    #[track_caller]
    fn check(pages: usize, len: u64, expected_held: usize) {
        let now = Instant::now();
        let mut cache = PageCache::new();
        for index in 0..pages {
            cache.insert(&format!("/{index}"), page(len, now), now);
        }
        assert_eq!(cache.pages.len(), expected_held);
        let held = cache.pages.iter().map(|(_, page)| page);
        assert_eq!(cache.memory, held.clone().map(|page| page.memory()).sum::<usize>());
        assert_eq!(cache.descriptors, held.map(|page| page.descriptors()).sum::<usize>());
        assert!(cache.get(&format!("/{}", pages - 1), now).is_some());
    }

    #[test]
    fn each_bound_holds() {
        check(PAGES_MAX.get() + 10, 0, PAGES_MAX.get());
        check(140, 64 * 1024, MEMORY_MAX / (64 * 1024));
        check(DESCRIPTORS_MAX + 10, 64 * 1024 + 1, DESCRIPTORS_MAX);
    }

    #[test]
    fn pages_go_stale_and_make_room() {
        let start = Instant::now();
        let later = start + FRESH;
        let mut cache = PageCache::new();
        cache.insert("/old", page(1, start), start);
        assert!(cache.get("/old", later - Duration::from_nanos(1)).is_some());
        assert!(cache.get("/old", later).is_none());
        cache.insert("/new", page(1, later), later);
        assert_eq!(cache.pages.len(), 1);
        assert_eq!(cache.memory, 1);
    }

    #[test]
    fn the_same_path_is_counted_once() {
        let now = Instant::now();
        let mut cache = PageCache::new();
        cache.insert("/a", page(10, now), now);
        cache.insert("/a", page(20, now), now);
        assert_eq!((cache.pages.len(), cache.memory), (1, 20));
    }

    #[test]
    fn an_open_file_is_a_descriptor() {
        let file = File::open("/dev/null").unwrap();
        assert_eq!(Page::load(b"null", file, Instant::now()).unwrap().descriptors(), 0);
        assert_eq!(page(64 * 1024 + 1, Instant::now()).descriptors(), 1);
    }
}
