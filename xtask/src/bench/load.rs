//! Load generators: other people's where they exist, run on the core of the load, their figures read back.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command};

use serde_json::{Value, json};

use super::{
    packaged,
    peer::{Place, routes},
    pinned::{self, Core},
    scenario::{Load, POST_BYTES, ROUTES, Scenario, Setup},
};
use crate::{Result, process, workspace};

/// The open-loop generator, at a version whose output we know.
const OHA: (&str, &str) = ("oha", "1.16.0");

/// Connections of HTTP/1 loads.
const CONNECTIONS: &str = "64";

/// Where the generators and their inputs are.
#[derive(Debug)]
pub struct Tools {
    oha: PathBuf,
    script: PathBuf,
    body: PathBuf,
    route_urls: PathBuf,
}

/// What a closed loop came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Throughput {
    /// Requests answered.
    pub requests: u64,
    /// Answers that were wrong, and connections that broke.
    pub failed: u64,
    /// Bytes received: bodies for sure, heads where the generator counts them.
    pub bytes: u64,
    /// Time it took.
    pub seconds: f64,
}

/// What an open loop came to, in milliseconds from the moment a request was due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Requests per second that were due.
    pub due: f64,
    /// Requests per second that were answered.
    pub rate: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
}

impl Tools {
    /// Builds what is missing and writes the inputs.
    pub fn prepare(place: &Place, open_loop: bool) -> Result<Self> {
        let tools = Self {
            oha: workspace::tools().join("bin").join(OHA.0),
            script: place.file("wrk.lua"),
            body: place.file("body"),
            route_urls: place.file("urls"),
        };
        if open_loop && !tools.oha.is_file() {
            install_oha()?;
        }
        Ok(tools)
    }

    /// As many requests as possible for so many seconds.
    pub fn saturate(
        &self,
        scenario: &Scenario,
        address: SocketAddr,
        seconds: u64,
    ) -> Result<Throughput> {
        let url = url(scenario, address);
        match scenario.load {
            Load::Get => self.wrk(&url, &["get"], seconds),
            Load::Post => self.wrk(&url, &["post", &POST_BYTES.to_string()], seconds),
            Load::Routes => self.wrk(&url, &["routes", &ROUTES.to_string()], seconds),
            Load::Multiplexed => h2load(&url, seconds),
            Load::Handshakes => handshakes(address, scenario.path, seconds),
        }
    }

    /// So many requests per second whether or not answers come; `None` where no generator can do that.
    pub fn pace(
        &self,
        scenario: &Scenario,
        address: SocketAddr,
        due: f64,
        seconds: u64,
    ) -> Result<Option<Latency>> {
        let mut oha = pinned::command(Core::Load, &self.oha);
        oha.args(["--no-tui", "--insecure", "--latency-correction", "--output-format", "json"])
            .args(["-w", "-z", &format!("{seconds}s"), "-q", &format!("{due:.0}")]);
        match scenario.load {
            Load::Handshakes => return Ok(None),
            Load::Get => oha.args(["-c", CONNECTIONS]).arg(url(scenario, address)),
            Load::Post => oha
                .args(["-c", CONNECTIONS, "-m", "POST", "-D"])
                .arg(&self.body)
                .arg(url(scenario, address)),
            Load::Routes => {
                let prefix = format!("http://{address}");
                let urls: Vec<String> =
                    routes().map(|(route, _)| format!("{prefix}{route}small")).collect();
                fs::write(&self.route_urls, urls.join("\n"))?;
                oha.args(["-c", CONNECTIONS, "--urls-from-file"]).arg(&self.route_urls)
            }
            Load::Multiplexed => {
                oha.args(["--http2", "-c", "8", "-p", "16"]).arg(url(scenario, address))
            }
        };
        let output: Value = serde_json::from_str(&process::capture(&mut oha)?)?;
        read_oha(&output, due).map(Some)
    }

    fn wrk(&self, url: &str, arguments: &[&str], seconds: u64) -> Result<Throughput> {
        let mut wrk = pinned::command(Core::Load, "wrk");
        wrk.args(["-t1", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), "-s"])
            .arg(&self.script)
            .args([url, "--"])
            .args(arguments);
        read_wrk(&process::capture(&mut wrk)?)
    }
}

impl Throughput {
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

impl Latency {
    /// For the report.
    pub fn json(&self) -> Value {
        let Self { due, rate, p50, p99, p999 } = self;
        json!({ "due_rps": due, "rps": rate, "p50_ms": p50, "p99_ms": p99, "p999_ms": p999 })
    }
}

/// The version of oha that [`Tools`] uses.
pub fn oha_version() -> String {
    format!("{} {}", OHA.0, OHA.1)
}

fn install_oha() -> Result {
    let (name, version) = OHA;
    println!("bench: building {name} {version} (once)");
    let build = workspace::tools().join("build-oha");
    let mut install = process::cargo(&["install", "--locked", "--quiet", name]);
    install.args(["--version", version, "--root"]).arg(workspace::tools());
    process::run(install.env("CARGO_TARGET_DIR", &build))?;
    fs::remove_dir_all(build)?;
    Ok(())
}

fn url(scenario: &Scenario, address: SocketAddr) -> String {
    let scheme = if matches!(scenario.setup, Setup::Tls | Setup::Http2) { "https" } else { "http" };
    format!("{scheme}://{address}{}", scenario.path)
}

fn h2load(url: &str, seconds: u64) -> Result<Throughput> {
    let mut h2load = pinned::command(Core::Load, "h2load");
    h2load.args(["-t1", "-c8", "-m16", "-D", &seconds.to_string(), url]);
    read_h2load(&process::capture(&mut h2load)?)
}

fn handshakes(address: SocketAddr, path: &str, seconds: u64) -> Result<Throughput> {
    let mut load: Command = pinned::command(Core::Load, packaged("handshakes"));
    load.args([&address.to_string(), path, &seconds.to_string(), CONNECTIONS]);
    let output: Value = serde_json::from_str(&process::capture(&mut load)?)?;
    let count = |name: &str| output[name].as_u64().ok_or_else(|| format!("no {name}: {output}"));
    if let Some(failure) = output["first_failure"].as_str() {
        println!("bench: handshakes: {failure}");
    }
    Ok(Throughput {
        requests: count("good")?,
        failed: count("failed")?,
        bytes: count("body_bytes")?,
        seconds: output["seconds"].as_f64().ok_or("no seconds")?,
    })
}

/// The line that `wrk.lua` writes.
pub fn read_wrk(output: &str) -> Result<Throughput> {
    let line = output.lines().find_map(|line| line.strip_prefix("figures "));
    let line = line.ok_or_else(|| format!("wrk says no figures:\n{output}"))?;
    let figure = |name: &str| -> Result<u64> {
        let pairs = line.split(' ').filter_map(|pair| pair.split_once('='));
        let value = pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        Ok(value.ok_or_else(|| format!("wrk says no {name}: {line}"))?.parse()?)
    };
    let mut failed = 0;
    for name in ["status", "connect", "read", "write", "timeout"] {
        failed += figure(name)?;
    }
    Ok(Throughput {
        requests: figure("requests")?,
        failed,
        bytes: figure("bytes")?,
        seconds: figure("duration_us")? as f64 / 1e6,
    })
}

/// Three of the lines that h2load ends with.
fn read_h2load(output: &str) -> Result<Throughput> {
    let line = |start: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix(start));
        line.ok_or_else(|| format!("h2load says no `{start}`:\n{output}"))
    };
    let number = |text: &str, name: &str| -> Result<u64> {
        let before = text.split(',').find_map(|part| part.trim().strip_suffix(name));
        Ok(before.ok_or_else(|| format!("h2load says no{name}: {text}"))?.trim().parse()?)
    };
    let (requests, status) = (line("requests: ")?, line("status codes: ")?);
    let good = number(status, " 2xx")?;
    let failed = number(requests, " failed")? + number(requests, " timeout")?;
    let rest = ["3xx", "4xx", "5xx"].map(|class| number(status, class));
    let wrong = rest.into_iter().sum::<Result<u64>>()?;
    let (_, data) = line("traffic: ")?.rsplit_once(", ").ok_or("h2load says no data")?;
    let bytes = data.split(['(', ')']).nth(1).ok_or("h2load says no bytes")?;
    let seconds = line("finished in ")?.split("s,").next().unwrap_or_default();
    Ok(Throughput {
        requests: good,
        failed: failed + wrong,
        bytes: bytes.parse()?,
        seconds: seconds_of(seconds)?,
    })
}

/// h2load writes `4.00` before the `s` that was cut off, or `812.3m`.
fn seconds_of(text: &str) -> Result<f64> {
    Ok(match text.strip_suffix('m') {
        Some(ms) => ms.parse::<f64>()? / 1000.0,
        None => text.parse()?,
    })
}

/// What oha calls the HTTP/2 requests that are under way when time is up: no error of anybody's.
const CUT_OFF: &str = "aborted due to deadline";

fn read_oha(output: &Value, due: f64) -> Result<Latency> {
    let wrong = output["statusCodeDistribution"]
        .as_object()
        .is_none_or(|codes| codes.keys().any(|code| code != "200"));
    let errors = output["errorDistribution"].as_object();
    if wrong || errors.is_some_and(|errors| errors.keys().any(|error| error != CUT_OFF)) {
        let (codes, errors) = (&output["statusCodeDistribution"], &output["errorDistribution"]);
        return Err(format!("oha: answers {codes}, errors {errors}").into());
    }
    let percentile = |name: &str| {
        let seconds = output["latencyPercentiles"][name].as_f64();
        seconds.map(|seconds| seconds * 1000.0).ok_or_else(|| format!("oha says no {name}"))
    };
    Ok(Latency {
        due,
        rate: output["summary"]["requestsPerSec"].as_f64().ok_or("oha says no rate")?,
        p50: percentile("p50")?,
        p99: percentile("p99")?,
        p999: percentile("p99.9")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_figures_are_read() {
        let output = "Running 4s test\n\nfigures requests=100 bytes=8800 duration_us=4000000 \
                      status=1 connect=2 read=3 write=4 timeout=5\n";
        let found = read_wrk(output).unwrap();
        assert_eq!((found.requests, found.failed, found.bytes), (100, 15, 8800));
        assert_eq!(found.rate(), 25.0);
        assert!(read_wrk("Running 4s test\n").is_err());
    }

    #[test]
    fn h2load_figures_are_read() {
        let output = "finished in 4.00s, 25.00 req/s, 1.2MB/s\n\
            requests: 103 total, 103 started, 100 done, 99 succeeded, 1 failed, 1 errored, 0 timeout\n\
            status codes: 99 2xx, 0 3xx, 0 4xx, 1 5xx\n\
            traffic: 1.06MB (1113140) total, 5.31KB (5433) headers (space savings 97%), 1.17KB (1200) data\n";
        let found = read_h2load(output).unwrap();
        assert_eq!((found.requests, found.failed, found.bytes), (99, 2, 1200));
        assert_eq!(found.seconds, 4.0);
    }

    #[test]
    fn oha_must_have_had_200_alone() {
        let mut output = json!({
            "summary": { "requestsPerSec": 99.5 },
            "latencyPercentiles": { "p50": 0.001, "p99": 0.002, "p99.9": 0.003 },
            "statusCodeDistribution": { "200": 100 },
            "errorDistribution": {},
        });
        let found = read_oha(&output, 100.0).unwrap();
        assert_eq!((found.p50, found.p99, found.p999, found.rate), (1.0, 2.0, 3.0, 99.5));
        output["errorDistribution"][CUT_OFF] = json!(128);
        assert!(read_oha(&output, 100.0).is_ok());
        output["statusCodeDistribution"]["502"] = json!(1);
        assert!(read_oha(&output, 100.0).is_err());
    }
}
