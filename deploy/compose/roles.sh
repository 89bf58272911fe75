#!/bin/sh
# For compose.production.yml; PostgreSQL's image runs it once, when the database is made: the logins of the daemon and of the
# dashboards, each with the rights of its role and no more. The tables belong to the owner, who migrates.
set -eu

# The password in a URL: what scripts/production-secrets writes has letters and digits alone.
password() {
    sed -e 's|^[a-z]*://[^:/@]*:||' -e 's|@.*||' "$1"
}

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set "daemon=$(password /run/secrets/daemon_url)" \
    --set "grafana=$(cat /run/secrets/grafana_password)" <<'SQL'
CREATE ROLE paysync_writer NOLOGIN;
CREATE ROLE paysync_bi NOLOGIN;
CREATE ROLE paysync_daemon LOGIN PASSWORD :'daemon' IN ROLE paysync_writer;
CREATE ROLE grafana LOGIN PASSWORD :'grafana' IN ROLE paysync_bi;
SQL
