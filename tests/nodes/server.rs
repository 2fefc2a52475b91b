//! The PostgreSQL server of `tests/with_postgres`, to ask, to cut connections of and to restart.

use std::process::{Command, Stdio};

use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

pub(crate) struct Server {
    url: String,
    /// What runs `pg_ctl` for it, as a shell has it.
    control: String,
    runtime: Runtime,
}

impl Server {
    pub(crate) fn of_environment() -> Self {
        let text = |name| {
            std::env::var(name)
                .unwrap_or_else(|_| panic!("{name}: run this by tests/with_postgres"))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self {
            url: text("ARTIFACT_TRIGGERS_POSTGRES"),
            control: text("ARTIFACT_TRIGGERS_PG_CTL"),
            runtime: runtime.expect("there are threads"),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks it, by a connection of its own.
    pub(crate) fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&self.url, NoTls).await.expect("it is there");
            tokio::spawn(connection);
            client.query(sql, values).await.expect("it answers")
        })
    }

    /// Cuts the connections of an application. Tells how many.
    pub(crate) fn cut(&self, application: &str) -> usize {
        let sql =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        self.query(sql, &[&application]).len()
    }

    /// Restarts it, at once or as after a crash.
    pub(crate) fn restart(&self, crashes: bool) {
        let mode = if crashes { "immediate" } else { "fast" };
        let status = Command::new("bash")
            .args(["-c", &format!("{} -m {mode} restart", self.control)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("there is a shell").success(), "the server does not come back");
    }
}
