# The program alone on a small base, run by an unprivileged user. Both bases can be replaced, e.g. by a mirror's or a digest:
#   docker build --build-arg RUNTIME_IMAGE=debian:bookworm-slim@sha256:… .
ARG BUILD_IMAGE=rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
# Queries are checked against .sqlx: a build needs no database.
ENV SQLX_OFFLINE=true
# The dependencies are a layer of their own: a change in src/ does not build them again.
COPY Cargo.toml Cargo.lock ./
COPY vendor vendor
RUN mkdir src benches \
    && echo '//! Nothing yet.' > src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && echo 'fn main() {}' > benches/parse.rs \
    && echo 'fn main() {}' > benches/table.rs \
    && cargo build --release --locked \
    && rm -r src benches
COPY . .
# Cargo compares times, and the files from the context may be older than the placeholders were.
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="paysync" \
      org.opencontainers.image.description="Copies payment transactions from payment providers' list APIs into PostgreSQL." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /build/target/release/paysync /usr/local/bin/paysync
COPY LICENSE /usr/share/doc/paysync/LICENSE
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /etc/paysync
EXPOSE 8080
# SIGTERM ends softly: the page in work is finished and the leases are given back.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/paysync", "health", "--config", "/etc/paysync/paysync.toml"]
ENTRYPOINT ["/usr/local/bin/paysync"]
CMD ["run", "--config", "/etc/paysync/paysync.toml"]
