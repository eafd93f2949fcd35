//! PostgreSQL: an insert for each commit.

use std::sync::Arc;

use serde_json::Value;
use tokio_postgres::{Client, NoTls, Statement};

use crate::{
    Result,
    appended::{Appended, RECORD, Writer},
    options::Options,
};

/// A connection is a process there; writers beyond this number share them, as a pool would have them do.
const CONNECTIONS_MAX: usize = 256;

struct Session {
    client: Arc<Client>,
    insert: Statement,
}

/// Writers that wait, with a prepared statement.
pub async fn append(options: &Options) -> Result<Value> {
    let writers: usize = options.number("writers")?;
    let table = options.text("run")?;
    let first = connect(options).await?;
    first
        .batch_execute(&format!(
            "CREATE TABLE {table} (id bigserial PRIMARY KEY, record bytea NOT NULL)"
        ))
        .await?;
    let mut connections = Vec::new();
    for _ in 0..writers.min(CONNECTIONS_MAX) {
        let client = connect(options).await?;
        let insert = client.prepare(&format!("INSERT INTO {table} (record) VALUES ($1)")).await?;
        connections.push((Arc::new(client), insert));
    }
    let session = |(client, insert): &(Arc<Client>, Statement)| Session {
        client: Arc::clone(client),
        insert: insert.clone(),
    };
    let sessions = connections.iter().cycle().take(writers).map(session).collect();
    let appended = Appended::in_closed_loop(sessions, options.seconds()?).await?;
    let counted = first
        .query_one(
            &format!("SELECT count(*) FROM {table} WHERE record = $1"),
            &[&RECORD.as_slice()],
        )
        .await?;
    let found: i64 = counted.try_get(0)?;
    first.batch_execute(&format!("DROP TABLE {table}")).await?;
    appended.proven(found.try_into()?)
}

impl Writer for Session {
    async fn append(&mut self) -> Result {
        self.client.execute(&self.insert, &[&RECORD.as_slice()]).await?;
        Ok(())
    }
}

async fn connect(options: &Options) -> Result<Client> {
    let (host, port) = options.text("address")?.rsplit_once(':').ok_or("address=HOST:PORT")?;
    let config = format!("host={host} port={port} user=bench dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
    // Its error is that of the statement under way.
    tokio::spawn(connection);
    Ok(client)
}
