//! Trainers and servers as shell scripts for the test double.

/// Trainers.
pub mod trainer {
    /// Writes an artifact and reports it, with the precision of the variable `PRECISION`, and with the digest of `DIGEST` if there is
    /// one.
    pub const GOOD: &str = r#"
        set -e
        directory=${RECOMMENDER_OUTPUT_URI#file://}
        mkdir -p $directory
        echo "model of $RECOMMENDER_VERSION" > $directory/model
        digest=${DIGEST:-$(sha256sum $directory/model | head -c 64)}
        printf '{"metrics": {"precision_at_10": "%s"}, "artifact": {"uri": "%s/model", "digest": "sha256:%s", "bytes": 29}}' \
            ${PRECISION:-0.31} $RECOMMENDER_OUTPUT_URI $digest > /dev/termination-log
    "#;

    /// A partial run: verifies the artifact of its base, and writes what it was given into its own.
    pub const PARTIAL: &str = r#"
        set -e
        test $RECOMMENDER_KIND = Partial
        base=${RECOMMENDER_BASE_URI#file://}
        test "sha256:$(sha256sum $base | head -c 64)" = $RECOMMENDER_BASE_DIGEST
        directory=${RECOMMENDER_OUTPUT_URI#file://}
        mkdir -p $directory
        echo "$SPEED $RECOMMENDER_BASE_VERSION $RECOMMENDER_DATA_FROM $RECOMMENDER_DATA_TO" > $directory/model
        digest=$(sha256sum $directory/model | head -c 64)
        printf '{"artifact": {"uri": "%s/model", "digest": "sha256:%s", "bytes": 1}, "dataThrough": "%s"}' \
            $RECOMMENDER_OUTPUT_URI $digest $RECOMMENDER_DATA_TO > /dev/termination-log
    "#;

    /// Fails with an exit code and a message.
    pub const FAILS: &str = "echo 'cannot read the events' > /dev/termination-log; exit 3";

    /// Runs until SIGTERM.
    pub const HANGS: &str = "trap 'exit 143' TERM; sleep 3600 & wait";

    /// Succeeds without a report.
    pub const SILENT: &str = "exit 0";

    /// Succeeds with an invalid report.
    pub const RUBBISH: &str = "echo 'all done!' > /dev/termination-log";

    /// Reports NaN as a metric, as Python's json module writes it.
    pub const NAN: &str = r#"echo '{"metrics": {"precision_at_10": NaN}, "artifact": {}}' > /dev/termination-log"#;

    /// Reports 5 KiB, which the kubelet truncates to 4 KiB.
    pub const TOO_LONG: &str = r#"printf '{"metrics": {"precision_at_10": "0.%05120d"}}' 31 > /dev/termination-log"#;
}

/// Servers.
pub mod server {
    /// Path of the metrics of [`GOOD`]: busybox sends only names like this one as text, which Prometheus asks for.
    pub const METRICS_PATH: &str = "/metrics.txt";

    /// Verifies the digest of the artifact, then serves the version, the artifact and a series of FastApiInstrumentator.
    pub const GOOD: &str = r#"
        set -e
        file=${RECOMMENDER_MODEL_URI#file://}
        test "sha256:$(sha256sum $file | head -c 64)" = $RECOMMENDER_MODEL_DIGEST
        mkdir -p /tmp/www
        echo $RECOMMENDER_VERSION > /tmp/www/version
        cat $file > /tmp/www/model
        echo ok > /tmp/www/health
        echo 'http_request_duration_highr_seconds_count 1' > /tmp/www/metrics.txt
        trap 'exit 0' TERM
        httpd -f -p 8000 -h /tmp/www &
        wait
    "#;

    /// Like [`GOOD`], and with the version that its file names: at its start, and whenever that changes, unless `FOLLOWS` is `no`.
    pub const RELOADS: &str = r#"
        mkdir -p /tmp/www
        field() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/" $RECOMMENDER_VERSION_FILE; }
        load() {
            version=$(field version) uri=$(field uri) digest=$(field digest)
            test "sha256:$(sha256sum ${uri#file://} | head -c 64)" = $digest || return 1
            printf 'http_request_duration_highr_seconds_count 1\nrecommender_model_info{version="%s",digest="%s"} 1\n' \
                $version $digest > /tmp/metrics
            echo $version > /tmp/version
            mv /tmp/metrics /tmp/www/metrics.txt
            mv /tmp/version /tmp/www/version
        }
        load || exit 1
        echo ok > /tmp/www/health
        trap 'exit 0' TERM
        httpd -f -p 8000 -h /tmp/www &
        while [ "$FOLLOWS" != no ]; do
            sleep 1
            test "$(field version)" = "$(cat /tmp/www/version)" || load
        done &
        wait
    "#;

    /// Runs without ever responding.
    pub const NEVER_READY: &str = "trap 'exit 0' TERM; sleep 3600 & wait";
}
