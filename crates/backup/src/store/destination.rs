//! The name of a place for backups, as people write it.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::Error;

/// A place for backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket, and what names of objects in it begin with.
    Bucket {
        /// The bucket.
        name: String,
        /// Perhaps empty; without a slash at either end.
        prefix: String,
    },
}

impl FromStr for Destination {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| {
            Err(Error::Destination { text: text.to_owned(), reason: reason.to_owned() })
        };
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => wrong("it is empty"),
                path => Ok(Self::Folder(PathBuf::from(path))),
            };
        };
        if scheme != "s3" {
            return wrong("write a folder, or s3://BUCKET/PREFIX");
        }
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return wrong("a bucket's name has letters, digits, dots and hyphens");
        }
        let odd = |part: &str| part.is_empty() || part == "." || part == "..";
        if !prefix.is_empty() && prefix.split('/').any(odd) {
            return wrong("a prefix has no empty part, and none of dots");
        }
        Ok(Self::Bucket { name: name.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket { name, prefix } if prefix.is_empty() => write!(f, "s3://{name}"),
            Self::Bucket { name, prefix } => write!(f, "s3://{name}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_buckets_are_told_apart() {
        #[track_caller]
        fn check(text: &str, expected: Option<&str>) {
            let found: Result<Destination, Error> = text.parse();
            assert_eq!(found.ok().map(|it| it.to_string()).as_deref(), expected);
        }
        check("/var/backups", Some("/var/backups"));
        check("backups", Some("backups"));
        check("s3://bucket", Some("s3://bucket"));
        check("s3://bucket/", Some("s3://bucket"));
        check("s3://bucket/a/b/", Some("s3://bucket/a/b"));
        for wrong in ["", "s3://", "s3:///a", "s3://b/a/../c", "s3://b/a//c", "gs://b", "s3://a b"]
        {
            check(wrong, None);
        }
    }
}
