use super::{Report, Result, Stage, Subject, Suite};
use crate::{
    conformance::stage::{drive, free_ports, start},
    process, workspace,
};

pub const SUITE: Suite = Suite {
    name: "tonic",
    about: "A client and a server of `tonic` (crates.io) with the proxy between, over cleartext HTTP/2: every \
        kind of streaming, trailers, deadline, cancellation. Wrong on purpose: an HTTP/2 server that \
        answers 200 without trailers.",
    quick: false,
    python: &[],
    unavailable: || None,
    run,
};

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let folder = workspace::target().join("tonic");
    let manifest = "conformance/tonic/Cargo.toml";
    let mut build = process::cargo(&["build", "--quiet", "--locked", "--manifest-path", manifest]);
    process::run(build.env("CARGO_TARGET_DIR", &folder))?;
    let [proxy, origin] = free_ports()?;
    let _server = match subject {
        Subject::Selvedge => stage.selvedge("tonic", &config(proxy, origin), &[proxy])?,
        Subject::Wrong => {
            let mut wrong = process::command("python3");
            start(wrong.args(["conformance/h2/wrong.py", &proxy.to_string()]), &[proxy])?
        }
    };
    let mut driver = process::command(folder.join("debug/selvedge-conformance-tonic"));
    Report::parse(&drive(driver.args([proxy, origin].map(|port| port.to_string())))?)
}

fn config(proxy: u16, origin: u16) -> String {
    format!(
        r#"listener "h2c" {{ address "127.0.0.1:{proxy}"; protocols "h2" }}
upstream "service" {{ target "127.0.0.1:{origin}"; protocol "h2" }}
route "all" {{ upstream "service" }}
admin #false
"#
    )
}
