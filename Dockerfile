# runner and the servers that ship with it, as an image:
#
#   docker build --tag runner .
#   docker run --rm --init --user "$(id -u):$(id -g)" --volume "$PWD:/work" runner run scenario.yaml
#
# What a scenario starts has to be in the image: put your programs into one that begins with `FROM runner`. A server outside of the
# container is reached with `--network host`. Links are made by root: `--user 0 --privileged`.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo install --locked --path . --root /out

FROM debian:bookworm-slim
# Certificates for https, git for commits that are compared, ip and tc for links.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git iproute2 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 runner \
    && install --directory --owner runner --group runner /work
COPY --from=build /out/bin/ /usr/local/bin/
USER 10001
WORKDIR /work
ENTRYPOINT ["runner"]
CMD ["--help"]
