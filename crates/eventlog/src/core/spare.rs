//! The file of the next segment, made before it is needed: reserving takes its time, and nobody waits for it.

use std::{io, sync::Arc};

use super::Core;
use crate::{
    Settings,
    disk::{DRAFT, Disk, File},
    format::{SegmentHeader, segment_name},
};

/// A file as long as a segment, under a name that means nothing: a crash leaves nothing of it.
pub(crate) struct Spare(Arc<dyn File>);

impl Spare {
    /// Makes one; there is one at a time.
    pub(crate) fn prepare(disk: &dyn Disk, settings: &Settings) -> io::Result<Self> {
        let file = disk.create(&name())?;
        match file.reserve(settings.segment_bytes).and_then(|()| file.sync_data()) {
            Ok(()) => Ok(Self(file)),
            Err(error) => {
                // It takes room until the next is made or the log is opened again.
                let _ = disk.remove(&name());
                Err(error)
            }
        }
    }

    /// Makes it the segment that a header begins. The name is durable when this returns, and the header before it.
    pub(super) fn begin(
        self,
        disk: &dyn Disk,
        header: &SegmentHeader,
    ) -> io::Result<Arc<dyn File>> {
        let Self(file) = self;
        file.write_at(0, &header.encode())?;
        file.sync_data()?;
        let segment = segment_name(header.base);
        disk.rename(&name(), &segment)?;
        if let Err(error) = disk.sync_dir() {
            super::unmake(disk, &segment)?;
            return Err(error);
        }
        Ok(file)
    }
}

fn name() -> String {
    format!("next{DRAFT}")
}

impl Core {
    /// The active segment, if it is time to prepare the one behind it.
    pub(crate) fn wants_spare(&self) -> Option<u64> {
        let half = self.active.written > self.settings().segment_bytes / 2;
        (half && self.spare.is_none() && self.shared.disk.has_spares()).then_some(self.active.base)
    }

    /// The active segment: where it begins, how much of it is written, its file.
    pub(crate) fn active(&self) -> (u64, u64, &Arc<dyn File>) {
        (self.active.base, self.active.written, &self.active.file)
    }

    /// Takes the file of the next segment.
    pub(crate) fn take_spare(&mut self, spare: Spare) {
        self.spare = Some(spare);
    }

    /// Removes what was prepared in vain.
    pub(crate) fn drop_spare(&mut self) {
        self.spare = None;
        // There may be none, and what stays is removed when the log is opened.
        let _ = self.shared.disk.remove(&name());
    }
}
