# The image of a release, from goreleaser's binaries. Otherwise it is the same as ../Dockerfile.
FROM gcr.io/distroless/static-debian12:nonroot
ARG TARGETPLATFORM
COPY $TARGETPLATFORM/posthorn /usr/local/bin/posthorn
USER 65532:65532
ENV POSTHORN_ADDR=:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["posthorn", "healthcheck"]
ENTRYPOINT ["posthorn"]
CMD ["serve"]
