//! What a driver asks of either side.

/// The methods of a side that are about its connection and not about who is at the other end.
macro_rules! driven {
    ($side:ty) => {
        impl $side {
            /// Why the connection is over, if a rule was broken.
            pub fn fault(&self) -> Option<&Fault> {
                self.fault.as_ref()
            }

            /// Number of open streams.
            pub fn streams_open(&self) -> usize {
                self.streams.len()
            }

            /// Whether the stream is open.
            pub fn is_open(&self, stream: StreamId) -> bool {
                self.streams.contains_key(&stream)
            }

            /// Every open stream, in no order.
            pub fn streams(&self) -> impl Iterator<Item = StreamId> {
                self.streams.keys().copied()
            }

            /// What waits to be written.
            pub fn output(&self) -> &[u8] {
                self.output.bytes()
            }

            /// Number of bytes that wait to be written.
            pub fn output_len(&self) -> usize {
                self.output.len()
            }

            /// Forgets the first `length` bytes of the output, which were written.
            pub fn advance_output(&mut self, length: usize) {
                self.output.advance(length);
            }
        }
    };
}

pub(crate) use driven;
