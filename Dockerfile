# The image of polyai-exporter: the program, the libraries that it is linked to, and root certificates. It has no shell and no
# package manager.
#
#   docker build -t polyai-exporter .          or podman build, or buildah build --format docker
#   scripts/image                              builds it, runs it, and checks its size
#
# For other architectures: docker buildx build --platform linux/amd64,linux/arm64.

ARG RUST_VERSION=1.95
ARG DEBIAN_RELEASE=bookworm

FROM docker.io/library/rust:${RUST_VERSION}-slim-${DEBIAN_RELEASE} AS manifests
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY xtask/Cargo.toml xtask/
# Empty crates with the same dependencies.
RUN find crates -type f ! -name Cargo.toml -delete \
    && find crates -mindepth 2 -type d -delete \
    && mkdir src xtask/src \
    && touch src/lib.rs \
    && for crate in crates/*; do mkdir "$crate/src" && touch "$crate/src/lib.rs"; done \
    && echo 'fn main() {}' | tee src/main.rs >xtask/src/main.rs

FROM docker.io/library/rust:${RUST_VERSION}-slim-${DEBIAN_RELEASE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /source

# Dependencies in a layer of their own, which is reused until a manifest changes.
COPY --from=manifests /source ./
RUN cargo build --release --locked

COPY alerts alerts
COPY crates crates
COPY src src
# The revision in `polyai_exporter_build_info` and in the labels.
ARG REVISION=""
# Cargo compares modification times, and the copied files may be older than the empty crates.
RUN find crates src -name '*.rs' -exec touch {} + \
    && POLYAI_EXPORTER_RUSTVERSION="$(rustc --version | cut -d ' ' -f 2)" \
    && export POLYAI_EXPORTER_RUSTVERSION \
    && if [ -n "$REVISION" ]; then export POLYAI_EXPORTER_REVISION="$REVISION"; fi \
    && cargo build --release --locked

# The root of the image. As in distroless images, the records of the packages tell scanners what it contains.
COPY LICENSE ./
RUN mkdir -p /image/etc/ssl/certs /image/var/lib/dpkg/status.d /image/usr/share/doc/polyai-exporter /data \
    && cp target/release/polyai-exporter /image/ \
    && cp LICENSE /image/usr/share/doc/polyai-exporter/ \
    && ldd target/release/polyai-exporter | grep -o '/[^ ]*' | xargs cp --parents --dereference --target-directory=/image \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && echo 'hosts: files dns' >/image/etc/nsswitch.conf \
    && echo 'nonroot:x:65532:' >/image/etc/group \
    && echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' >/image/etc/passwd \
    && for package in libc6 libgcc-s1 ca-certificates; do \
        dpkg-query --status "$package" >"/image/var/lib/dpkg/status.d/$package" \
        && cp --parents --dereference "/usr/share/doc/$package/copyright" /image/ || exit 1; \
    done

FROM scratch
COPY --from=build /image /
# A volume that is created from this directory belongs to the user of the image.
COPY --from=build --chown=65532:65532 /data /data

ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="polyai-exporter" \
      org.opencontainers.image.description="Prometheus exporter and monitoring daemon for voice agents on PolyAI" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/polyai-exporter/polyai-exporter" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# A number, so that Kubernetes can verify that it is not root.
USER 65532:65532
# The state is in ./data, unless `storage.path` says otherwise.
WORKDIR /
VOLUME /data
EXPOSE 9890
# Connects to POLYAI_EXPORTER__SERVER__LISTEN, or to port 9890. If the address is set in another way, pass the flags of `serve` to
# `healthcheck`.
HEALTHCHECK --interval=30s --timeout=6s --start-period=30s CMD ["/polyai-exporter", "healthcheck"]
ENTRYPOINT ["/polyai-exporter"]
CMD ["serve"]
