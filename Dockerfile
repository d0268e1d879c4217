# Keywatch in a container: `docker build .`
# The target `generator` adds a traffic generator for trying it out.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends \
        g++ libssl-dev make pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The service needs no training; for all commands: --build-arg CARGO_FEATURES="--features train"
ARG CARGO_FEATURES=""
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --no-default-features ${CARGO_FEATURES} \
    && install target/release/keywatch /usr/local/bin/keywatch

FROM node:22-bookworm-slim AS databases
WORKDIR /parts
COPY tools/node/package.json tools/node/package-lock.json ./
RUN npm ci --no-audit --no-fund --no-update-notifier

FROM debian:bookworm-slim AS keywatch
RUN apt-get update && apt-get install --yes --no-install-recommends \
        ca-certificates curl libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home keywatch
COPY --from=databases /parts/node_modules/@ip-location-db /usr/share/keywatch/ip-location-db
COPY --from=build /usr/local/bin/keywatch /usr/local/bin/keywatch
USER 10001
EXPOSE 9464
# Liveness only: a server that is away is no reason to restart this one.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:9464/healthz"]
ENTRYPOINT ["keywatch"]
CMD ["run", "--config", "/etc/keywatch/keywatch.toml"]

FROM keywatch AS generator
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends kcat \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/generate.sh /usr/local/bin/generate.sh
USER 10001
HEALTHCHECK NONE
ENTRYPOINT ["bash", "/usr/local/bin/generate.sh"]

# The default target is the service.
FROM keywatch
