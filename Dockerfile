# The image of polyai-exporter: the program, the few libraries that it is linked to, and root certificates. No shell, no
# package manager.
#
#   docker build -t polyai-exporter .          or podman build, or buildah build --format docker
#   scripts/image                              builds it, runs it, and checks its size
#
# For other processors: docker buildx build --platform linux/amd64,linux/arm64. Nothing here names one.

ARG RUST_VERSION=1.95
ARG DEBIAN_RELEASE=bookworm

FROM docker.io/library/rust:${RUST_VERSION}-slim-${DEBIAN_RELEASE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /source

# Dependencies in a layer of their own, which lasts as long as these files: they are built for a program that does nothing.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked

COPY alerts alerts
COPY src src
# What `polyai_exporter_build_info` and the labels say.
ARG REVISION=""
# The files that are copied may be older than the program that does nothing.
RUN touch src/lib.rs src/main.rs \
    && POLYAI_EXPORTER_RUSTVERSION="$(rustc --version | cut -d ' ' -f 2)" \
    && export POLYAI_EXPORTER_RUSTVERSION \
    && if [ -n "$REVISION" ]; then export POLYAI_EXPORTER_REVISION="$REVISION"; fi \
    && cargo build --release --locked

# The root of the image. The records of the packages let scanners see what is in it, as in distroless images.
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
# A volume that is made after this folder belongs to the user of the image.
COPY --from=build --chown=65532:65532 /data /data

ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="polyai-exporter" \
      org.opencontainers.image.description="Prometheus exporter and monitoring daemon for voice agents on PolyAI" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/polyai-exporter/polyai-exporter" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# By number, so that an orchestrator can see that it is not root.
USER 65532:65532
# The state is in ./data, unless `storage.path` says otherwise.
WORKDIR /
VOLUME /data
EXPOSE 9890
# Asks where POLYAI_EXPORTER__SERVER__LISTEN says, or at port 9890. If the address stands elsewhere, give `healthcheck` the flags
# that `serve` has.
HEALTHCHECK --interval=30s --timeout=6s --start-period=30s CMD ["/polyai-exporter", "healthcheck"]
ENTRYPOINT ["/polyai-exporter"]
CMD ["serve"]
