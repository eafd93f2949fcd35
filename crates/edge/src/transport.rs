//! Byte streams of every kind behind one face, and the buffer that reads from them.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// A connection's byte stream. Reading and writing take `&self`, so that one task may do both at once.
pub(crate) struct Transport(RefCell<Kind>);

enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
    ServerTls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    ClientTls(Box<tokio_rustls::client::TlsStream<Socket>>),
}

impl Transport {
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        Self(RefCell::new(Kind::Tcp(stream)))
    }

    pub(crate) fn unix(stream: UnixStream) -> Self {
        Self(RefCell::new(Kind::Unix(stream)))
    }

    pub(crate) fn server_tls(stream: tokio_rustls::server::TlsStream<TcpStream>) -> Self {
        Self(RefCell::new(Kind::ServerTls(Box::new(stream))))
    }

    pub(crate) fn client_tls(stream: tokio_rustls::client::TlsStream<Socket>) -> Self {
        Self(RefCell::new(Kind::ClientTls(Box::new(stream))))
    }

    /// Reads into `buffer`; zero bytes mean the peer is done.
    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buffer);
        let polled = match &mut *self.0.borrow_mut() {
            Kind::Tcp(stream) => Pin::new(stream).poll_read(context, &mut read),
            Kind::Unix(stream) => Pin::new(stream).poll_read(context, &mut read),
            Kind::ServerTls(stream) => Pin::new(stream).poll_read(context, &mut read),
            Kind::ClientTls(stream) => Pin::new(stream).poll_read(context, &mut read),
        };
        ready!(polled)?;
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Writes some of `bytes`.
    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self.0.borrow_mut() {
            Kind::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Kind::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Kind::ServerTls(stream) => Pin::new(stream).poll_write(context, bytes),
            Kind::ClientTls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    /// Pushes out what TLS still holds; nothing to do elsewhere.
    pub(crate) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.borrow_mut() {
            Kind::Tcp(_) | Kind::Unix(_) => Poll::Ready(Ok(())),
            Kind::ServerTls(stream) => Pin::new(stream).poll_flush(context),
            Kind::ClientTls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    /// Makes the connection end with a reset instead of in order.
    pub(crate) fn reset_on_close(&self) {
        let socket = match &*self.0.borrow() {
            Kind::Tcp(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            Kind::ServerTls(stream) => {
                SockRef::from(stream.get_ref().0).set_linger(Some(Duration::ZERO))
            }
            Kind::Unix(_) | Kind::ClientTls(_) => Ok(()),
        };
        // A socket that takes no options has ended already.
        drop(socket);
    }

    /// Says that nothing more will be written.
    pub(crate) fn poll_shutdown(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.borrow_mut() {
            Kind::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Kind::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Kind::ServerTls(stream) => Pin::new(stream).poll_shutdown(context),
            Kind::ClientTls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// What TLS to an upstream runs on.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// For protocol libraries that want to own a stream: the same stream, through `&mut`.
pub(crate) struct Owned {
    transport: Transport,
    /// Read before, and not yet given out.
    begun: Vec<u8>,
}

impl Owned {
    /// A stream of which `begun` was read already.
    pub(crate) fn new(transport: Transport, begun: Vec<u8>) -> Self {
        Self { transport, begun }
    }
}

impl AsyncRead for Owned {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.begun.is_empty() {
            let count = this.begun.len().min(buffer.remaining());
            buffer.put_slice(&this.begun[..count]);
            this.begun.drain(..count);
            return Poll::Ready(Ok(()));
        }
        match &mut *this.transport.0.borrow_mut() {
            Kind::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Kind::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Kind::ServerTls(stream) => Pin::new(stream).poll_read(context, buffer),
            Kind::ClientTls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Owned {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.transport.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self.transport.0.borrow_mut() {
            Kind::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Kind::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Kind::ServerTls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Kind::ClientTls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_shutdown(context)
    }
}

/// Memory that connections borrow while they have something to hold.
pub(crate) struct BufferPool {
    input_size: Cell<usize>,
    inputs: RefCell<Vec<Box<[u8]>>>,
    outputs: RefCell<Vec<Vec<u8>>>,
}

/// Buffers kept when nobody needs them.
const FREE_BUFFERS_MAX: usize = 128;
/// Larger output buffers are given back to the allocator.
const OUTPUT_KEPT_MAX: usize = 128 << 10;

impl BufferPool {
    /// Inputs hold `input_size` bytes.
    pub(crate) fn new(input_size: usize) -> Rc<Self> {
        let input_size = Cell::new(input_size);
        Rc::new(Self { input_size, inputs: RefCell::default(), outputs: RefCell::default() })
    }

    /// Inputs hold `input_size` bytes from now on; those in use do so as soon as they are full.
    pub(crate) fn resize(&self, input_size: usize) {
        if self.input_size.replace(input_size) != input_size {
            self.inputs.borrow_mut().clear();
        }
    }

    fn take_input(&self) -> Box<[u8]> {
        let pooled = self.inputs.borrow_mut().pop();
        pooled.unwrap_or_else(|| vec![0; self.input_size.get()].into_boxed_slice())
    }

    fn give_input(&self, buffer: Box<[u8]>) {
        let mut free = self.inputs.borrow_mut();
        if free.len() < FREE_BUFFERS_MAX && buffer.len() == self.input_size.get() {
            free.push(buffer);
        }
    }

    fn take_output(&self) -> Vec<u8> {
        self.outputs.borrow_mut().pop().unwrap_or_default()
    }

    fn give_output(&self, mut buffer: Vec<u8>) {
        let mut free = self.outputs.borrow_mut();
        if free.len() < FREE_BUFFERS_MAX && buffer.capacity() <= OUTPUT_KEPT_MAX {
            buffer.clear();
            free.push(buffer);
        }
    }
}

/// Bytes read and not yet used. Holds memory only while it holds bytes.
pub(crate) struct Input {
    pool: Rc<BufferPool>,
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

/// What reading brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes more.
    Some(usize),
    /// The peer is done.
    Closed,
    /// The buffer has no room left.
    Full,
}

impl Input {
    pub(crate) fn new(pool: Rc<BufferPool>) -> Self {
        Self { pool, buffer: None, start: 0, end: 0 }
    }

    /// The bytes at hand.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer[self.start..self.end])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Uses up `count` bytes; an empty input gives its memory back.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            if let Some(buffer) = self.buffer.take() {
                self.pool.give_input(buffer);
            }
        }
    }

    /// Hands over what is at hand and starts anew.
    pub(crate) fn take(&mut self) -> Self {
        let fresh = Self::new(self.pool.clone());
        std::mem::replace(self, fresh)
    }

    /// Reads once.
    pub(crate) fn poll_read(
        &mut self,
        transport: &Transport,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Read>> {
        let buffer = self.buffer.get_or_insert_with(|| self.pool.take_input());
        if self.end == buffer.len() && self.start > 0 {
            buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == buffer.len() {
            if buffer.len() >= self.pool.input_size.get() {
                return Poll::Ready(Ok(Read::Full));
            }
            let mut larger = self.pool.take_input();
            larger[..self.end].copy_from_slice(buffer);
            *buffer = larger;
        }
        let polled = transport.poll_read(context, &mut buffer[self.end..]);
        if self.is_empty() && !matches!(polled, Poll::Ready(Ok(1..))) {
            self.consume(0);
        }
        match ready!(polled)? {
            0 => Poll::Ready(Ok(Read::Closed)),
            count => {
                self.end += count;
                Poll::Ready(Ok(Read::Some(count)))
            }
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.pool.give_input(buffer);
        }
    }
}

/// Bytes to be written. Holds memory only while it holds bytes.
pub(crate) struct Output {
    pool: Rc<BufferPool>,
    buffer: Vec<u8>,
    written: usize,
    total: u64,
}

impl Output {
    pub(crate) fn new(pool: Rc<BufferPool>) -> Self {
        Self { pool, buffer: Vec::new(), written: 0, total: 0 }
    }

    /// Where to append.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            self.buffer = self.pool.take_output();
        }
        &mut self.buffer
    }

    /// Bytes not written yet.
    pub(crate) fn pending(&self) -> usize {
        self.buffer.len() - self.written
    }

    /// Bytes written in all.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Forgets what was not written.
    pub(crate) fn clear(&mut self) {
        self.written = 0;
        self.pool.give_output(std::mem::take(&mut self.buffer));
    }

    /// Writes everything.
    pub(crate) fn poll_flush(
        &mut self,
        transport: &Transport,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.pending() > 0 {
            let count = ready!(transport.poll_write(context, &self.buffer[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.total += count as u64;
        }
        ready!(transport.poll_flush(context))?;
        self.clear();
        Poll::Ready(Ok(()))
    }
}
