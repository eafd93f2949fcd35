//! What rules remember, over all connections and cores.

use super::ask;
use crate::process::{Place, eventually, field};

/// More than five requests of one address are refused.
const RULES: &str = r#"
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.requests=+1"
SecRule IP:REQUESTS "@gt 5" "id:2,phase:1,deny,status:429,log,msg:'%{ip.requests} requests'"
"#;

#[test]
fn requests_of_an_address_are_counted_over_all_connections() {
    let place = Place::new();
    place.write("own.conf", RULES).write(
        "a.kdl",
        "workers 2\nadmin #false\nlistener \"web\" { address \"127.0.0.1:0\" }\n\
         agent \"waf\" { type \"waf\"; seclang \"own.conf\"; timeout-ms 10000 }\n\
         route \"all\" { agents \"waf\"; respond 200 \"one\" }\n",
    );
    let mut edge = place.start("edge --config a.kdl");
    let url = field(&edge.hear("listener=web"), "url");
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    edge.hear("msg=serving");
    // The first that the agent answers counts, too.
    eventually("the agent answers", || ask(&address, "/").0.contains(" 200 ").then_some(()));
    for number in 2..=8 {
        let status = if number <= 5 { " 200 " } else { " 429 " };
        let (line, _) = ask(&address, "/");
        assert!(line.contains(status), "{number}: {line}");
    }
    edge.read("6 requests");
}
