# The program alone on a base without shell or package manager, run by an unprivileged user. Both bases can be replaced,
# e.g. by a mirror's or by a digest:
#   docker build --build-arg RUNTIME_IMAGE=gcr.io/distroless/cc-debian12@sha256:… .
ARG BUILD_IMAGE=rust:1.95.0-slim-bookworm
# The C library of the same Debian as the build's, root certificates, and nothing that could be run.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
# Queries are checked against .sqlx: a build needs no database.
ENV SQLX_OFFLINE=true
# The dependencies are a layer of their own: a change in the sources does not build them again. This is the one step that needs
# the network, and it takes what Cargo.lock names by its checksums.
COPY Cargo.toml Cargo.lock ./
COPY crates/paysync-provider/Cargo.toml crates/paysync-provider/
COPY crates/paysync-simulator/Cargo.toml crates/paysync-simulator/
COPY vendor vendor
RUN mkdir src benches crates/paysync-provider/src crates/paysync-simulator/src \
    && touch crates/paysync-provider/src/lib.rs crates/paysync-simulator/src/lib.rs \
    && echo '//! Nothing yet.' > src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && echo 'fn main() {}' > benches/parse.rs \
    && echo 'fn main() {}' > benches/table.rs \
    && cargo fetch --locked --target "$(rustc --print host-tuple)"
# --frozen: nothing is fetched, nothing is resolved anew.
RUN cargo build --release --frozen \
    && rm -r src benches crates/*/src
COPY . .
# Cargo compares times, and the files from the context may be older than the placeholders were.
RUN touch src/lib.rs src/main.rs crates/*/src/lib.rs \
    && cargo build --release --frozen

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="paysync" \
      org.opencontainers.image.description="Copies payment transactions from payment providers' list APIs into PostgreSQL." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /build/target/release/paysync /usr/local/bin/paysync
COPY LICENSE /usr/share/doc/paysync/LICENSE
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
# Nothing is ever written: the root file system can be read-only.
WORKDIR /etc/paysync
EXPOSE 8080
# SIGTERM ends softly: the page in work is finished and the leases are given back.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/paysync", "health", "--config", "/etc/paysync/paysync.toml"]
ENTRYPOINT ["/usr/local/bin/paysync"]
CMD ["run", "--config", "/etc/paysync/paysync.toml"]
