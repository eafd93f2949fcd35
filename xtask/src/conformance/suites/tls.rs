use super::{Report, Result, Stage, Subject, Suite};
use crate::{
    conformance::stage::{drive, free_ports, start},
    process, setup,
};

pub const SUITE: Suite = Suite {
    name: "tls",
    about: "`sslyze` (PyPI) on a TLS listener: versions, ciphers, curves, known attacks, and what Mozilla's \
        intermediate profile says of them. Wrong on purpose: a server that still speaks TLS 1.0 and \
        exchanges keys by RSA.",
    quick: true,
    python: &["sslyze==6.3.1"],
    unavailable: || None,
    run,
};

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let python = setup::python(SUITE.python)?;
    let [port] = free_ports()?;
    let _server = match subject {
        Subject::Selvedge => stage.selvedge("tls", &config(port), &[port])?,
        Subject::Wrong => {
            let (cert, key) = stage.certificate()?;
            let mut wrong = process::command(&python);
            wrong.args(["conformance/tls/wrong.py", &port.to_string()]).args([cert, key]);
            start(&mut wrong, &[port])?
        }
    };
    let mut driver = process::command(python);
    driver.args(["-W", "ignore", "conformance/tls/suite.py", &port.to_string()]);
    Report::parse(&drive(&mut driver)?)
}

fn config(port: u16) -> String {
    format!(
        r#"listener "https" {{ address "127.0.0.1:{port}"; tls {{ self-signed "localhost" }} }}
route "all" {{ respond 200 "hello" }}
limits {{ connections-per-address 1000 }}
admin #false
"#
    )
}
