//! Pods that cannot start, are evicted or many, as the kubelet, the scheduler and the Job controller of a real cluster
//! report them.

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    ResourceExt,
    api::{DeleteParams, EvictParams, ListParams},
};
use recommender_operator::kinds::Kind;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, TIMEOUT, has_message, serving, training},
    scripts::trainer,
};

/// A setting by which trainers cannot start or fail.
struct Wrong {
    name: &'static str,
    /// Merged into `spec.training`, from the image of the test double.
    training: fn(&str) -> Value,
    reason: &'static str,
    /// Parts of the message of the condition TrainingReady: the cause, and the field to change.
    message: &'static [&'static str],
}

const BLOCKED: &str = "TrainingBlocked";
const FAILED: &str = "TrainingFailed";

/// Wrong settings and what is reported.
const WRONG: [Wrong; 14] = [
    Wrong {
        name: "node-selector",
        training: |_| json!({"pod": {"nodeSelector": {"example.org/gpu": "a100"}}}),
        reason: BLOCKED,
        message: &["nodes do not have the labels that the pod selects", "spec.training.pod.nodeSelector"],
    },
    Wrong {
        name: "cpu",
        training: |_| json!({"resources": {"requests": {"cpu": "900"}}}),
        reason: BLOCKED,
        message: &["no node has enough CPU", "spec.training.resources.requests.cpu"],
    },
    Wrong {
        name: "gpu",
        training: |_| json!({"resources": {"limits": {"nvidia.com/gpu": 1}}}),
        reason: BLOCKED,
        message: &["no node has the requested GPUs free", "add nodes with GPUs"],
    },
    Wrong {
        name: "scheduler",
        training: |_| json!({"pod": {"schedulerName": "no-such-scheduler"}}),
        reason: BLOCKED,
        message: &[
            "no scheduler has reported on the pod",
            "\"no-such-scheduler\"; correct spec.training.pod.schedulerName",
        ],
    },
    Wrong {
        name: "priority",
        training: |_| json!({"pod": {"priorityClassName": "no-such-class"}}),
        reason: BLOCKED,
        message: &["the priority class of its pod does not exist", "spec.training.pod.priorityClassName"],
    },
    Wrong {
        name: "account",
        training: |_| json!({"pod": {"serviceAccountName": "no-such-account"}}),
        reason: BLOCKED,
        message: &["the ServiceAccount of its pod does not exist", "spec.training.pod.serviceAccountName"],
    },
    Wrong {
        name: "config",
        training: |_| {
            json!({"pod": {
                "volumes": [{"name": "rules", "configMap": {"name": "no-such-rules"}}],
                "volumeMounts": [{"name": "rules", "mountPath": "/rules"}],
            }})
        },
        reason: BLOCKED,
        message: &["its volume refers to a ConfigMap that does not exist", "spec.training.pod.volumes"],
    },
    Wrong {
        name: "secret",
        training: |_| {
            let key = json!({"secretKeyRef": {"name": "no-such-secret", "key": "token"}});
            json!({"env": [{"name": "TOKEN", "valueFrom": key}]})
        },
        reason: BLOCKED,
        message: &["a Secret does not exist", "spec.training.env"],
    },
    Wrong {
        name: "pull-policy",
        training: |_| json!({"image": "registry.invalid/trainer:7", "pod": {"imagePullPolicy": "Never"}}),
        reason: BLOCKED,
        message: &["the pull policy is Never and the node does not have it", "spec.training.pod.imagePullPolicy"],
    },
    Wrong {
        name: "init-image",
        training: |_| json!({"pod": {"initContainers": [{"name": "fetch", "image": "registry.invalid/fetch:7"}]}}),
        reason: BLOCKED,
        message: &["init container fetch: image registry.invalid/fetch:7 cannot be pulled"],
    },
    Wrong {
        name: "program",
        training: |_| json!({"full": {"command": ["no-such-program"]}}),
        reason: FAILED,
        message: &["its command is not in the image", "spec.training.full.command"],
    },
    Wrong {
        name: "memory",
        training: |_| {
            let hungry = "head -c 200000000 /dev/zero | tail -c 190000000 > /dev/null";
            let limits = json!({"limits": {"memory": "24Mi"}});
            json!({"full": {"command": ["sh", "-c", format!("set -o pipefail; {hungry}")]}, "resources": limits})
        },
        reason: FAILED,
        message: &["memory", "spec.training.resources.limits.memory"],
    },
    Wrong {
        name: "startup-probe",
        training: |_| {
            let probe = json!({"type": "Startup", "exec": ["sh", "-c", "echo no model; exit 1"], "periodSeconds": 1});
            json!({"full": {"command": ["sh", "-c", trainer::HANGS]}, "pod": {"probes": [probe]}})
        },
        reason: FAILED,
        message: &["because its startup probe had failed", "\"no model\"", "spec.training.pod.probes (type Startup)"],
    },
    Wrong {
        name: "init",
        training: |image| json!({"pod": {"initContainers": [{"name": "fetch", "image": image, "command": ["sh", "-c", "exit 3"]}]}}),
        reason: FAILED,
        message: &["init container fetch: exit code 3", "--all-containers"],
    },
];

pub async fn each_wrong_setting_of_a_trainers_pod_is_explained_with_the_field_to_change() -> Result<()> {
    let bed = &Bed::new("wrong-pods").await?;
    for wrong in &WRONG {
        bed.create(wrong.name, json!({"spec": {"training": (wrong.training)(bed.image())}})).await?;
    }
    let check = async |wrong: &Wrong| {
        let is_explained =
            |model: &_| wrong.message.iter().all(|part| has_message(model, "TrainingReady", wrong.reason, part));
        let reported = bed.until(wrong.name, "is explained", is_explained).await;
        let last =
            || async { bed.models().get(wrong.name).await.map(|model| model.status.map(|status| status.conditions)) };
        match reported {
            Ok(_) => Ok(()),
            Err(error) => Err(error.context(format!("{}: {:#?}", wrong.name, last().await))),
        }
    };
    stream::iter(&WRONG).map(Ok).try_for_each_concurrent(None, check).await
}

/// Secrets for images are those of all pods of an object.
pub async fn a_secret_for_images_that_does_not_exist_is_named_with_the_failed_pull() -> Result<()> {
    let bed = Bed::new("pull-secret").await?;
    let spec = json!({
        "imagePullSecrets": [{"name": "no-such-secret"}],
        "training": {"image": "registry.invalid/trainer:7"},
    });
    bed.create("shop", json!({"spec": spec})).await?;
    let parts = [
        "a Secret of spec.imagePullSecrets does not exist",
        "(no-such-secret)",
        "image registry.invalid/trainer:7 cannot be pulled",
    ];
    let is_explained = |model: &_| parts.iter().all(|part| has_message(model, "TrainingReady", BLOCKED, part));
    bed.until("shop", "names the Secret", is_explained).await.map(drop)
}

/// The first attempt waits until it is evicted; the next one finds its mark on the claim, and trains.
fn interrupted_once() -> String {
    format!(
        "mark=${{RECOMMENDER_OUTPUT_URI#file://}}-mark; if ! test -e $mark; then mkdir -p $mark; {}; fi\n{}",
        trainer::HANGS,
        trainer::GOOD
    )
}

pub async fn an_evicted_trainer_has_not_failed_and_is_started_again() -> Result<()> {
    let bed = Bed::new("evicted").await?;
    let full = json!({"command": ["sh", "-c", interrupted_once()], "backoffLimit": 0, "deadlineSeconds": 250});
    let model = bed.create("shop", json!({"spec": {"training": {"full": full}}})).await?;
    let pods = bed.api::<Pod>();
    let trainer = e2e::eventually("the trainer runs", TIMEOUT, async || {
        let pods = pods.list(&ListParams::default()).await?;
        let running =
            pods.into_iter().find(|pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running")));
        running.context("no pod runs")
    })
    .await?;
    let version = training(&bed.models().get("shop").await?).active.context("a run is under way")?.version;
    pods.evict(&trainer.name_any(), &EvictParams::default()).await?;

    let served = bed.served("shop").await?;
    ensure!(serving(&served).version.as_deref() == Some(&version), "the run was not continued: {:?}", serving(&served));
    bed.until_events(&model, &["Trained", "Serving"]).await
}

pub async fn trainers_of_a_distributed_run_find_each_other_and_number_0_reports() -> Result<()> {
    let bed = Bed::new("distributed").await?;
    // Number 1 calls number 0, which reports only when it was called. Number 1 writes rubbish, which does not count.
    let script = format!(
        r#"test "$RECOMMENDER_COMPLETIONS" = 2
        if test $JOB_COMPLETION_INDEX = 1; then
            echo rubbish > /dev/termination-log
            until wget -q -O /dev/null http://$RECOMMENDER_LEADER_HOST:9000/ready; do sleep 1; done
            wget -q -O /dev/null http://$RECOMMENDER_LEADER_HOST:9000/cgi-bin/called; exit 0
        fi
        mkdir -p /tmp/www/cgi-bin; echo yes > /tmp/www/ready
        printf '#!/bin/sh\ntouch /tmp/called\nprintf "\\r\\n"\n' > /tmp/www/cgi-bin/called
        chmod +x /tmp/www/cgi-bin/called
        httpd -p 9000 -h /tmp/www
        until test -e /tmp/called; do sleep 1; done
        {}"#,
        trainer::GOOD
    );
    let training =
        json!({"full": {"command": ["sh", "-c", script], "deadlineSeconds": 250}, "job": {"completions": 2}});
    bed.create("shop", json!({"spec": {"training": training}})).await?;
    bed.served("shop").await?;
    let jobs = bed.api::<Job>().list(&ListParams::default()).await?;
    let succeeded = jobs.iter().filter_map(|job| job.status.as_ref()?.succeeded).collect::<Vec<_>>();
    ensure!(succeeded == [2], "{succeeded:?}");
    Ok(())
}

/// As after a restore, or `kubectl delete --cascade=orphan`: the children are there, without an owner.
pub async fn children_without_an_owner_are_taken_over_without_a_training() -> Result<()> {
    let bed = Bed::new("orphans").await?;
    bed.create("shop", json!({})).await?;
    let version = serving(&bed.served("shop").await?).version.context("a version is served")?;
    let before = bed.deployment("shop").await?;
    bed.models().delete("shop", &DeleteParams::orphan()).await?;
    e2e::eventually("the Deployment has no owner", TIMEOUT, async || {
        ensure!(bed.deployment("shop").await?.owner_references().is_empty(), "it has one");
        ensure!(bed.models().get_opt("shop").await?.is_none(), "the object is still there");
        Ok(())
    })
    .await?;

    let model = bed.create("shop", json!({})).await?;
    let served = bed.served("shop").await?;
    ensure!(serving(&served).version.as_ref() == Some(&version), "{:?}", serving(&served));
    let after = bed.deployment("shop").await?;
    ensure!(after.uid() == before.uid(), "the Deployment was created again");
    let owners: Vec<_> = after.owner_references().iter().map(|owner| owner.uid.clone()).collect();
    ensure!(owners == [model.uid().context("it has a UID")?], "{owners:?}");
    let jobs = bed.children(Kind::Job).list(&ListParams::default()).await?;
    ensure!(
        jobs.items.len() == 1,
        "it trained again: {:?}",
        jobs.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    );
    Ok(())
}
