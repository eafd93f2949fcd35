//! What the log remembers with a stream.

use bytes::Bytes;
use selvedge_eventlog::{Retention, StreamId, StreamOptions};
use serde::{Deserialize, Serialize};

use crate::{content::ContentType, lifetime::Lifetime, offset::Offset};

/// A stream's configuration, as it lies in the log: JSON, in which a later version may find more than an earlier wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) content_type: ContentType,
    #[serde(default)]
    pub(crate) lifetime: Lifetime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fork: Option<Fork>,
    /// Deleted by its owner, and kept for its forks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) gone: bool,
}

/// Where a fork comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fork {
    /// Number of the source in the log.
    source: u64,
    /// Path of the source, as the request named it.
    pub(crate) from: String,
    /// What the request said: the offset, and how far behind it.
    pub(crate) asked: (Option<u64>, u64),
    /// What is inherited ends here, and what is the fork's own begins.
    base: u64,
}

impl Fork {
    pub(crate) fn new(
        source: StreamId,
        from: String,
        asked: (Option<u64>, u64),
        base: Offset,
    ) -> Fork {
        Fork { source: source.get(), from, asked, base: base.0 }
    }

    pub(crate) fn source(&self) -> StreamId {
        StreamId::from(self.source)
    }

    pub(crate) fn base(&self) -> Offset {
        Offset(self.base)
    }
}

impl Meta {
    /// Reads what [`Self::options`] wrote.
    pub(crate) fn parse(metadata: &Bytes) -> Option<Meta> {
        serde_json::from_slice(metadata).ok()
    }

    /// Position of the first record of the stream's own.
    pub(crate) fn base(&self) -> Offset {
        self.fork.as_ref().map_or(Offset(0), Fork::base)
    }

    pub(crate) fn options(&self, retention: Retention) -> StreamOptions {
        let metadata = serde_json::to_vec(self).expect("a configuration has a spelling in JSON");
        StreamOptions { retention, metadata: metadata.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log keeps it for ever, and views read `source` and `base` of it.
    #[test]
    fn a_fork_is_written_as_it_always_was() {
        let meta = Meta {
            content_type: ContentType::unsaid(),
            lifetime: Lifetime::default(),
            fork: Some(Fork::new(StreamId::from(7), "/orders".to_owned(), (Some(2), 1), Offset(3))),
            gone: false,
        };
        let options = meta.options(Retention::default());
        let json: serde_json::Value = serde_json::from_slice(&options.metadata).unwrap();
        let fork =
            serde_json::json!({ "source": 7, "from": "/orders", "asked": [2, 1], "base": 3 });
        assert_eq!(json["fork"], fork);
        assert_eq!(Meta::parse(&options.metadata), Some(meta));
    }
}
