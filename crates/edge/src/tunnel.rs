//! Two connections joined into a pipe, after a protocol switch.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use crate::{
    deadline::Deadline,
    transport::{Input, Read, Transport},
};

/// One end of a pipe.
pub(crate) struct End {
    pub(crate) transport: Rc<Transport>,
    /// What was read already and belongs to the other end.
    pub(crate) input: Input,
}

/// Bytes moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// From the first end to the second.
    pub(crate) forth: u64,
    /// From the second end to the first.
    pub(crate) back: u64,
}

/// Moves bytes both ways until both ends are done, one fails, or nothing moves for `idle`.
pub(crate) async fn run(
    (first, second): (&mut End, &mut End),
    deadline: &Deadline,
    idle: Duration,
) -> Moved {
    let mut moved = Moved::default();
    let (mut forth_over, mut back_over) = (false, false);
    deadline.arm(idle);
    poll_fn(|context| {
        let before = moved;
        let forth = match forth_over {
            true => Poll::Ready(Ok(())),
            false => poll_direction(first, &second.transport, &mut moved.forth, context),
        };
        let back = match back_over {
            true => Poll::Ready(Ok(())),
            false => poll_direction(second, &first.transport, &mut moved.back, context),
        };
        forth_over |= forth.is_ready();
        back_over |= back.is_ready();
        if matches!(forth, Poll::Ready(Err(_)))
            || matches!(back, Poll::Ready(Err(_)))
            || forth_over && back_over
        {
            return Poll::Ready(());
        }
        if moved != before {
            deadline.arm(idle);
        }
        deadline.poll_expired(context)
    })
    .await;
    moved
}

/// Moves bytes one way; ready when the source is done and the sink knows it.
fn poll_direction(
    from: &mut End,
    to: &Transport,
    moved: &mut u64,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        while !from.input.is_empty() {
            let count = ready!(to.poll_write(context, from.input.bytes()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            from.input.consume(count);
            *moved += count as u64;
        }
        match from.input.poll_read(&from.transport, context) {
            Poll::Ready(Ok(Read::Some(_) | Read::Full)) => {}
            Poll::Ready(Ok(Read::Closed)) => {
                ready!(to.poll_shutdown(context))?;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {
                let _ = to.poll_flush(context)?;
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
        runtime::{Builder, LocalOptions},
        task::{JoinHandle, spawn_local},
    };

    use super::*;
    use crate::{deadline::Deadlines, transport::BufferPool};

    const IDLE: Duration = Duration::from_secs(60);

    /// A tunnel between two peers, and the clock that it looks at.
    struct Bench {
        start: Instant,
        deadlines: Rc<Deadlines>,
        peers: [UnixStream; 2],
        tunnel: JoinHandle<Moved>,
    }

    impl Bench {
        fn start() -> Self {
            let start = Instant::now();
            let deadlines = Deadlines::new(start);
            let deadline = deadlines.register();
            let pool = BufferPool::new(1024);
            let end = || {
                let (ours, theirs) = UnixStream::pair().unwrap();
                let transport = Rc::new(Transport::unix(ours));
                (End { transport, input: Input::new(pool.clone()) }, theirs)
            };
            let ((mut first, one), (mut second, other)) = (end(), end());
            let tunnel =
                spawn_local(async move { run((&mut first, &mut second), &deadline, IDLE).await });
            Self { start, deadlines, peers: [one, other], tunnel }
        }

        /// Sends a byte from one peer to the other.
        async fn cross(&mut self, from: usize) {
            self.peers[from].write_all(b"x").await.unwrap();
            assert_eq!(self.peers[1 - from].read_u8().await.unwrap(), b'x');
        }

        /// Moves the clock, and lets the tunnel see it.
        async fn tick(&self, seconds: u64) {
            self.deadlines.tick(self.start + Duration::from_secs(seconds));
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn run_local(test: impl Future<Output = ()>) {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.unwrap().block_on(test);
    }

    #[test]
    fn a_byte_in_either_direction_keeps_a_tunnel_open() {
        run_local(async {
            let mut bench = Bench::start();
            bench.cross(0).await;
            for (at, from) in [(59, 0), (118, 0), (177, 1), (236, 1)] {
                bench.tick(at).await;
                assert!(!bench.tunnel.is_finished(), "{at}");
                bench.cross(from).await;
            }
            bench.tick(295).await;
            assert!(!bench.tunnel.is_finished());
            bench.tick(296).await;
            assert_eq!(bench.tunnel.await.unwrap(), Moved { forth: 3, back: 2 });
            for mut peer in bench.peers {
                assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
            }
        });
    }

    #[test]
    fn half_a_tunnel_stays_open() {
        run_local(async {
            let mut bench = Bench::start();
            bench.peers[0].shutdown().await.unwrap();
            assert_eq!(bench.peers[1].read(&mut [0]).await.unwrap(), 0);
            bench.cross(1).await;
            bench.peers[1].shutdown().await.unwrap();
            assert_eq!(bench.peers[0].read(&mut [0]).await.unwrap(), 0);
            assert_eq!(bench.tunnel.await.unwrap(), Moved { forth: 0, back: 1 });
        });
    }
}
