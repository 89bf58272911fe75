//! The limit: COPY of the same rows into the same tables, with their indexes.

use std::time::Instant;

use futures_util::StreamExt as _;
use sqlx::PgPool;
use sqlx::postgres::PgPoolCopyExt as _;

use crate::database::{BULK, Database, Server, scalar};
use crate::process;
use crate::run::Run;

/// Bytes per message.
const CHUNK: usize = 1 << 20;

/// The rows of a load in the format of COPY, in the order in which they were stored.
pub struct Stored {
    rows: u64,
    accounts: Vec<u8>,
    /// For each half: the tables, each with its columns and rows.
    halves: [Vec<(String, Vec<u8>)>; 2],
    whole: Vec<(String, Vec<u8>)>,
}

impl Stored {
    pub async fn of(database: &Database) -> Self {
        let pool = &database.pool;
        let accounts = out(pool, "COPY paysync.accounts TO STDOUT (FORMAT binary)").await;
        let mut halves = [Vec::new(), Vec::new()];
        let mut whole = Vec::new();
        let rows = database.rows().await;
        for table in BULK {
            // Generated columns cannot be sent.
            let columns: String = scalar(
                pool,
                &format!(
                    "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
                     FROM information_schema.columns
                     WHERE table_schema = 'paysync' AND table_name = '{table}' AND is_generated = 'NEVER'"
                ),
            )
            .await;
            let target = format!("paysync.{table} ({columns})");
            let from = format!("SELECT {columns} FROM paysync.{table} ORDER BY ctid");
            let all = format!("COPY ({from}) TO STDOUT (FORMAT binary)");
            whole.push((target.clone(), out(pool, &all).await));
            let half = rows.div_ceil(2);
            for (part, (limit, offset)) in halves.iter_mut().zip([(half, 0), (rows, half)]) {
                let sql = format!(
                    "COPY ({from} LIMIT {limit} OFFSET {offset}) TO STDOUT (FORMAT binary)"
                );
                part.push((target.clone(), out(pool, &sql).await));
            }
        }
        Self {
            rows,
            accounts,
            halves,
            whole,
        }
    }

    /// Copies all of them into an empty, migrated database.
    pub async fn copy(&self, server: &Server, database: &Database, connections: usize) -> Run {
        let pool = &database.pool;
        copy_in(pool, "paysync.accounts", &self.accounts).await;
        server.checkpoint().await;
        let own = process::cpu(std::process::id());
        let before = server.counts().await;
        let clock = Instant::now();
        if connections == 1 {
            tables(pool, &self.whole).await;
        } else {
            let [first, second] = &self.halves;
            futures_util::join!(tables(pool, first), tables(pool, second));
        }
        let wall = clock.elapsed();
        let spent = server.since(&before).await;
        assert_eq!(database.rows().await, self.rows);
        Run {
            rows: self.rows,
            wall,
            client: process::cpu(std::process::id()).saturating_sub(own),
            server: spent.cpu,
            wal: spent.wal,
            ..Run::default()
        }
    }
}

async fn tables(pool: &PgPool, tables: &[(String, Vec<u8>)]) {
    for (target, rows) in tables {
        copy_in(pool, target, rows).await;
    }
}

async fn copy_in(pool: &PgPool, target: &str, rows: &[u8]) {
    let sql = format!("COPY {target} FROM STDIN (FORMAT binary)");
    let mut copy = pool.copy_in_raw(&sql).await.unwrap();
    for piece in rows.chunks(CHUNK) {
        copy.send(piece).await.unwrap();
    }
    copy.finish().await.unwrap();
}

async fn out(pool: &PgPool, sql: &str) -> Vec<u8> {
    let mut rows = pool.copy_out_raw(sql).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = rows.next().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    bytes
}
