//! The connections to the database, and what executes statements on them.

pub(super) mod connections;
pub(super) mod pooler_check;
mod session;

use super::Store;
pub(crate) use session::{DbWork, OneShot, Session};

impl Store {
    /// A connection for several statements; [`Session::return_to_pool`] ends the work.
    pub(crate) async fn session(&self) -> Result<Session, sqlx::Error> {
        self.one_shot().session().await
    }

    /// Executes a single statement.
    pub(crate) fn one_shot(&self) -> OneShot {
        OneShot::new(self.connections.clone(), self.is_pooled())
    }
}
