-- For docker-compose.yml: readers of the dashboards can read the views and the normalized tables, and nothing else.
CREATE ROLE paysync_bi NOLOGIN;
CREATE ROLE grafana LOGIN PASSWORD 'grafana' IN ROLE paysync_bi;
