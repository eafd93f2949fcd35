//! Backups in a bucket of a server that others wrote: moto, from PyPI.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    backup::fine,
    core::{CORE, up},
    http::send,
    process::{Place, eventually},
};

/// A server of buckets; it is killed with this handle.
struct Moto {
    child: Child,
    address: SocketAddr,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An interpreter that has moto: that of `cargo xtask setup`, or the system's.
fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python");
    [target, PathBuf::from("python3")].into_iter().find(|python| {
        let mut probe = Command::new(python);
        probe.args(["-c", "import moto.server"]).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    })
}

fn start() -> Option<Moto> {
    let python = python()?;
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server = Command::new(python);
    server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()]);
    let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let moto = Moto { child, address };
    eventually("the bucket is made", || {
        let made = send(("PUT", &format!("http://{address}/bucket")), &[], "");
        made.is_ok_and(|answer| answer.status == 200).then_some(())
    });
    Some(moto)
}

fn run(place: &Place, moto: &Moto, args: &str) -> String {
    let mut command = place.command(args.split_whitespace());
    command.env("AWS_ENDPOINT_URL", format!("http://{}", moto.address));
    command.env("AWS_ALLOW_HTTP", "true").env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b");
    place.show(&command.output().unwrap())
}

#[test]
fn a_bucket_keeps_backups_as_a_folder_does() {
    let Some(moto) = start() else {
        println!("skipped: no Python here has moto; `cargo xtask setup` installs it");
        return;
    };
    let place = Place::new();
    let (mut core, _) = up(&place, CORE);
    let dest = "s3://bucket/cores/one";
    fine(run(&place, &moto, &format!("backup create {dest} --keys all")));
    let second = fine(run(&place, &moto, &format!("backup create {dest} --keys all")));
    assert!(second.contains("new: "), "{second}");
    let listed = fine(run(&place, &moto, &format!("backup list {dest}")));
    assert_eq!(listed.matches(" audit entries").count(), 2, "{listed}");
    fine(run(&place, &moto, &format!("backup verify {dest}")));
    let pruned = fine(run(&place, &moto, &format!("backup prune {dest} --keep 1")));
    assert!(pruned.contains("1 backups went, 1 are there"), "{pruned}");
    let restored = fine(run(&place, &moto, &format!("backup restore {dest} copy")));
    assert!(restored.contains("audit log proven"), "{restored}");
    fine(place.run("audit verify --data-dir copy --key copy/audit.vkey"));

    let elsewhere = run(&place, &moto, "backup list s3://no-such-bucket");
    assert!(elsewhere.starts_with("exit 69\n"), "{elsewhere}");
    let mut plain = place.command(["backup", "list", dest]);
    plain.env("AWS_ENDPOINT_URL", format!("http://{}", moto.address));
    plain.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b");
    let refused = place.show(&plain.output().unwrap());
    assert!(refused.contains("AWS_ALLOW_HTTP=true takes it all the same"), "{refused}");
    core.signal(rustix::process::Signal::INT);
    core.end();
}
