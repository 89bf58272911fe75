//! Bulk writes that PostgreSQL refuses for their data: halves are tried under savepoints until only
//! the culprits are left.

use super::session::Work;
use super::transaction::{Observed, Written, upsert};

/// The parts of a bulk write that are still to be tried.
pub(crate) struct Parts<'p, T>(Vec<&'p [T]>);

impl<'p, T> Parts<'p, T> {
    /// All of it, in one part.
    pub(crate) fn of(all: &'p [T]) -> Self {
        Self(if all.is_empty() {
            Vec::new()
        } else {
            vec![all]
        })
    }

    /// The next part to try, in order.
    pub(crate) fn next(&mut self) -> Option<&'p [T]> {
        self.0.pop()
    }

    /// Takes a part that was refused: its halves come next; what cannot be halved is the culprit.
    pub(crate) fn refused(&mut self, part: &'p [T]) -> Option<&'p T> {
        if let [culprit] = part {
            return Some(culprit);
        }
        let (left, right) = part.split_at(part.len() / 2);
        self.0.extend([right, left]);
        None
    }
}

/// A row that PostgreSQL refuses, with what it says.
pub(crate) struct Culprit<'p, 'a> {
    pub(crate) row: Observed<'p, 'a>,
    pub(crate) detail: String,
}

/// Upserts what PostgreSQL takes.
pub(crate) async fn upsert_but_culprits<'p, 'a>(
    connection: &mut Work<'_>,
    account_id: &str,
    provider: &str,
    records: &[Observed<'p, 'a>],
) -> Result<(Written, Vec<Culprit<'p, 'a>>), sqlx::Error> {
    let mut total = Written::default();
    let mut culprits = Vec::new();
    let mut parts = Parts::of(records);
    while let Some(part) = parts.next() {
        let mut savepoint = connection.begin().await?;
        match upsert(&mut savepoint, account_id, provider, part).await {
            Ok(written) => {
                savepoint.commit().await?;
                total += written;
            }
            Err(error) => {
                savepoint.rollback().await?;
                let Some(detail) = refused_data(&error) else {
                    return Err(error);
                };
                if let Some(culprit) = parts.refused(part) {
                    culprits.push(Culprit {
                        row: *culprit,
                        detail,
                    });
                }
            }
        }
    }
    Ok((total, culprits))
}

/// What PostgreSQL says about data it refuses; none if the error is of another kind.
pub(crate) fn refused_data(error: &sqlx::Error) -> Option<String> {
    if let sqlx::Error::Encode(_) = error {
        return Some("a value cannot be sent to the database".to_owned());
    }
    let database = error.as_database_error()?;
    let code = database.code()?;
    // Data exceptions, constraint violations, and values past a limit of the program.
    let is_data = ["22", "23", "54"]
        .iter()
        .any(|class| code.starts_with(class));
    is_data.then(|| format!("SQLSTATE {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_culprits_are_left_and_the_order_stays() {
        let rows: Vec<u32> = (0..100).collect();
        let bad = [13, 14, 99];
        let (mut written, mut culprits) = (Vec::new(), Vec::<u32>::new());
        let mut parts = Parts::of(&rows);
        while let Some(part) = parts.next() {
            if part.iter().any(|row| bad.contains(row)) {
                culprits.extend(parts.refused(part).copied());
            } else {
                written.extend_from_slice(part);
            }
        }
        assert_eq!(culprits, bad);
        assert_eq!(written.len(), 97);
        assert!(written.is_sorted());
        assert!(Parts::<u32>::of(&[]).next().is_none());
    }
}
