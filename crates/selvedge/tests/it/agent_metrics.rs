//! What agents measure themselves, as somebody sees it who scrapes a running edge.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

use rustix::process::Signal;

use crate::{
    firewall::{AGENT, RULES, ask},
    http::get,
    process::{Place, Running, eventually, field, send},
};

/// An edge with this agent, its address, and that of its admin listener.
fn start(place: &Place, agent: &str, asked: &str) -> (Running, [String; 2]) {
    place.write(
        "a.kdl",
        &format!(
            "workers 2\nadmin {{ address \"127.0.0.1:0\" }}\n\
             listener \"web\" {{ address \"127.0.0.1:0\" }}\n{agent}\
             route \"all\" {{ {asked}; respond 200 \"one\" }}\n"
        ),
    );
    let mut edge = place.start("edge --config a.kdl");
    let mut addresses = [String::new(), String::new()];
    while addresses.contains(&String::new()) {
        let line = edge.hear("url=http");
        let url =
            field(&line, "url").trim_start_matches("http://").trim_end_matches('/').to_owned();
        addresses[usize::from(line.contains("listener=(admin)"))] = url;
    }
    edge.hear("msg=serving");
    (edge, addresses)
}

fn scrape(admin: &str) -> String {
    let answer = get(&format!("http://{admin}/metrics"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// The page as soon as it has this line.
fn page_with(admin: &str, line: &str) -> String {
    let line = format!("\n{line}\n");
    eventually(&line, || Some(scrape(admin)).filter(|page| page.contains(&line)))
}

const MATCHED: &str = "selvedge_waf_rule_matches_total{agent=\"waf\",\
                       rule=\"sql/union-of-tests\",category=\"sql\",outcome=\"blocked\"} 1";

#[test]
fn a_rule_that_matched_is_counted_until_its_process_is_gone() {
    let place = Place::new();
    place.write("own.kdl", RULES);
    let (_edge, [web, admin]) = start(&place, AGENT, "agents \"waf\"");
    eventually("the agent answers", || ask(&web, "/?q=one").0.contains(" 200 ").then_some(()));
    assert!(!scrape(&admin).contains("selvedge_waf_rule_matches_total"));
    assert!(ask(&web, "/?q=1%20UNION%20%20SELECT%202").0.contains(" 403 "));
    // No wait: it is asked while this waits.
    let page = page_with(&admin, MATCHED);
    let blocked = "selvedge_waf_decisions_total{agent=\"waf\",profile=\"(none)\",\
                   message=\"request\",outcome=\"blocked\"} 1";
    for line in [
        "# TYPE selvedge_waf_rule_matches_total counter",
        "# TYPE selvedge_waf_inspection_seconds histogram",
        blocked,
        "selvedge_waf_points_bucket{agent=\"waf\",message=\"request\",le=\"24\"} 1",
        "selvedge_waf_points_bucket{agent=\"waf\",message=\"request\",le=\"49\"} 2",
        "selvedge_waf_inspection_seconds_count{agent=\"waf\",message=\"request\"} 2",
        "selvedge_agent_series_left_out{agent=\"waf\"} 0",
    ] {
        assert_eq!(page.matches(&format!("\n{line}\n")).count(), 1, "{line} in {page}");
    }

    let page = get(&format!("http://{admin}/agents")).body;
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let process = &page["agents"][0]["runs"]["process"]["pid"];
    send(i32::try_from(process.as_i64().unwrap()).unwrap(), Signal::KILL);
    eventually("what it measured is gone", || {
        (!scrape(&admin).contains("selvedge_waf_rule_matches_total")).then_some(())
    });
    eventually("another answers", || ask(&web, "/?q=one").0.contains(" 200 ").then_some(()));
    assert!(ask(&web, "/?q=1%20UNION%20%20SELECT%202").0.contains(" 403 "));
    page_with(&admin, MATCHED);
}

/// A frame of the agent protocol, on its connection.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, 0, 0, 0], &[0; 8], payload].concat()
}

/// An agent that wants nothing and says this when it is asked what it measured.
fn serve(listener: UnixListener, metrics: Vec<u8>) {
    for stream in listener.incoming() {
        let (stream, metrics) = (stream.unwrap(), metrics.clone());
        thread::spawn(move || talk(stream, &metrics));
    }
}

/// Ends with the connection.
fn talk(mut stream: UnixStream, metrics: &[u8]) -> std::io::Result<()> {
    loop {
        let mut header = [0; 16];
        stream.read_exact(&mut header)?;
        let [l0, l1, l2, l3, kind, ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([l0, l1, l2, l3]) as usize];
        stream.read_exact(&mut payload)?;
        match kind {
            // READY of version 2: bounds, no name, no version, no subscription.
            1 => stream.write_all(&frame(
                2,
                &[0, 2, 0, 0, 64, 0, 0, 0, 4, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0],
            ))?,
            5 => stream.write_all(&frame(6, &payload))?,
            0x0a => stream.write_all(&frame(0x0b, metrics))?,
            _ => {}
        }
    }
}

/// A family without help.
fn family(name: &str, kind: u8, labels: &[&str], series: &[Vec<u8>]) -> Vec<u8> {
    let text8 = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let labels: Vec<u8> = [vec![u8::try_from(labels.len()).unwrap()]]
        .into_iter()
        .chain(labels.iter().map(|one| text8(one)))
        .flatten()
        .collect();
    let count = u16::try_from(series.len()).unwrap().to_be_bytes();
    [text8(name), vec![kind, 0, 0], labels, vec![0], count.to_vec(), series.concat()].concat()
}

fn series(values: &[&str], bits: u64) -> Vec<u8> {
    let text16 = |text: &&str| {
        [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
    };
    let values = values.iter().map(text16).collect::<Vec<_>>().concat();
    [values, bits.to_be_bytes().to_vec()].concat()
}

fn metrics(families: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(families.len()).unwrap().to_be_bytes();
    [vec![0; 4], count.to_vec(), families.concat()].concat()
}

/// An edge beside an agent that says this of itself.
fn beside(place: &Place, metrics: Vec<u8>) -> (Running, [String; 2]) {
    let path = place.path("x.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(|| serve(listener, metrics));
    // Its names begin as those of the edge's own that are about the config.
    let agent = format!("agent \"x\" {{ type \"config\"; address \"unix:{}\" }}\n", path.display());
    start(place, &agent, "agents \"x\"")
}

#[test]
fn an_agent_cannot_pass_for_another_nor_flood_the_page() {
    let many: Vec<_> = (0..5_000).map(|n| series(&[&n.to_string()], n)).collect();
    let said = metrics(&[
        family("revision", 1, &[], &[series(&[], 999.0_f64.to_bits())]),
        family("loaded_timestamp_seconds", 2, &[], &[]),
        family("bad name", 0, &[], &[series(&[], 1)]),
        family("spoof_total", 0, &["agent"], &[series(&["auth"], 1)]),
        family(
            "odd",
            1,
            &["x"],
            &[
                series(&["a\"} 1\nselvedge_agent_up{agent=\"y"], 2.5_f64.to_bits()),
                series(&["b"], f64::NAN.to_bits()),
            ],
        ),
        family("many_total", 0, &["n"], &many),
    ]);
    let place = Place::new();
    let (mut edge, [web, admin]) = beside(&place, said);
    let page = page_with(&admin, "selvedge_agent_series_left_out{agent=\"x\"} 910");
    assert!(page.contains("\nselvedge_agent_series{agent=\"x\"} 4095\n"), "{page}");
    assert_eq!(page.matches("\nselvedge_config_revision").count(), 1);
    assert!(page.contains("\nselvedge_config_revision 1\n"));
    let odd = "selvedge_config_odd{agent=\"x\",\
               x=\"a\\\"} 1\\nselvedge_agent_up{agent=\\\"y\"} 2.5";
    assert!(page.contains(&format!("\n{odd}\n")), "{page}");
    assert!(!page.contains("NaN") && !page.contains("spoof") && !page.contains("bad name"));
    assert_eq!(page.matches("\nselvedge_config_many_total{").count(), 4_094);
    edge.hear("not all that an agent measures can be shown");
    assert!(ask(&web, "/").0.contains(" 200 "));
}

#[test]
fn an_agent_that_breaks_the_form_costs_its_connection_and_no_page() {
    // It has one label, and a value for none.
    let place = Place::new();
    let said = metrics(&[family("a", 0, &["x"], &[7_u64.to_be_bytes().to_vec()])]);
    let (mut edge, [web, admin]) = beside(&place, said);
    eventually("it is there", || {
        scrape(&admin).contains("selvedge_agent_up{agent=\"x\"} 1\n").then_some(())
    });
    (0..3).for_each(|_| assert!(!scrape(&admin).contains("selvedge_config_a")));
    edge.hear("malformed");
    assert!(ask(&web, "/").0.contains(" 200 "));
}
