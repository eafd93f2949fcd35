//! What an edge elsewhere brings to the audit log: as what its certificate says, and nobody through it.

use super::{EDGE, Machines};
use crate::{
    audit_edge::{assert_in_order, wait_entries},
    http::{get_with, send},
};

#[test]
fn an_edge_elsewhere_delivers_as_what_its_certificate_says() {
    let machines = Machines::new();
    let (_core, address) = machines.start_core(&format!("edges \"{EDGE}\""));
    let (_edge, url) = machines.start_edge(&address, "audit { dir \"kept\" }");
    assert_eq!(get_with(&url, &["Host: b"]).status, 400);
    let [entry] = &wait_entries(&machines.core, "request.block", 1)[..] else {
        panic!("one entry")
    };
    assert_eq!(entry["node"], format!("edge:{EDGE}"));
    assert_eq!(entry["reason"], "head-gate/duplicate-host");
    let deliveries = format!("{url}_selvedge/audit/deliveries");
    for field in ["Accept: */*", "X-Selvedge-Courier: 1"] {
        let refused = send(("POST", &deliveries), &[field], "{}").unwrap();
        assert_eq!(refused.status, 403, "{}", refused.body);
    }
    assert_in_order(&machines.core);
}
