//! Upgrade and rollback: a database as the release before left it is read and continued.
//!
//! `tests/fixtures/release/NNNN/` holds the rows of every table after its migration NNNN, one file a
//! table in ClickHouse's format Native, as that release wrote them (`freeze.rs`). Its schema is that
//! of the migrations up to NNNN, which never change.

mod freeze;
mod frozen;
mod rollback;
mod upgrade;
