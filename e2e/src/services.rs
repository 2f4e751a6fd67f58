//! What a recommender stands on, as real programs in the namespace of a test, each with its exporter: PostgreSQL, Redis, NGINX,
//! RabbitMQ, and a blackbox exporter that probes the NGINX.

use anyhow::Result;

use crate::{Cluster, addons::filled, parts};

/// A program of the services' image.
struct Service {
    /// Name of its Deployment and Service.
    name: &'static str,
    /// Port of the Service, which is open once the program is ready.
    port: u16,
    /// A script for a shell that ends when a command fails. Without line breaks.
    script: &'static str,
    /// How Prometheus scrapes it: an endpoint of a ServiceMonitor; `None`: not at all.
    endpoint: Option<&'static str>,
}

/// Scraped every 5 s, so that a test waits for the rules (30 s) and not for the exporters as well.
const METRICS: &str = "{port: main, interval: 5s}";

/// All programs. An exporter has the name of its service and `-exporter`.
const SERVICES: &[Service] = &[
    Service {
        name: "postgres",
        port: 5432,
        script: "export PATH=/usr/lib/postgresql/15/bin:$PATH; initdb -D data -U recommender --auth=trust >/dev/null; \
                 echo 'host all all all trust' >> data/pg_hba.conf; \
                 exec postgres -D data -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=20",
        endpoint: None,
    },
    Service {
        name: "postgres-exporter",
        port: 9187,
        script: "export DATA_SOURCE_NAME='postgresql://recommender@postgres:5432/postgres?sslmode=disable'; \
                 exec prometheus-postgres-exporter",
        endpoint: Some(METRICS),
    },
    Service {
        name: "cache",
        port: 6379,
        script: "exec redis-server --bind 0.0.0.0 --protected-mode no --save '' --maxmemory 8mb",
        endpoint: None,
    },
    Service {
        name: "cache-exporter",
        port: 9121,
        script: "exec prometheus-redis-exporter -redis.addr redis://cache:6379",
        endpoint: Some(METRICS),
    },
    Service {
        name: "nginx",
        port: 8080,
        script: "printf '%s' 'pid /tmp/nginx.pid; error_log stderr; worker_processes 1; daemon off; events {} http { access_log off; \
                 client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi; \
                 uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi; \
                 server { listen 8080; location / { return 200; } location /status { stub_status; } } }' > nginx.conf; \
                 exec nginx -c /tmp/nginx.conf -e stderr",
        endpoint: None,
    },
    Service {
        name: "nginx-exporter",
        port: 9113,
        script: "exec prometheus-nginx-exporter -nginx.scrape-uri http://nginx:8080/status -nginx.retries 1000",
        endpoint: Some(METRICS),
    },
    Service {
        name: "rabbitmq",
        port: 15692,
        script: "echo '[rabbitmq_prometheus].' > plugins; export RABBITMQ_ENABLED_PLUGINS_FILE=/tmp/plugins \
                 RABBITMQ_MNESIA_BASE=/tmp/mnesia RABBITMQ_LOG_BASE=/tmp/log RABBITMQ_NODENAME=rabbit@localhost; \
                 exec /usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8/sbin/rabbitmq-server",
        endpoint: Some(METRICS),
    },
    Service {
        name: "upstream-exporter",
        port: 9115,
        script: "exec prometheus-blackbox-exporter --config.file=/etc/prometheus/blackbox.yml",
        endpoint: Some(
            "{port: main, interval: 5s, path: /probe, params: {module: [http_2xx], target: ['http://nginx:8080/']}}",
        ),
    },
];

/// Starts all of them, and waits until they are ready.
///
/// # Errors
/// When one does not become ready, with the end of its log.
pub async fn start(cluster: &Cluster, namespace: &str) -> Result<()> {
    let image = cluster.services_image().await?;
    for service in SERVICES {
        parts::apply(cluster, namespace, &service.manifest(&image)?).await?;
    }
    for service in SERVICES {
        parts::rolled_out(cluster, namespace, &format!("deployment/{}", service.name)).await?;
    }
    Ok(())
}

/// Stops a service, or starts it again, and waits until that is done.
///
/// # Errors
/// When it does not become ready.
pub async fn scale(cluster: &Cluster, namespace: &str, name: &str, replicas: u8) -> Result<()> {
    let deployment = format!("deployment/{name}");
    let replicas = format!("--replicas={replicas}");
    cluster.kubectl(&["-n", namespace, "scale", &deployment, &replicas]).await?;
    parts::rolled_out(cluster, namespace, &deployment).await
}

impl Service {
    fn manifest(&self, image: &str) -> Result<String> {
        let script = serde_json::to_string(self.script)?; // a string of JSON is one of YAML
        let port = self.port.to_string();
        let values = [("NAME", self.name), ("PORT", &port), ("SERVICES_IMAGE", image), ("SCRIPT", &script)];
        let program = filled(include_str!("../manifests/live/service.yaml"), &values)?;
        let Some(endpoint) = self.endpoint else { return Ok(program) };
        let values = [("NAME", self.name), ("ENDPOINT", endpoint)];
        Ok(program + &filled(include_str!("../manifests/live/scraped.yaml"), &values)?)
    }
}
