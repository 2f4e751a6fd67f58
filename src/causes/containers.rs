//! Containers that are not created or not started, and their ends.

use super::{Row, Source};

const CONFIG: &[&str] = &["CreateContainerConfigError"];
/// The kubelet's reasons for a container that the runtime does not create or start; the last two are of ended containers.
const RUN: &[&str] =
    &["CreateContainerError", "RunContainerError", "PostStartHookError", "StartError", "ContainerCannotRun"];

const fn row(
    source: Source,
    reasons: &'static [&'static str],
    any: &'static [&'static str],
    cause: &'static str,
    remedy: &'static str,
) -> Row {
    Row { source, reasons, any, cause, remedy }
}

const fn config(any: &'static [&'static str], cause: &'static str, remedy: &'static str) -> Row {
    row(Source::Waiting, CONFIG, any, cause, remedy)
}

const fn run(any: &'static [&'static str], cause: &'static str, remedy: &'static str) -> Row {
    row(Source::Waiting, RUN, any, cause, remedy)
}

const fn ended(
    reasons: &'static [&'static str],
    any: &'static [&'static str],
    cause: &'static str,
    remedy: &'static str,
) -> Row {
    row(Source::Ended, reasons, any, cause, remedy)
}

pub(super) const ROWS: &[Row] = &[
    config(
        &["non-numeric user"],
        "the image names its user, and the kubelet cannot check that a name is not root",
        "write the user's number in the Dockerfile, as in USER 1000, or set {User}",
    ),
    config(
        &["run as root", "runs as root", "user is root"],
        "the image runs as root, which its pod does not allow",
        "write another user's number in the Dockerfile, as in USER 1000, or set {User} to one above 0",
    ),
    config(
        &["couldn't find key", "references non-existent secret key", "references non-existent config key"],
        "a key of a Secret or ConfigMap does not exist",
        "add the key to it in namespace {namespace}, or correct the reference in {Env}, {EnvFrom} or {S3Secret}",
    ),
    config(
        &["secret \""],
        "a Secret does not exist",
        "create it in namespace {namespace}, or correct the reference in {Env}, {EnvFrom} or {S3Secret}",
    ),
    config(
        &["configmap \""],
        "a ConfigMap does not exist",
        "create it in namespace {namespace}, or correct the reference in {Env}, {EnvFrom} or {Volumes}",
    ),
    config(
        &["subpath"],
        "the sub-path of a volume cannot be used",
        "correct the volume in {Volumes}; kubectl -n {namespace} describe {object} shows which",
    ),
    config(
        &[],
        "the container's configuration is refused by the kubelet",
        "kubectl -n {namespace} describe {object} shows which part",
    ),
    run(
        &["executable file not found", "stat /", "no such file or directory: unknown"],
        "the command is not in the image",
        "correct {Command}, or leave it out, so that the image's entrypoint gets {Args}",
    ),
    run(
        &["permission denied"],
        "the command or a path of the image may not be executed by the container's user",
        "make it executable in the image (chmod a+rx), or set {User} to its owner",
    ),
    run(
        &["exec format error"],
        "the image is built for another architecture than the node's",
        "build it for that architecture, or choose other nodes with {NodeSelector}",
    ),
    run(&["no command specified"], "the image has no entrypoint", "set {Command}"),
    run(
        &["read-only file system"],
        "the image lacks the directory of a mount, and the root file system is read-only",
        "create that directory in the image, or set {WritableRoot} to false",
    ),
    run(
        &["deadline exceeded", "is reserved for"],
        "the container runtime of the node does not answer in time",
        "it is tried again; check the load of the node and its disk",
    ),
    run(
        &[],
        "the container runtime cannot start the container",
        "kubectl -n {namespace} describe {object} shows which part",
    ),
    ended(
        &["OOMKilled"],
        &["exit code"],
        "it used more memory than its limit and was killed (OOMKilled)",
        "raise {Limits}.memory, or let it use less",
    ),
    ended(
        RUN,
        &["exit code"],
        "the container runtime cannot start it, often because its command is not in the image",
        "correct {Command}; kubectl -n {namespace} describe {object} shows which part",
    ),
    ended(
        &[],
        &["exit code 135"],
        "it ended by a bus error (exit code 135, SIGBUS), often because /dev/shm is full, which has 64 MiB by default",
        "add a volume to {Volumes} with emptyDir of medium Memory, and mount it at /dev/shm in {Mounts}",
    ),
    ended(
        &[],
        &["exit code 137"],
        "it was killed (exit code 137, SIGKILL): by the kernel for its memory, by the kubelet because a probe failed, or from outside",
        "kubectl -n {namespace} describe {object} shows by whom; if a probe failed, correct {Probes}, and if it needs more memory, raise \
         {Limits}.memory",
    ),
    ended(
        &[],
        &["exit code 139"],
        "it ended by a segmentation fault (exit code 139, SIGSEGV)",
        "that is a defect of a native library, or one that is built for another CPU",
    ),
    ended(
        &[],
        &["exit code 143"],
        "it was stopped from outside (exit code 143, SIGTERM), for example because a probe failed or its node was drained",
        "kubectl -n {namespace} describe {object} shows by whom",
    ),
    ended(
        &[],
        &["exit code 126"],
        "its command is not executable (exit code 126)",
        "make it executable in the image, or correct {Command}",
    ),
    ended(
        &[],
        &["exit code 127"],
        "its command is not in the image (exit code 127)",
        "correct {Command} or the image's entrypoint",
    ),
];
