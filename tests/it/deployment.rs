//! The program among the systems around it: PostgreSQL, PgBouncer, TLS, roles, dashboards, the HTTP port.

mod dashboards;
mod database_outage;
mod http_port;
mod kill;
mod pooler;
mod privileges;
mod replica;
mod tls;
mod upgrades;
