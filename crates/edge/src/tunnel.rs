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
pub(crate) async fn run(ends: [End; 2], deadline: &Deadline, idle: Duration) -> Moved {
    let [mut first, mut second] = ends;
    let mut moved = Moved::default();
    let (mut forth_over, mut back_over) = (false, false);
    deadline.arm(idle);
    poll_fn(|context| {
        let before = moved;
        let forth = match forth_over {
            true => Poll::Ready(Ok(())),
            false => poll_direction(&mut first, &second.transport, &mut moved.forth, context),
        };
        let back = match back_over {
            true => Poll::Ready(Ok(())),
            false => poll_direction(&mut second, &first.transport, &mut moved.back, context),
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
