# A small image that runs as nobody in particular: one binary, the certificates of public authorities, and no shell.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY crds crds
COPY src src
RUN cargo build --release --locked --bin porch

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/porch /usr/local/bin/porch
USER 10001:10001
EXPOSE 4443
ENTRYPOINT ["/usr/local/bin/porch"]
CMD ["serve"]
