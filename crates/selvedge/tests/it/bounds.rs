use expect_test::expect;

use crate::process::Place;

const CONFIG: &str = r#"
workers 1
limits { connections 500 }
listener "web" { address "127.0.0.1:0" }
route "all" {
    respond 200 "hi"
    limits { body "1MiB" }
}
"#;

#[test]
fn the_table_has_value_origin_and_consequence() {
    let place = Place::new();
    expect![[r#"
        exit 0
        --- stdout
        process
          limits connections                         500  a.kdl:3  refused, counted
          limits connections-per-address             256  default  refused, counted
          limits head                              32KiB  default  431
          limits head-fields                         100  default  431
          limits in-flight                         10000  default  503 with Retry-After
          limits upstream-connections              10000  default  wait bounded by the connect timeout, then 503
          limits route-cache                        4096  default  the least recently used entry goes
          limits response-head                     64KiB  default  502
          workers                                      1  a.kdl:2  one thread and one runtime each; connections share them
          drain-timeout                              30s  default  requests still running are cut
        listener "web"
          timeouts head                              10s  default  408, then the connection closes
          timeouts body                              30s  default  408, then the connection closes
          timeouts write                             30s  default  the connection closes
          timeouts idle                              75s  default  the connection closes
        route "all"
          limits body                               1MiB  a.kdl:7  413
          limits in-flight                          none  default  503 with Retry-After
        fixed
          PROXY header                             4112B  fixed    the connection closes
          TLS sessions of a listener                4096  fixed    the oldest is forgotten
          proxies in front                            64  fixed    no further one is looked at
          trailer section                           8KiB  fixed    400, or the response is cut
          body on its way, each direction          64KiB  fixed    the sender waits
          HTTP/2 stream output                    128KiB  fixed    the target waits
          idle HTTP/2 tasks of a core                128  fixed    the task ends
          unwanted body                            64KiB  fixed    the connection closes after its answer
          unwanted body, time                         5s  fixed    the connection closes after its answer
          linger                                   16MiB  fixed    the connection closes
          linger, time                                2s  fixed    the connection closes
          interim responses to a request              16  fixed    502
          HTTP/2 streams to a target                 100  fixed    another connection opens
          HTTP/2 stream window of a target        256KiB  fixed    the target waits
          HTTP/2 silence of a target                  5s  fixed    it is sent a PING
          HTTP/2 answer to a PING                     5s  fixed    the connection is given up
          TLS sessions to an upstream                256  fixed    the oldest is forgotten
          name lookups of a core                      16  fixed    wait inside the connect timeout
          health probes at once                      256  fixed    wait
          head of a probe's answer                 64KiB  fixed    the probe fails
          agents of a new config, to be ready         5s  fixed    it begins without them
          connection to an agent, to be ready         5s  fixed    it is made anew
          ping to an agent without an answer          1s  fixed    it counts as down
          silence of a started agent                 10s  fixed    its process is killed
          end of a started agent                      5s  fixed    its process is killed
          calls that wait for each of an agent        10  fixed    failure mode
          body in place of another, by an agent    16MiB  fixed    failure mode
          lines of an agent in a second              100  fixed    further ones are counted
          series that an agent measures itself      4096  fixed    further ones are left out, counted
          answer to what an agent measures         250ms  fixed    what it told before is shown
          pages a site keeps on a core               512  fixed    the least recently used goes
          bytes a site keeps on a core              8MiB  fixed    the least recently used goes
          files a site keeps open on a core           64  fixed    the least recently used goes
          reads of a core that wait for the disk       8  fixed    wait
          ranges of a request                          8  fixed    the whole file is sent
          admin connections                           32  fixed    wait in the kernel's queue
          admin request head                       16KiB  fixed    431
          admin request head, time                    5s  fixed    the connection closes
          admin connection, time                      1m  fixed    the connection closes
          admin reload, time                         30s  fixed    504; the reload goes on
          metrics of the core, time                   2s  fixed    they are left out
          metrics of the core                       4MiB  fixed    they are left out
          reloads that wait                            4  fixed    503
          files and names read beside the cores       16  fixed    wait
          certificate file                          4MiB  fixed    refused
          access log batches                         256  fixed    the newest are dropped and counted
          access log queue                          8MiB  fixed    the newest are dropped and counted
          events of a core for the audit log        1024  fixed    the newest are dropped and counted in one entry
          events in a row                            200  fixed    further ones are counted
          events in the long run, one in            20ms  fixed    further ones are counted
    "#]].assert_eq(&place.write("a.kdl", CONFIG).run("bounds --config a.kdl"));
}

#[test]
fn json_has_the_same_rows_as_the_table() {
    let place = Place::new();
    place.write("a.kdl", CONFIG);
    let json = place.run("bounds --config a.kdl --format json");
    let json = json.strip_prefix("exit 0\n--- stdout\n").unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
    let table = place.run("bounds --config a.kdl");
    assert_eq!(rows.len(), table.lines().filter(|line| line.starts_with("  ")).count());
    let body = rows.iter().find(|row| row["name"] == "limits body").unwrap();
    expect![[r#"
        {
          "at_bound": "413",
          "file": "a.kdl",
          "line": 7,
          "name": "limits body",
          "origin": "written",
          "scope": "route \"all\"",
          "value": "1MiB"
        }
    "#]]
    .assert_eq(&format!("{body:#}\n"));
}
