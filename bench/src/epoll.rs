//! Readiness of file descriptors: the three calls of epoll(7), level-triggered, and nothing else.
//!
//! All unsafe code of this crate is here.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

/// Events taken from the kernel at once.
const BATCH: usize = 256;

/// A set of watched descriptors.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, a connection to accept, or the end of the stream.
    Read,
    /// Room to write.
    Write,
    /// Nothing but errors and hang-ups.
    Nothing,
}

impl Epoll {
    /// An empty set.
    #[expect(unsafe_code, reason = "epoll has no safe wrapper in std")]
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer; a result of 0 or more is a descriptor that nobody else owns.
        let fd = unsafe {
            let raw = checked(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
            OwnedFd::from_raw_fd(raw)
        };
        Ok(Self { fd, events: Vec::with_capacity(BATCH) })
    }

    /// Watches `source`; its events carry `token`. Closing the descriptor ends the watch.
    pub fn add(&self, source: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, source, token, interest)
    }

    /// Changes what is waited for on a watched `source`.
    pub fn modify(&self, source: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, source, token, interest)
    }

    /// Waits for events, at most `timeout` (for ever without one), and returns their tokens.
    #[expect(unsafe_code, reason = "epoll has no safe wrapper in std")]
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<impl Iterator<Item = u64>> {
        let timeout_ms = timeout.map_or(-1, whole_ms);
        // SAFETY: `events` owns room for BATCH entries, and the kernel writes the first `count` of them.
        unsafe {
            let room = self.events.as_mut_ptr();
            let count = libc::epoll_wait(self.fd.as_raw_fd(), room, BATCH as i32, timeout_ms);
            let count = match checked(count) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                count => count?,
            };
            self.events.set_len(count as usize);
        }
        Ok(self.events.iter().map(|event| event.u64))
    }

    #[expect(unsafe_code, reason = "epoll has no safe wrapper in std")]
    fn control(
        &self,
        operation: i32,
        source: &impl AsFd,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let events = match interest {
            Interest::Read => libc::EPOLLIN as u32,
            Interest::Write => libc::EPOLLOUT as u32,
            Interest::Nothing => 0,
        };
        let mut event = libc::epoll_event { events, u64: token };
        let source = source.as_fd().as_raw_fd();
        // SAFETY: both descriptors are open for the whole call, and the kernel only reads `event`.
        let outcome =
            unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, source, &raw mut event) };
        checked(outcome).map(drop)
    }
}

/// Rounds up, so that a wait never ends just before its deadline.
fn whole_ms(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
}

fn checked(outcome: i32) -> io::Result<i32> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn an_event_carries_its_token_and_interest_can_change() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut epoll = Epoll::new().unwrap();
        epoll.add(&far, 7, Interest::Read).unwrap();
        assert_eq!(epoll.wait(Some(Duration::ZERO)).unwrap().count(), 0);
        near.write_all(b"x").unwrap();
        assert_eq!(epoll.wait(None).unwrap().collect::<Vec<_>>(), [7]);
        epoll.modify(&far, 7, Interest::Nothing).unwrap();
        assert_eq!(epoll.wait(Some(Duration::ZERO)).unwrap().count(), 0);
    }

    #[test]
    fn a_wait_rounds_up_to_whole_milliseconds() {
        assert_eq!(whole_ms(Duration::ZERO), 0);
        assert_eq!(whole_ms(Duration::from_micros(1)), 1);
        assert_eq!(whole_ms(Duration::MAX), i32::MAX);
    }
}
