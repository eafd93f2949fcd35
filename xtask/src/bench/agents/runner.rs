//! A contestant that runs: its processes, what it is asked, and whether it does the work.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    super::{
        load::{Throughput, read_wrk},
        machine, packaged,
        peer::{Origin, Place, digits, free_address, installed},
        pinned::{self, Core, CpuTime, Server},
    },
    config::{self, Wiring},
    contestant::{Advice, Ask, BODY_BYTES, Contestant, Proxy, Work},
    credentials::Credentials,
};
use crate::{Result, process};

/// Connections of every load.
const CONNECTIONS: &str = "64";

/// How long agents may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// What all contestants share.
#[derive(Debug)]
pub struct Ground<'a> {
    /// Where files go.
    pub place: &'a Place,
    /// Behind every proxy.
    pub origin: Origin,
    /// What the load sends.
    pub credentials: Credentials,
    /// Length and checksum of the body, as the origin counts them.
    body_digest: String,
}

/// A contestant that runs. Everything that its work needs shares the core of the proxies.
#[derive(Debug)]
pub struct Runner {
    contestant: &'static Contestant,
    address: SocketAddr,
    ask: Ask,
    script: PathBuf,
    /// One request as [`Runner::pace`] sends it.
    request: PathBuf,
    body: PathBuf,
    proxy: Server,
    adviser: Option<Server>,
}

/// A closed loop: one round.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Requests per second.
    pub rate: f64,
    /// Microseconds of processor for each request, of proxy and advisers together.
    pub cpu_us: f64,
    /// Share of the core that they used.
    pub busy: f64,
    /// Share of the core that others used or the hypervisor took away.
    pub disturbed: f64,
}

/// An open loop: one round, in microseconds from the moment a request was due.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Median of how late the load itself was.
    pub sent_late: f64,
}

impl<'a> Ground<'a> {
    /// Starts the origin and makes what the load sends.
    pub fn prepare(place: &'a Place) -> Result<Self> {
        let folder = place.file("agents");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("wrk.lua"), include_str!("wrk.lua"))?;
        let body = folder.join("64k");
        fs::write(&body, digits(BODY_BYTES))?;
        let origin = Origin::start(place)?;
        let url = format!("http://{}/echo-length", origin.first);
        let data = format!("@{}", body.display());
        let digest = process::output("curl", &["-sS", "-m20", "--data-binary", &data, &url])?;
        if !digest.starts_with(&format!("{BODY_BYTES} ")) {
            return Err(format!("the origin cannot count: {digest}").into());
        }
        let credentials = Credentials::make(&folder)?;
        Ok(Self { place, origin, credentials, body_digest: digest.replace(' ', "-") })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.file("agents").join(name)
    }
}

impl Runner {
    /// Starts a contestant, and waits until it answers.
    pub fn start(contestant: &'static Contestant, ground: &Ground<'_>) -> Result<Self> {
        let folder = ground.file(contestant.slug);
        fs::create_dir_all(&folder)?;
        let (address, at) = (free_address()?, free_address()?);
        let adviser = start_adviser(contestant, at, ground)?;
        let keys = ground.place.file("agents");
        let wiring = Wiring {
            address,
            origin: ground.origin.first,
            adviser: at,
            advice: contestant.advice,
            folder: &folder,
            keys: &keys,
        };
        let mut command = launch(contestant.proxy, &wiring)?;
        let mut proxy = Server::start(&mut command, folder.join("said.log"))?;
        proxy.wait_for(address)?;
        let ask = contestant.ask(&ground.credentials, &ground.body_digest);
        let request = folder.join("request");
        fs::write(&request, head(&ask, address))?;
        let (script, body) = (ground.file("wrk.lua"), ground.file("64k"));
        let runner = Self { contestant, address, ask, script, request, body, proxy, adviser };
        runner.wait()?;
        Ok(runner)
    }

    /// Agents may start after the door opens; until then nothing passes.
    fn wait(&self) -> Result {
        let start = Instant::now();
        loop {
            match self.status(&self.ask.path, true) {
                Ok(200) => return Ok(()),
                last if start.elapsed() > PATIENCE => {
                    return Err(format!("it never answered 200, last {last:?}").into());
                }
                _ => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Checks that the origin gets what the adviser sets, and would have told if it did not.
    pub fn check(&self) -> Result {
        let mut wanted = vec![(&self.ask.path, true, 200), (&self.ask.wrong_path, true, 400)];
        if matches!(self.contestant.advice, Advice::ApiKey | Advice::Token) {
            wanted.push((&self.ask.path, false, 401));
        }
        for (path, with_fields, status) in wanted {
            let found = self.status(path, with_fields)?;
            if found != status {
                return Err(format!("{found} instead of {status} for {path}").into());
            }
        }
        Ok(())
    }

    fn status(&self, path: &str, with_fields: bool) -> Result<u16> {
        let mut curl = process::command("curl");
        curl.args(["--silent", "--output", "/dev/null", "--max-time", "5"]);
        curl.args(["--write-out", "%{response_code}"]);
        for (name, value) in self.ask.fields.iter().filter(|_| with_fields) {
            curl.args(["--header", &format!("{name}: {value}")]);
        }
        if self.contestant.work == Work::Body {
            curl.arg("--data-binary").arg(format!("@{}", self.body.display()));
        }
        curl.arg(format!("http://{}{path}", self.address));
        Ok(process::capture(&mut curl)?.trim().parse()?)
    }

    /// As many requests as possible for so many seconds; a single wrong answer is an error.
    pub fn saturate(&self, seconds: u64) -> Result<Sample> {
        let body = if self.contestant.work == Work::Body { BODY_BYTES } else { 0 };
        let mut wrk = pinned::command(Core::Load, "wrk");
        wrk.args(["-t1", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), "-s"]).arg(&self.script);
        wrk.args([&format!("http://{}{}", self.address, self.ask.path), "--", &body.to_string()]);
        wrk.args(self.ask.fields.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        let (cpu, core) = (self.cpu_time()?, machine::proxy_core_seconds()?);
        let done = verified(read_wrk(&process::capture(&mut wrk)?)?)?;
        let cpu = self.cpu_time()?.since(cpu).all();
        let core = machine::proxy_core_seconds()? - core;
        Ok(Sample {
            rate: done.rate(),
            cpu_us: cpu * 1e6 / done.requests as f64,
            busy: cpu / done.seconds,
            disturbed: ((core - cpu) / done.seconds).max(0.0),
        })
    }

    /// So many requests per second whether or not answers come; a single wrong one is an error.
    pub fn pace(&self, rate: f64, seconds: u64) -> Result<Latency> {
        let mut paced = pinned::command(Core::Load, packaged("paced"));
        paced.arg(self.address.to_string()).arg(&self.request);
        paced.args([&format!("{rate:.0}"), &seconds.to_string(), CONNECTIONS]);
        read_paced(&serde_json::from_str(&process::capture(&mut paced)?)?)
    }

    /// What the processes have said, for errors.
    pub fn said(&self) -> String {
        let adviser = self.adviser.as_ref().map(Server::said).unwrap_or_default();
        format!("{}\n{adviser}", self.proxy.said())
    }

    fn cpu_time(&self) -> Result<CpuTime> {
        let proxy = self.proxy.cpu_time()?;
        let Some(adviser) = &self.adviser else { return Ok(proxy) };
        let adviser = adviser.cpu_time()?;
        Ok(CpuTime { user: proxy.user + adviser.user, system: proxy.system + adviser.system })
    }
}

/// Starts what the proxy asks, unless the proxy does so itself.
fn start_adviser(
    contestant: &Contestant,
    at: SocketAddr,
    ground: &Ground<'_>,
) -> Result<Option<Server>> {
    let folder = ground.file(&format!("{}-adviser", contestant.slug));
    let mut command = match contestant.advice {
        Advice::Service => {
            fs::create_dir_all(&folder)?;
            nginx(&folder, &config::service(&folder, at)?)?
        }
        Advice::Spoe => {
            fs::create_dir_all(&folder)?;
            let mut command = pinned::command(Core::Proxy, packaged("spoa"));
            command.args([&at.to_string(), "seen", "yes"]);
            command
        }
        Advice::None | Advice::Agents(_) | Advice::ApiKey | Advice::Token | Advice::Inspect => {
            return Ok(None);
        }
    };
    let mut server = Server::start(&mut command, folder.join("said.log"))?;
    server.wait_for(at)?;
    Ok(Some(server))
}

/// Writes the config and returns the command that runs it.
fn launch(proxy: Proxy, wiring: &Wiring<'_>) -> Result<Command> {
    match proxy {
        Proxy::Selvedge => {
            let file = wiring.folder.join("selvedge.kdl");
            fs::write(&file, config::selvedge(wiring))?;
            let mut command = pinned::command(Core::Proxy, packaged("selvedge"));
            command.args(["edge", "--config"]).arg(file);
            Ok(command)
        }
        Proxy::Nginx => nginx(wiring.folder, &config::nginx(wiring)?),
        Proxy::Haproxy => {
            let file = wiring.folder.join("haproxy.cfg");
            fs::write(&file, config::haproxy(wiring))?;
            fs::write(wiring.folder.join("spoe.cfg"), config::spoe())?;
            let mut command = pinned::command(Core::Proxy, installed("haproxy")?);
            command.arg("-db").arg("-f").arg(file);
            Ok(command)
        }
    }
}

fn nginx(folder: &std::path::Path, config: &str) -> Result<Command> {
    let file = folder.join("nginx.conf");
    fs::write(&file, config)?;
    let mut command = pinned::command(Core::Proxy, installed("nginx")?);
    command.arg("-p").arg(folder).arg("-c").arg(file);
    Ok(command)
}

fn head(ask: &Ask, address: SocketAddr) -> String {
    let fields: String =
        ask.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {} HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n", ask.path)
}

/// Refuses figures of a load that had a single wrong answer: wrk counts every status above 399.
fn verified(done: Throughput) -> Result<Throughput> {
    let Throughput { requests, failed, bytes, seconds: _ } = done;
    let short = bytes < requests * "hello from 0".len() as u64;
    if requests > 0 && failed == 0 && !short {
        return Ok(done);
    }
    Err(format!("{requests} answers of {bytes} bytes in all, {failed} requests failed").into())
}

fn read_paced(output: &Value) -> Result<Latency> {
    let figure =
        |name: &str| output[name].as_f64().ok_or_else(|| format!("paced says no {name}: {output}"));
    if figure("failed")? > 0.0 || figure("unanswered")? > 0.0 || figure("good")? < 1.0 {
        return Err(format!("wrong answers: {output}").into());
    }
    Ok(Latency {
        p50: figure("p50_us")?,
        p99: figure("p99_us")?,
        p999: figure("p999_us")?,
        sent_late: figure("sent_late_p50_us")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_wrong_answer_voids_a_closed_loop() {
        let right = Throughput { requests: 10, failed: 0, bytes: 120, seconds: 1.0 };
        assert!(verified(right).is_ok());
        for wrong in [
            Throughput { requests: 0, bytes: 0, ..right },
            Throughput { failed: 1, ..right },
            Throughput { bytes: 119, ..right },
        ] {
            assert!(verified(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn one_wrong_answer_voids_an_open_loop() {
        let right = json!({
            "good": 5, "failed": 0, "unanswered": 0,
            "p50_us": 1.0, "p99_us": 2.0, "p999_us": 3.0, "sent_late_p50_us": 0.5,
        });
        assert_eq!(read_paced(&right).unwrap().p99, 2.0);
        for (name, wrong) in [("failed", 1), ("unanswered", 1), ("good", 0)] {
            let mut output = right.clone();
            output[name] = json!(wrong);
            assert!(read_paced(&output).is_err(), "{name}");
        }
    }
}
