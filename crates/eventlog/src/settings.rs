//! Every bound of a log, with its default.

/// The bounds of a log. What is reached is refused or made room for, as each line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Size of a segment file, reserved when it is created. A full one is sealed and the next begins.
    pub segment_bytes: u64,
    /// Largest payload of one record; larger ones are refused.
    pub record_bytes_max: usize,
    /// Largest batch as it lies on disk; at most a quarter of a segment. Larger ones are refused.
    pub batch_bytes_max: usize,
    /// What one write to the disk gathers; what is waiting beyond it goes into the next.
    pub group_bytes_max: usize,
    /// Appends submitted and not yet durable; beyond it they are refused as overload.
    pub pending_bytes_max: usize,
    /// Streams that may exist; creation beyond it is refused.
    pub streams_max: usize,
    /// Length of a stream's name in bytes.
    pub name_bytes_max: usize,
    /// Length of a stream's opaque metadata, and of a batch's.
    pub metadata_bytes_max: usize,
    /// Producers remembered per stream; beyond it the one that was silent longest is forgotten.
    pub producers_max: usize,
    /// A producer that is silent for this long is forgotten.
    pub producer_idle_ms_max: u64,
    /// The newest bytes of the log kept in memory, so that live followers do not read the disk.
    pub cache_bytes_max: usize,
    /// Index files of sealed segments kept in memory.
    pub index_cache_bytes_max: usize,
    /// Segment files held open for reading.
    pub open_segments_max: usize,
    /// Size of the whole log; beyond it the oldest records of all streams are trimmed. 0 is no bound.
    pub log_bytes_max: u64,
    /// A sealed segment of which less than this share (in percent) is still wanted is rewritten at the
    /// head of the log and deleted.
    pub compact_below_percent: u64,
    /// How often retention, deletion of dead segments and compaction are looked after.
    pub upkeep_ms: u64,
}

impl Settings {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        segment_bytes: 64 << 20,
        record_bytes_max: 1 << 20,
        batch_bytes_max: 8 << 20,
        group_bytes_max: 8 << 20,
        pending_bytes_max: 64 << 20,
        streams_max: 1_000_000,
        name_bytes_max: 1024,
        metadata_bytes_max: 64 << 10,
        producers_max: 1024,
        producer_idle_ms_max: 7 * 24 * 3_600_000,
        cache_bytes_max: 64 << 20,
        index_cache_bytes_max: 64 << 20,
        open_segments_max: 256,
        log_bytes_max: 0,
        compact_below_percent: 50,
        upkeep_ms: 1000,
    };
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}
