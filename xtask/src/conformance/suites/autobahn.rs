use super::{Report, Result, Stage, Subject, Suite};
use crate::{
    conformance::stage::{drive, free_ports, start},
    process, setup,
};

pub const SUITE: Suite = Suite {
    name: "autobahn",
    about: "`autobahntestsuite` (PyPI) against an echo server, first directly, then through the proxy: frames \
        right and wrong, fragments, UTF-8, closing, 16 MiB messages in chops of 64 bytes. The suite is \
        Python 2; `conformance/autobahn` loads its cases in Python 3. Wrong on purpose: a proxy that \
        swaps the case of letters once a connection is a WebSocket.",
    quick: false,
    python: &["autobahntestsuite==25.10.1", "websockets==17.4"],
    unavailable: || None,
    run,
};

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let python = setup::python(SUITE.python)?;
    let [proxy, echo] = free_ports()?;
    let ports = [proxy, echo].map(|port| port.to_string());
    let mut server = process::command(&python);
    let _echo = start(server.args(["conformance/autobahn/echo.py", &ports[1]]), &[echo])?;
    let _proxy = match subject {
        Subject::Selvedge => stage.selvedge("autobahn", &config(proxy, echo), &[proxy])?,
        Subject::Wrong => {
            let mut wrong = process::command(&python);
            start(wrong.arg("conformance/autobahn/wrong.py").args(&ports), &[proxy])?
        }
    };
    let mut driver = process::command(python);
    Report::parse(&drive(driver.arg("conformance/autobahn/suite.py").args(ports))?)
}

fn config(proxy: u16, echo: u16) -> String {
    format!(
        r#"listener "http" {{ address "127.0.0.1:{proxy}" }}
upstream "echo" {{ target "127.0.0.1:{echo}" }}
route "all" {{ upstream "echo" }}
limits {{ connections-per-address 1000 }}
admin #false
"#
    )
}
