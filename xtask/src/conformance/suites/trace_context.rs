use super::{Report, Result, Stage, Subject, Suite};
use crate::{
    conformance::stage::{drive, free_ports},
    process,
};

pub const SUITE: Suite = Suite {
    name: "trace-context",
    about: "The cases of the W3C's own suite (strict level 2), which is on no registry, said anew as a \
        table: headers in, headers seen by the upstream. Wrong on purpose: no proxy at all, so that \
        the upstream sees what the client sent.",
    quick: true,
    python: &[],
    unavailable: || None,
    run,
};

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let [proxy, origin, collector] = free_ports()?;
    let mut driver = process::command("python3");
    driver.arg("conformance/trace-context/suite.py");
    let _server = match subject {
        Subject::Selvedge => {
            driver.arg(proxy.to_string());
            let config = config(proxy, origin, collector);
            Some(stage.selvedge("trace-context", &config, &[proxy])?)
        }
        Subject::Wrong => {
            driver.arg(origin.to_string());
            None
        }
    };
    Report::parse(&drive(driver.arg(origin.to_string()))?)
}

/// With a collector that is not there: its absence must change nothing.
fn config(proxy: u16, origin: u16, collector: u16) -> String {
    format!(
        r#"listener "http" {{ address "127.0.0.1:{proxy}" }}
upstream "origin" {{ target "127.0.0.1:{origin}" }}
route "all" {{ upstream "origin" }}
telemetry {{ otlp "http://127.0.0.1:{collector}" {{ sample 1.0 }} }}
admin #false
"#
    )
}
