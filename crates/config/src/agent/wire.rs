//! How types without serde travel in settings: sizes as numbers, secrets as their text.

pub(super) mod bytes {
    use selvedge_base::ByteSize;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::agent) fn serialize<S: Serializer>(
        size: &ByteSize,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(size.0)
    }

    pub(in crate::agent) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ByteSize, D::Error> {
        u64::deserialize(deserializer).map(ByteSize)
    }
}

pub(super) mod secret {
    use selvedge_base::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::agent) fn serialize<S: Serializer>(
        secret: &Secret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(in crate::agent) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

pub(super) mod secrets {
    use selvedge_base::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::agent) fn serialize<S: Serializer>(
        named: &[(String, Secret)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(named.iter().map(|(name, secret)| (name, secret.expose())))
    }

    pub(in crate::agent) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, Secret)>, D::Error> {
        let named: Vec<(String, String)> = Vec::deserialize(deserializer)?;
        Ok(named.into_iter().map(|(name, secret)| (name, Secret::new(secret))).collect())
    }
}
