# syntax=docker/dockerfile:1
# The production image: the lean build, without the embedded Temporal server, as a user without rights.
#   docker build --build-arg VERSION="$(git describe --tags --always)" -t posthorn .

FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
WORKDIR /src
# Dependencies change less often than code, so they have their own layer.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /posthorn ./cmd/posthorn

# Root certificates, time zones and a user. There is no shell, so nobody can log in.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /posthorn /usr/local/bin/posthorn
USER 65532:65532
ENV POSTHORN_ADDR=:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["posthorn", "healthcheck"]
ENTRYPOINT ["posthorn"]
CMD ["serve"]
