//! Pages: what a commit writes, on each of its ways.

mod columns;
mod commit;
mod copy;
mod lanes;
mod nearby;
mod payments;
mod quarantine;
mod totals;
