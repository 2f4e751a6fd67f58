# The operator as one static binary on an empty image:
#   docker build -t registry.example.org/recommender-operator:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
# glibc linked statically: the same build on amd64 and arm64, without a second target to install.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --package recommender-operator --target "$target" \
 && cp "target/$target/release/recommender-operator" /recommender-operator

FROM scratch
COPY --from=build /recommender-operator /recommender-operator
# No name service on an empty image: the user is a number.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/recommender-operator"]
CMD ["run"]
