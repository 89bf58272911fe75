//! Bulk writes that PostgreSQL refuses for their data: halves are tried under savepoints until only the
//! rejected rows are left.

use super::upsert::{Observed, Written, upsert};
use crate::store::error::refused_data;
use crate::store::pool::DbWork;
use paysync_provider::Spec;

/// The parts of a bulk write that are still to be tried.
pub(crate) struct Bisection<'p, T>(Vec<&'p [T]>);

impl<'p, T> Bisection<'p, T> {
    /// Starts with all rows in one part.
    pub(crate) fn new(rows: &'p [T]) -> Self {
        Self(if rows.is_empty() {
            Vec::new()
        } else {
            vec![rows]
        })
    }

    /// The next part to try, in order.
    pub(crate) fn next(&mut self) -> Option<&'p [T]> {
        self.0.pop()
    }

    /// Halves a part that was refused: its halves come next. A part of one row is that rejected row.
    pub(crate) fn halve(&mut self, part: &'p [T]) -> Option<&'p T> {
        if let [rejected] = part {
            return Some(rejected);
        }
        let (left, right) = part.split_at(part.len() / 2);
        self.0.extend([right, left]);
        None
    }
}

/// A row that PostgreSQL refuses, and its message.
pub(crate) struct RejectedRow<'p, 'a> {
    pub(crate) row: Observed<'p, 'a>,
    pub(crate) detail: String,
}

/// Upserts the rows that PostgreSQL accepts, and returns the others.
pub(crate) async fn upsert_accepted<'p, 'a>(
    connection: &mut DbWork<'_>,
    account_id: &str,
    spec: &Spec,
    rows: &[Observed<'p, 'a>],
) -> Result<(Written, Vec<RejectedRow<'p, 'a>>), sqlx::Error> {
    let mut total = Written::default();
    let mut rejected = Vec::new();
    let mut parts = Bisection::new(rows);
    while let Some(part) = parts.next() {
        let mut savepoint = connection.begin().await?;
        match upsert(&mut savepoint, account_id, spec, part).await {
            Ok(written) => {
                savepoint.commit().await?;
                total += written;
            }
            Err(error) => {
                savepoint.rollback().await?;
                let Some(detail) = refused_data(&error) else {
                    return Err(error);
                };
                rejected.extend(
                    parts
                        .halve(part)
                        .map(|row| RejectedRow { row: *row, detail }),
                );
            }
        }
    }
    Ok((total, rejected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rejected_rows_are_left_and_the_order_stays() {
        let rows: Vec<u32> = (0..100).collect();
        let bad = [13, 14, 99];
        let (mut written, mut rejected) = (Vec::new(), Vec::<u32>::new());
        let mut parts = Bisection::new(&rows);
        while let Some(part) = parts.next() {
            if part.iter().any(|row| bad.contains(row)) {
                rejected.extend(parts.halve(part).copied());
            } else {
                written.extend_from_slice(part);
            }
        }
        assert_eq!(rejected, bad);
        assert_eq!(written.len(), 97);
        assert!(written.is_sorted());
        assert!(Bisection::<u32>::new(&[]).next().is_none());
    }
}
