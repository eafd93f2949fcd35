use super::{Report, Result, Stage, Subject, Suite};
use crate::{
    conformance::stage::{drive, free_ports},
    process, setup,
};

pub const SUITE: Suite = Suite {
    name: "ext-proc",
    about: "Services on Envoy's published definitions (`xds-protos`) and gRPC's own `grpcio`, both from PyPI, and an \
        HTTP server of Python's for forward-auth, all asked through the bridge: what they see of exchanges, and what \
        becomes of each of their answers; with the agent of `examples/agents/python-grpc`. Wrong on purpose: the same \
        routes without agents.",
    quick: true,
    python: &["grpcio==1.85.1", "xds-protos==1.85.0"],
    unavailable: || None,
    run,
};

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let python = setup::python(SUITE.python)?;
    let [edge, origin, grpc, auth, example] = free_ports()?;
    let agents = match subject {
        Subject::Selvedge => agents([grpc, auth, example]),
        Subject::Wrong => String::new(),
    };
    let routes = routes(subject);
    let config = format!(
        r#"listener "http" {{ address "127.0.0.1:{edge}" }}
upstream "origin" {{ target "127.0.0.1:{origin}" }}
admin #false
{agents}{routes}"#
    );
    let _server = stage.selvedge("ext-proc", &config, &[edge])?;
    let mut driver = process::command(python);
    driver.arg("conformance/ext-proc/suite.py");
    driver.args([edge, origin, grpc, auth, example].map(|port| port.to_string()));
    Report::parse(&drive(&mut driver)?)
}

fn agents([grpc, auth, example]: [u16; 3]) -> String {
    // What fails on purpose must not make the breaker refuse what follows.
    let patient = "circuit-breaker { failure-threshold 1000 }";
    let all = r#"events "request_headers" "request_body" "response_headers" "response_body""#;
    format!(
        r#"agent "proc" {{ type "proc"; grpc address="http://127.0.0.1:{grpc}"; {all}; timeout-ms 5000; body-max "64KiB"; {patient} }}
agent "late" {{ type "late"; grpc address="http://127.0.0.1:{grpc}"; timeout-ms 500; {patient} }}
agent "stream" {{ type "stream"; grpc address="http://127.0.0.1:{grpc}" {{ body-mode "stream" }}; {all}; timeout-ms 5000; {patient} }}
agent "authz" {{ type "authz"; grpc address="http://127.0.0.1:{grpc}" {{ protocol "ext_authz" }}; events "request_headers" "request_body"; timeout-ms 5000; {patient} }}
agent "web" {{
    type "web"
    http address="http://127.0.0.1:{auth}/verify?x=1" {{ response-headers "Remote-User" "Remote-Groups"; client-headers "Set-Cookie" }}
    timeout-ms 5000
}}
agent "example" {{ type "example"; grpc address="http://127.0.0.1:{example}"; events "request_headers" "request_body"; timeout-ms 5000; {patient} }}
"#
    )
}

fn routes(subject: Subject) -> String {
    let route = |name: &str| {
        let agent = match (subject, name) {
            (Subject::Wrong, _) => String::new(),
            (_, "authz") => format!("agent {name:?} {{ realm \"conformance\" }}; "),
            _ => format!("agents {name:?}; "),
        };
        format!(
            "route {name:?} {{ matches {{ path-prefix \"/{name}\" }}; {agent}upstream \"origin\" }}\n"
        )
    };
    ["proc", "late", "stream", "authz", "web", "example"].map(route).concat()
}
