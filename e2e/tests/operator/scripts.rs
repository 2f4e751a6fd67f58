//! What trainers and servers do, as shell scripts for the test double.

/// Trainers.
pub mod trainer {
    /// Writes an artifact and reports it.
    pub const GOOD: &str = r#"
        set -e
        directory=${RECOMMENDER_OUTPUT_URI#file://}
        mkdir -p $directory
        echo "model of $RECOMMENDER_VERSION" > $directory/model
        digest=$(sha256sum $directory/model | head -c 64)
        printf '{"metrics": {"precision_at_10": "0.31"}, "artifact": {"uri": "%s/model", "digest": "sha256:%s", "bytes": 29}}' \
            $RECOMMENDER_OUTPUT_URI $digest > /dev/termination-log
    "#;

    /// Ends with an exit code and a last word.
    pub const FAILS: &str = "echo 'cannot read the events' > /dev/termination-log; exit 3";

    /// Works until it is told to end.
    pub const HANGS: &str = "trap 'exit 143' TERM; sleep 3600 & wait";

    /// Succeeds without a word.
    pub const SILENT: &str = "exit 0";

    /// Succeeds with something that is no report.
    pub const RUBBISH: &str = "echo 'all done!' > /dev/termination-log";

    /// Reports a metric as Python's json module writes it when there was nothing to measure.
    pub const NAN: &str = r#"echo '{"metrics": {"precision_at_10": NaN}, "artifact": {}}' > /dev/termination-log"#;

    /// Reports 5 KiB, of which the kubelet keeps 4.
    pub const TOO_LONG: &str = r#"printf '{"metrics": {"precision_at_10": "0.%05120d"}}' 31 > /dev/termination-log"#;
}

/// Servers.
pub mod server {
    /// Checks that the artifact is what it was told to load, then answers with what it knows of it.
    pub const GOOD: &str = r#"
        set -e
        file=${RECOMMENDER_MODEL_URI#file://}
        test "sha256:$(sha256sum $file | head -c 64)" = $RECOMMENDER_MODEL_DIGEST
        mkdir -p /tmp/www
        echo $RECOMMENDER_VERSION > /tmp/www/version
        cat $file > /tmp/www/model
        echo ok > /tmp/www/health
        trap 'exit 0' TERM
        httpd -f -p 8000 -h /tmp/www &
        wait
    "#;

    /// Runs, and never answers.
    pub const NEVER_READY: &str = "trap 'exit 0' TERM; sleep 3600 & wait";
}
