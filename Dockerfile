# Builds with docker, podman and buildah. There is no PostgreSQL server in the image: give `serve` a --database
# or DATABASE_URL (compose.yaml shows how).
FROM swift:6.3.1-bookworm AS build
RUN apt-get -qq update \
 && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends libpq-dev zlib1g-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src

# The dependencies change rarely: fetched in a layer of their own, which only the manifest invalidates.
COPY Package.swift ./
RUN swift package resolve

COPY migrations migrations
COPY Sources Sources
# The manifest names the test targets too, so their folders must be there.
COPY Tests Tests
RUN swift build -c release --static-swift-stdlib --explicit-target-dependency-import-check error --product millrace \
 && mkdir /out && cp "$(swift build -c release --static-swift-stdlib --show-bin-path)/millrace" /out/ \
 && strip --strip-debug /out/millrace

FROM debian:bookworm-slim
# /data is like /tmp: an empty tmpfs or volume mounted there takes over the mode, and its owner may be root.
RUN apt-get -qq update \
 && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends libpq5 zlib1g ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 10001 -g 10001 -m 1777 /data
COPY --from=build /out/millrace /usr/local/bin/millrace

# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
ENV MILLRACE_DATA=/data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["millrace", "health"]
ENTRYPOINT ["millrace"]
CMD ["serve"]
