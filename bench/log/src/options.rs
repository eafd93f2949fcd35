//! `name=value` on the command line.

use std::{collections::HashMap, path::PathBuf, str::FromStr, time::Duration};

use crate::Result;

/// What a measurement was told.
pub struct Options(HashMap<String, String>);

impl Options {
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let pair = |argument: String| match argument.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(format!("`{argument}` is not name=value").into()),
        };
        Ok(Self(arguments.map(pair).collect::<Result<_>>()?))
    }

    pub fn text(&self, name: &str) -> Result<&str> {
        let text = self.0.get(name).map(String::as_str);
        text.ok_or_else(|| format!("say {name}=…").into())
    }

    pub fn number<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().map_err(|_| format!("{name}: `{text}` is no number").into())
    }

    pub fn seconds(&self) -> Result<Duration> {
        Ok(Duration::try_from_secs_f64(self.number("seconds")?)?)
    }

    pub fn folder(&self) -> Result<PathBuf> {
        Ok(self.text("folder")?.into())
    }

    /// The folder, with nothing in it.
    pub fn fresh_folder(&self) -> Result<PathBuf> {
        let folder = self.folder()?;
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
