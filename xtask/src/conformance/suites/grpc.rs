use super::{Report, Result, Stage, Subject, Suite};
use crate::{
    conformance::stage::{drive, free_ports, start},
    process, setup,
};

pub const SUITE: Suite = Suite {
    name: "grpc",
    about: "Client and server of gRPC's own `grpcio` (PyPI) with the proxy between, in cleartext and over \
        TLS: every kind of streaming, trailers, deadlines, cancellation, back-pressure. Wrong on \
        purpose: an HTTP/2 server that answers 200 without trailers.",
    quick: true,
    python: &["grpcio==1.85.1"],
    unavailable: || None,
    run,
};

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let python = setup::python(SUITE.python)?;
    let (cert, key) = stage.certificate()?;
    let [plain, tls, origin, nobody] = free_ports()?;
    let _server = match subject {
        Subject::Selvedge => {
            let files = format!("cert {cert:?}; key {key:?}");
            stage.selvedge("grpc", &config([plain, tls, origin, nobody], &files), &[plain, tls])?
        }
        Subject::Wrong => {
            let mut wrong = process::command(&python);
            start(wrong.args(["conformance/h2/wrong.py", &plain.to_string()]), &[plain])?
        }
    };
    let mut driver = process::command(python);
    driver.arg("conformance/grpc/suite.py").args([plain, tls, origin].map(|port| port.to_string()));
    // What is wrong on purpose leaves most calls without an answer.
    let patience_s = if subject == Subject::Wrong { "1" } else { "20" };
    Report::parse(&drive(driver.arg(cert).arg(patience_s))?)
}

fn config([plain, tls, origin, nobody]: [u16; 4], certificate: &str) -> String {
    format!(
        r#"listener "h2c" {{ address "127.0.0.1:{plain}"; protocols "h2" }}
listener "https" {{ address "127.0.0.1:{tls}"; tls {{ {certificate} }} }}
upstream "service" {{ target "127.0.0.1:{origin}"; protocol "h2" }}
upstream "nobody" {{ target "127.0.0.1:{nobody}"; protocol "h2" }}
route "down" {{ matches {{ path-prefix "/down" }}; upstream "nobody" }}
route "all" {{ upstream "service"; limits {{ body "64MiB" }} }}
admin #false
"#
    )
}
