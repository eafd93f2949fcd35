//! Makes files of records.
//!
//! `waf_corpus traffic FOLDER OUT` from recordings, `OUT.names` says which is which; `waf_corpus shapes FOLDER COUNT`
//! and `waf_corpus hostile FOLDER BYTES…` a file for each shape or kind of body.

use std::{error::Error, fs, path::Path};

use selvedge_bench_waf::{
    corpus::{self, HOSTILE, SHAPES},
    record,
};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["traffic", folder, out] => traffic(Path::new(folder), Path::new(out)),
        ["shapes", folder, count] => shapes(Path::new(folder), count.parse()?),
        ["hostile", folder, sizes @ ..] => hostile(Path::new(folder), sizes),
        _ => Err("say `traffic`, `shapes` or `hostile`".into()),
    }
}

fn traffic(folder: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let (names, requests): (Vec<_>, Vec<_>) = corpus::traffic(folder)?.into_iter().unzip();
    fs::write(out.with_extension("names"), names.join("\n") + "\n")?;
    Ok(record::write(out, &requests)?)
}

fn shapes(folder: &Path, count: usize) -> Result<(), Box<dyn Error>> {
    for shape in SHAPES {
        record::write(&folder.join(shape.name), &shape.requests(count))?;
    }
    Ok(())
}

/// In each file the sizes in the order in which they are named.
fn hostile(folder: &Path, sizes: &[&str]) -> Result<(), Box<dyn Error>> {
    for kind in HOSTILE {
        let requests = sizes.iter().map(|size| Ok(kind.request(size.parse()?)));
        let requests = requests.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        record::write(&folder.join(kind.name.replace(' ', "-")), &requests)?;
    }
    Ok(())
}
