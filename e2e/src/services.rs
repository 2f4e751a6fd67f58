//! What a recommender stands on, as real programs in the namespace of a test, each with its exporter: PostgreSQL, FerretDB on it, Redis,
//! NGINX, RabbitMQ with a consumer, Flink with a job on a Kafka topic, an S3 server, a monitor of drift, and a blackbox exporter that
//! probes the NGINX and the S3 server.

use anyhow::Result;

use crate::{Cluster, addons::filled, parts};

/// A program.
struct Service {
    /// The image that has it.
    image: Image,
    /// Name of its Deployment and Service.
    name: &'static str,
    /// Port of the Service, which is open once the program is ready.
    port: u16,
    /// Other ports of the Service, for the clients of the program, in YAML.
    clients: &'static [&'static str],
    /// A script for a shell that ends when a command fails. Without line breaks.
    script: &'static str,
    /// How Prometheus scrapes it: the endpoints of a ServiceMonitor.
    endpoints: &'static [&'static str],
}

enum Image {
    /// The programs of Debian and of Go.
    Services,
    /// Flink.
    Flink,
    /// The Python programs of `e2e/images/workers`.
    Workers,
}

/// Scraped every 5 s, so that a test waits for the rules (30 s) and not for the exporters as well.
const METRICS: &[&str] = &["{port: main, interval: 5s}"];

/// All programs. An exporter has the name of its service and `-exporter`.
const SERVICES: &[Service] = &[
    Service {
        image: Image::Services,
        name: "postgres",
        port: 5432,
        clients: &[],
        script: "export PATH=/usr/lib/postgresql/15/bin:$PATH; initdb -D data -U recommender --auth=trust -E UTF8 >/dev/null; \
                 echo 'host all all all trust' >> data/pg_hba.conf; \
                 exec postgres -D data -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=20",
        endpoints: &[],
    },
    Service {
        image: Image::Services,
        name: "postgres-exporter",
        port: 9187,
        clients: &[],
        script: "export DATA_SOURCE_NAME='postgresql://recommender@postgres:5432/postgres?sslmode=disable'; \
                 exec prometheus-postgres-exporter",
        endpoints: METRICS,
    },
    Service {
        image: Image::Services,
        name: "films",
        port: 8088,
        clients: &["{name: client, port: 27017}"],
        // Its own process, which can be stopped by a signal.
        script: "until /usr/lib/postgresql/15/bin/pg_isready -q -h postgres; do sleep 1; done; \
                 ferretdb 'postgres://recommender@postgres:5432/postgres?pool_max_conns=4' & echo $! > pid; wait",
        endpoints: &["{port: main, interval: 5s, path: /debug/metrics}"],
    },
    Service {
        image: Image::Services,
        name: "cache",
        port: 6379,
        clients: &[],
        script: "exec redis-server --bind 0.0.0.0 --protected-mode no --save '' --maxmemory 8mb",
        endpoints: &[],
    },
    Service {
        image: Image::Services,
        name: "cache-exporter",
        port: 9121,
        clients: &[],
        script: "exec prometheus-redis-exporter -redis.addr redis://cache:6379",
        endpoints: METRICS,
    },
    Service {
        image: Image::Services,
        name: "nginx",
        port: 8080,
        clients: &[],
        script: "printf '%s' 'pid /tmp/nginx.pid; error_log stderr; worker_processes 1; daemon off; events {} http { access_log off; \
                 client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi; \
                 uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi; \
                 server { listen 8080; location / { return 200; } location /status { stub_status; } } }' > nginx.conf; \
                 exec nginx -c /tmp/nginx.conf -e stderr",
        endpoints: &[],
    },
    Service {
        image: Image::Services,
        name: "nginx-exporter",
        port: 9113,
        clients: &[],
        script: "exec prometheus-nginx-exporter -nginx.scrape-uri http://nginx:8080/status -nginx.retries 1000",
        endpoints: METRICS,
    },
    Service {
        image: Image::Services,
        name: "rabbitmq",
        port: 15692,
        clients: &["{name: client, port: 5672}"],
        script: "echo '[rabbitmq_prometheus].' > plugins; export RABBITMQ_ENABLED_PLUGINS_FILE=/tmp/plugins \
                 RABBITMQ_MNESIA_BASE=/tmp/mnesia RABBITMQ_LOG_BASE=/tmp/log RABBITMQ_NODENAME=rabbit@localhost \
                 RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-rabbit loopback_users []'; exec /usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8/sbin/rabbitmq-server",
        // Both are of one target: without another `job`, one `up` would have two sources.
        endpoints: &[
            METRICS[0],
            "{port: main, interval: 5s, path: /metrics/detailed, \
              params: {family: [queue_coarse_metrics, queue_consumer_count, channel_queue_metrics]}, \
              relabelings: [{targetLabel: job, replacement: rabbitmq-queues}]}",
        ],
    },
    // The TaskManager finds its JobManager, and that finds Kafka, as soon as they are there.
    Service {
        image: Image::Flink,
        name: "jobmanager",
        port: 9250,
        clients: &["{name: rpc, port: 6123}", "{name: blobs, port: 6124}"],
        script: "exec java -Xmx128m org.apache.flink.container.entrypoint.StandaloneApplicationClusterEntryPoint \
                 --configDir /etc/flink --job-classname Features",
        endpoints: METRICS,
    },
    Service {
        image: Image::Flink,
        name: "taskmanager",
        port: 9250,
        clients: &[],
        script: "exec java -Xmx144m org.apache.flink.runtime.taskexecutor.TaskManagerRunner --configDir /etc/flink",
        endpoints: METRICS,
    },
    Service {
        image: Image::Services,
        name: "s3-exporter",
        port: 9102,
        clients: &["{name: statsd, port: 9125, protocol: UDP}"],
        script: "exec statsd_exporter --statsd.listen-tcp=",
        endpoints: METRICS,
    },
    Service {
        image: Image::Services,
        name: "s3",
        port: 7070,
        clients: &[],
        script: "mkdir objects; export ROOT_ACCESS_KEY=models ROOT_SECRET_KEY=models-password; \
                 exec versitygw --port :7070 --health /health --mss s3-exporter:9125 --msn s3 posix objects",
        endpoints: &[],
    },
    Service {
        image: Image::Services,
        name: "upstream-exporter",
        port: 9115,
        clients: &[],
        script: "exec prometheus-blackbox-exporter --config.file=/etc/prometheus/blackbox.yml",
        // Both are of one target, as above.
        endpoints: &[
            "{port: main, interval: 5s, path: /probe, params: {module: [http_2xx], target: ['http://nginx:8080/']}}",
            "{port: main, interval: 5s, path: /probe, params: {module: [http_2xx], target: ['http://s3:7070/health']}, \
              relabelings: [{targetLabel: job, replacement: s3-probe}]}",
        ],
    },
    Service {
        image: Image::Workers,
        name: "mail-worker",
        port: 9102,
        clients: &[],
        script: "exec python3 -m live_workers process",
        endpoints: &[],
    },
    Service {
        image: Image::Workers,
        name: "drift-monitor",
        port: 9103,
        clients: &[],
        script: "exec python3 -m live_workers drift --recommender packages",
        endpoints: METRICS,
    },
];

/// Starts all of them, and waits until they are ready.
///
/// # Errors
/// When one does not become ready, with the end of its log.
pub async fn start(cluster: &Cluster, namespace: &str) -> Result<()> {
    start_these(cluster, namespace, |_| true).await
}

/// As [`start`], but only those with these names.
///
/// # Errors
/// As [`start`].
pub async fn start_only(cluster: &Cluster, namespace: &str, names: &[&str]) -> Result<()> {
    start_these(cluster, namespace, |service| names.contains(&service.name)).await
}

async fn start_these(cluster: &Cluster, namespace: &str, is_wanted: impl Fn(&Service) -> bool) -> Result<()> {
    let services: Vec<&Service> = SERVICES.iter().filter(|service| is_wanted(service)).collect();
    for service in &services {
        let image = match service.image {
            Image::Services => cluster.services_image().await?,
            Image::Flink => cluster.flink_image().await?,
            Image::Workers => cluster.workers_image().await?,
        };
        parts::apply(cluster, namespace, &service.manifest(&image)?).await?;
    }
    for service in services {
        parts::rolled_out(cluster, namespace, &format!("deployment/{}", service.name)).await?;
    }
    Ok(())
}

/// Stops a service, or starts it again, and waits until its pods are gone or ready.
///
/// # Errors
/// When it does not end or become ready.
pub async fn scale(cluster: &Cluster, namespace: &str, name: &str, replicas: u8) -> Result<()> {
    let deployment = format!("deployment/{name}");
    cluster.kubectl(&["-n", namespace, "scale", &deployment, &format!("--replicas={replicas}")]).await?;
    if replicas == 0 {
        let pods = format!("--selector=app={name}");
        return cluster
            .kubectl(&["-n", namespace, "wait", "pod", "--for=delete", &pods, "--timeout=300s"])
            .await
            .map(drop);
    }
    parts::rolled_out(cluster, namespace, &deployment).await
}

/// Runs a script in a service. Its output.
///
/// # Errors
/// When the script fails, with what it wrote.
pub async fn run(cluster: &Cluster, namespace: &str, name: &str, script: &str) -> Result<String> {
    cluster.kubectl(&["-n", namespace, "exec", &format!("deployment/{name}"), "--", "/bin/sh", "-euc", script]).await
}

/// Runs rabbitmqctl.
///
/// # Errors
/// When it fails, with what it wrote.
pub async fn rabbitmqctl(cluster: &Cluster, namespace: &str, arguments: &str) -> Result<String> {
    let program = "/usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8/sbin/rabbitmqctl";
    run(cluster, namespace, "rabbitmq", &format!("RABBITMQ_NODENAME=rabbit@localhost exec {program} {arguments}")).await
}

impl Service {
    fn manifest(&self, image: &str) -> Result<String> {
        let script = serde_json::to_string(self.script)?; // a string of JSON is one of YAML
        let port = self.port.to_string();
        let ports =
            format!("[{}]", [&[format!("{{name: main, port: {port}}}").as_str()], self.clients].concat().join(", "));
        let values = [("NAME", self.name), ("PORTS", &ports), ("PORT", &port), ("IMAGE", image), ("SCRIPT", &script)];
        let program = filled(include_str!("../manifests/live/service.yaml"), &values)?;
        if self.endpoints.is_empty() {
            return Ok(program);
        }
        let endpoints = format!("[{}]", self.endpoints.join(", "));
        let values = [("NAME", self.name), ("ENDPOINTS", endpoints.as_str())];
        Ok(program + &filled(include_str!("../manifests/live/scraped.yaml"), &values)?)
    }
}
