//! Writers that wait for each acknowledgement, and what they came to.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::{Result, times::Times};

/// Payload of a record: text, so that every protocol carries it as it is.
pub static RECORD: [u8; 256] = [b'x'; 256];

/// Somebody who appends [`RECORD`], and returns when it is acknowledged.
pub trait Writer: Send + 'static {
    fn append(&mut self) -> impl Future<Output = Result> + Send;
}

/// What was acknowledged.
pub struct Appended {
    times: Times,
    elapsed: Duration,
}

impl Appended {
    pub fn new(times: Times, elapsed: Duration) -> Self {
        Self { times, elapsed }
    }

    /// All writers together, each with one append under way, for so long.
    pub async fn in_closed_loop(writers: Vec<impl Writer>, duration: Duration) -> Result<Self> {
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        for writer in writers {
            tasks.spawn(write_until(writer, begin + duration));
        }
        let mut times = Times::default();
        while let Some(task) = tasks.join_next().await {
            times.extend(task??);
        }
        Ok(Self::new(times, begin.elapsed()))
    }

    /// Figures, if as many records are there as were acknowledged.
    pub fn proven(self, found: u64) -> Result<Value> {
        let acknowledged = self.times.len();
        if found != acknowledged as u64 || found == 0 {
            return Err(format!("{acknowledged} acknowledged, {found} found").into());
        }
        let mut told = self.times.told();
        told["records"] = found.into();
        told["per_second"] = (acknowledged as f64 / self.elapsed.as_secs_f64()).into();
        Ok(told)
    }
}

async fn write_until(mut writer: impl Writer, end: Instant) -> Result<Times> {
    let mut times = Times::default();
    loop {
        let begin = Instant::now();
        if begin >= end {
            return Ok(times);
        }
        writer.append().await?;
        times.push(begin.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_found_is_no_figure() {
        let appended = || {
            Appended::new([Duration::from_millis(2)].into_iter().collect(), Duration::from_secs(1))
        };
        assert_eq!(appended().proven(1).unwrap()["per_second"], 1.0);
        assert_eq!(appended().proven(0).unwrap_err().to_string(), "1 acknowledged, 0 found");
        assert!(Appended::new(Times::default(), Duration::from_secs(1)).proven(0).is_err());
    }
}
