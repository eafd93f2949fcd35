//! The stream of tokens that were revoked. What has ended anyhow goes from it in time.

use selvedge_eventlog::{Append, Batch, Log, StreamId, StreamInfo, StreamOptions, block_on};

use crate::trust::{Revocation, Warden};

/// The stream.
const NAME: &str = "sync/revoked";
/// Bytes of the log that are read in one go.
const PAGE_BYTES: usize = 256 << 10;
/// Such reads before others have their turn.
const PAGES_MAX: usize = 64;
/// Revocations that may be over whatever there is.
const SLACK: u64 = 1024;

/// Where revocations lie.
pub(crate) struct Revocations {
    log: Log,
    stream: StreamId,
}

impl Revocations {
    /// Reads what was revoked; blocks.
    pub(crate) fn open(log: &Log, warden: &Warden) -> Result<Self, String> {
        let stream = match log.stream(NAME) {
            Some(stream) => stream,
            None => block_on(log.create(NAME, StreamOptions::default()))
                .map_err(|error| error.to_string())?,
        };
        let mut from = log.info(stream).map_err(|error| error.to_string())?.start;
        loop {
            let chunk = log.read(stream, from, PAGE_BYTES).map_err(|error| error.to_string())?;
            let revocations = chunk.records().filter_map(|(_, record)| Revocation::read(&record));
            revocations.for_each(|Revocation { id, revoked }| warden.revoke(id, revoked));
            if chunk.next == from {
                return Ok(Self { log: log.clone(), stream });
            }
            from = chunk.next;
        }
    }

    /// For the log.
    pub(crate) fn record(&self, revocation: &Revocation) -> Append {
        Append::to(self.stream).record(&revocation.to_bytes())
    }

    /// Writes the eldest again that still count, where most do not, and lets the others go. Blocks.
    pub(crate) fn tidy(&self, warden: &Warden) -> Result<(), String> {
        for _ in 0..PAGES_MAX {
            let info = self.log.info(self.stream).map_err(|error| error.to_string())?;
            if info.tail - info.start <= 2 * warden.revocations() as u64 + SLACK {
                break;
            }
            self.tidy_page(info, warden)?;
        }
        Ok(())
    }

    fn tidy_page(&self, info: StreamInfo, warden: &Warden) -> Result<(), String> {
        let eldest = self.log.read(self.stream, info.start, PAGE_BYTES);
        let eldest = eldest.map_err(|error| error.to_string())?;
        for (_, record) in eldest.records() {
            if Revocation::read(&record).is_some_and(|it| warden.is_in_force(&it)) {
                let again = self.log.append(Append::to(self.stream).record(&record)).wait();
                again.map_err(|error| error.to_string())?;
            }
        }
        let trimmed = self.log.append(Batch::trim(self.stream, eldest.next)).wait();
        trimmed.map(drop).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use selvedge_eventlog::Settings;
    use selvedge_seal::token::Issuers;

    use super::*;
    use crate::trust::Revoked;

    #[test]
    fn what_has_ended_goes_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Settings::default()).unwrap();
        let warden = Warden::new(Issuers::default());
        let revocations = Revocations::open(&log, &warden).unwrap();
        for number in 0..1_200_u64 {
            let until_s = if number % 400 == 0 { 10_000 } else { 100 };
            let revoked = Revoked { until_s, by: None };
            let revocation = Revocation { id: format!("t{number}"), revoked };
            block_on(log.append(revocations.record(&revocation))).unwrap();
            warden.revoke(revocation.id, revoked);
        }
        revocations.tidy(&warden).unwrap();
        assert_eq!(log.info(revocations.stream).unwrap().start, 0, "all of them count");
        warden.forget(5_000);
        assert_eq!(warden.revocations(), 3);
        while log.info(revocations.stream).unwrap().start == 0 {
            revocations.tidy(&warden).unwrap();
        }
        let again = Warden::new(Issuers::default());
        Revocations::open(&log, &again).unwrap();
        assert!(["t0", "t400", "t800"].iter().all(|id| again.is_revoked(id)));
    }
}
