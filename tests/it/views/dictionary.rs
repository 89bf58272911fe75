//! `docs/DATA.md`, made of the comments in the database; `scripts/data-dictionary` writes it.

use std::fmt::Write as _;
use std::path::Path;

use sqlx::PgPool;

const HEAD: &str = "# Data dictionary

Every table and view of the schema `paysync`, from their comments in the database. This page is made by
`scripts/data-dictionary`; do not edit it.

Ask the **views**: they are a contract (version 1). Their columns stay what they are; new ones come at the end. Base tables
may change with any version.

- Amounts are in major units of the currency beside them, exact. Nothing is converted, and sums never mix currencies.
- Times are instants (`timestamptz`); days are those of the account's `time_zone`.
- A value that the provider does not send is null, and so is every sum of which a part is not known.
- Test transactions (`is_test`) are left out of all views but `transaction_timeline`.
- *No* in the column BI: the role `paysync_bi` may not read it, unless it is granted.
- Codes of the providers: ECP ECommPay, BGR beGateway's report, DWH beGateway's data warehouse, CG ConvergeGate, FK FireKassa.
";

struct Entry {
    relation: String,
    is_view: bool,
    about: String,
    column: String,
    kind: String,
    meaning: String,
    readable: bool,
}

async fn columns(pool: &PgPool) -> Vec<Entry> {
    let rows: Vec<(String, bool, String, String, String, String, bool)> = sqlx::query_as(
        "SELECT relation.relname::text, relation.relkind = 'v', obj_description(relation.oid, 'pg_class'), attribute.attname::text,
                format_type(attribute.atttypid, attribute.atttypmod), col_description(relation.oid, attribute.attnum),
                has_column_privilege('paysync_bi', relation.oid, attribute.attnum, 'SELECT')
         FROM pg_class AS relation
         JOIN pg_attribute AS attribute
             ON attribute.attrelid = relation.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
         WHERE relation.relnamespace = 'paysync'::regnamespace AND relation.relkind IN ('r', 'v')
           AND relation.relname <> '_sqlx_migrations'
         ORDER BY relation.relkind = 'v' DESC, relation.relname COLLATE \"C\", attribute.attnum",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(
            |(relation, is_view, about, column, kind, meaning, readable)| Entry {
                relation,
                is_view,
                about,
                column,
                kind,
                meaning,
                readable,
            },
        )
        .collect()
}

fn page(columns: &[Entry]) -> String {
    let mut page = HEAD.to_owned();
    let mut section = None;
    let mut relation = "";
    for column in columns {
        if section != Some(column.is_view) {
            section = Some(column.is_view);
            page.push_str(if column.is_view {
                "\n## Views\n"
            } else {
                "\n## Tables\n"
            });
        }
        if relation != column.relation {
            relation = &column.relation;
            write!(
                page,
                "\n### {relation}\n\n{}\n\n| column | type | BI | meaning |\n|---|---|---|---|\n",
                column.about
            )
            .unwrap();
        }
        let kind = column
            .kind
            .replace("timestamp with time zone", "timestamptz");
        let readable = if column.readable { "" } else { "*no*" };
        writeln!(
            page,
            "| `{}` | {kind} | {readable} | {} |",
            column.column,
            column.meaning.replace('|', "\\|")
        )
        .unwrap();
    }
    page
}

#[sqlx::test(migrations = "./migrations")]
async fn the_page_is_fresh(pool: PgPool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/DATA.md");
    let page = page(&columns(&pool).await);
    if std::env::var("PAYSYNC_DATA_DICTIONARY").is_ok_and(|what| what == "write") {
        std::fs::write(&path, &page).unwrap();
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        held == page,
        "docs/DATA.md is not what the database says: run scripts/data-dictionary"
    );
}
