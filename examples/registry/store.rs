//! What the registry has: contents as files, named by their digest, and what is known of them in
//! SQLite.
//!
//! A change and the event that tells of it are one transaction: the event is left in the outbox,
//! from where the engine takes it. A crash leaves both or neither.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::{Artifact, Event, EventBuilder, EventKind, Scope};
use artifact_triggers::outbox::sqlite as outbox;
use artifact_triggers::retention::Version;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};

use super::AnyError;

/// What the registry calls itself in events.
pub(crate) const REGISTRY: &str = "registry.example";

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS version (
        package TEXT NOT NULL,
        version TEXT NOT NULL,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        pushed_at INTEGER NOT NULL,
        pulled_at INTEGER,
        quarantined TEXT,
        PRIMARY KEY (package, version)
    ) STRICT;";

#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    database: Mutex<Connection>,
}

/// A name of a package and one of a version, as a URL has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coordinates {
    pub(crate) package: String,
    pub(crate) version: String,
}

/// A version that is there.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) of: Coordinates,
    pub(crate) content: Upload,
    pub(crate) pushed_at: Timestamp,
    pub(crate) pulled_at: Option<Timestamp>,
    /// Why it is not given out, if it is not.
    pub(crate) quarantined: Option<String>,
}

/// What a push was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// A version that was not there.
    New,
    /// Other content under a name that was there.
    Changed,
    /// What was there already.
    Same,
}

/// A content that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) digest: String,
    pub(crate) size: u64,
}

impl Coordinates {
    /// Names that are names of files too: letters, digits, `.`, `-` and `_`, not beginning with
    /// `.`.
    pub(crate) fn new(package: String, version: String) -> Result<Self, String> {
        for (field, name) in [("package", &package), ("version", &version)] {
            let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_+".contains(&b);
            let is_name = name.len() <= 128 && !name.is_empty() && name.bytes().all(is_allowed);
            if !is_name || name.starts_with('.') {
                return Err(format!(
                    "{field}: expected 1 to 128 letters, digits, '.', '-', '_' or '+', not \
                     beginning with '.'; found {name:?}"
                ));
            }
        }
        Ok(Self { package, version })
    }
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.package, self.version)
    }
}

impl Upload {
    /// What it is as the content of a version.
    pub(crate) fn artifact(&self, of: &Coordinates) -> Artifact {
        Artifact::new("generic", &of.package)
            .with_registry(REGISTRY)
            .with_version(&of.version)
            .with_digest(&self.digest)
            .with_size(self.size)
    }
}

impl Stored {
    pub(crate) fn artifact(&self) -> Artifact {
        self.content.artifact(&self.of)
    }

    /// As retention sees it.
    pub(crate) fn as_version(&self) -> Version {
        let version = Version::new(self.artifact(), self.pushed_at);
        match self.pulled_at {
            Some(at) => version.with_last_downloaded_at(at),
            None => version,
        }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            of: Coordinates { package: row.get("package")?, version: row.get("version")? },
            content: Upload {
                digest: row.get("digest")?,
                size: row.get::<_, i64>("size")?.unsigned_abs(),
            },
            pushed_at: Timestamp::from_unix_micros(row.get("pushed_at")?),
            pulled_at: row.get::<_, Option<i64>>("pulled_at")?.map(Timestamp::from_unix_micros),
            quarantined: row.get("quarantined")?,
        })
    }
}

impl Store {
    pub(crate) fn open(folder: &Path) -> Result<Self, AnyError> {
        fs::create_dir_all(folder.join("contents"))?;
        let database = Connection::open(folder.join("registry.db"))?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.execute_batch(SCHEMA)?;
        outbox::prepare(&database)?;
        Ok(Self { folder: folder.to_owned(), database: Mutex::new(database) })
    }

    /// The file that has a content, which may not be there.
    pub(crate) fn path_of(&self, digest: &str) -> PathBuf {
        self.folder.join("contents").join(digest.trim_start_matches("sha256:"))
    }

    /// Writes a content, so that it is there after a loss of power.
    pub(crate) fn write(&self, content: &[u8]) -> io::Result<Upload> {
        let digest = Sha256::digest(content).iter().fold("sha256:".to_owned(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a text takes everything");
            text
        });
        let upload = Upload { digest, size: content.len() as u64 };
        let path = self.path_of(&upload.digest);
        let mut file = tempfile::NamedTempFile::new_in(self.folder.join("contents"))?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        File::open(self.folder.join("contents"))?.sync_all()?;
        Ok(upload)
    }

    /// Removes contents that no version has any more. What is being pushed is not among them as
    /// long as it is younger than an hour.
    pub(crate) fn sweep(&self) -> Result<(), AnyError> {
        let database = self.lock();
        let mut used = database.prepare_cached("SELECT 1 FROM version WHERE digest = ?1")?;
        for entry in fs::read_dir(self.folder.join("contents"))? {
            let entry = entry?;
            let digest = format!("sha256:{}", entry.file_name().to_string_lossy());
            let is_old = entry.metadata()?.modified()?.elapsed()? > Duration::from_secs(3600);
            if is_old && !used.exists([digest])? {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Makes a content that of a version.
    pub(crate) fn push(&self, of: &Coordinates, upload: &Upload) -> Result<Pushed, AnyError> {
        let stored = Stored {
            of: of.clone(),
            content: upload.clone(),
            pushed_at: Timestamp::now(),
            pulled_at: None,
            quarantined: None,
        };
        self.change(|database| {
            let before = find(database, of)?;
            if before.as_ref().is_some_and(|before| before.content == stored.content) {
                return Ok((Pushed::Same, None));
            }
            database.execute(
                "INSERT OR REPLACE INTO version (package, version, digest, size, pushed_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    of.package,
                    of.version,
                    stored.content.digest,
                    i64::try_from(stored.content.size)?,
                    stored.pushed_at.unix_micros()
                ],
            )?;
            let (pushed, event) = match before {
                None => (Pushed::New, Event::builder(EventKind::ARTIFACT_INGESTED)),
                Some(before) => {
                    let event = Event::builder(EventKind::ARTIFACT_UPDATED);
                    (Pushed::Changed, event.from(before.artifact()))
                }
            };
            Ok((pushed, Some(event.artifact(stored.artifact()))))
        })
    }

    /// What a version has, for somebody who pulls it.
    pub(crate) fn pull(&self, of: &Coordinates) -> Result<Option<Stored>, AnyError> {
        let database = self.lock();
        let now = Timestamp::now().unix_micros();
        let pulled = "UPDATE version SET pulled_at = ?3 WHERE package = ?1 AND version = ?2
                      AND quarantined IS NULL";
        database.execute(pulled, params![of.package, of.version, now])?;
        Ok(find(&database, of)?)
    }

    /// Deletes a version. Tells whether it was there.
    pub(crate) fn delete(&self, of: &Coordinates) -> Result<bool, AnyError> {
        self.change(|database| match find(database, of)? {
            Some(stored) => Ok((true, Some(remove(database, &stored)?))),
            None => Ok((false, None)),
        })
    }

    /// Deletes a version that retention does not keep, unless somebody pushed or pulled it since it
    /// was listed. That it is gone already is fine.
    pub(crate) fn delete_unchanged(&self, listed: &Version) -> Result<(), AnyError> {
        let artifact = listed.artifact.clone();
        let (package, version) = artifact.name.zip(artifact.version).ok_or("it has no name")?;
        let of = Coordinates::new(package, version)?;
        self.change(|database| {
            let Some(stored) = find(database, &of)? else { return Ok(((), None)) };
            if stored.as_version() != *listed {
                return Err("it was pushed or pulled again".into());
            }
            Ok(((), Some(remove(database, &stored)?)))
        })
    }

    /// Locks a version away, if it still has the content that somebody found fault with.
    pub(crate) fn quarantine(
        &self,
        of: &Coordinates,
        digest: &str,
        reason: &str,
    ) -> Result<bool, AnyError> {
        self.change(|database| {
            let lock = "UPDATE version SET quarantined = ?4
                        WHERE package = ?1 AND version = ?2 AND digest = ?3 AND quarantined IS NULL";
            if database.execute(lock, params![of.package, of.version, digest, reason])? == 0 {
                return Ok((false, None));
            }
            let event = Event::builder(EventKind::ARTIFACT_QUARANTINED);
            let event = event.attribute("reason", reason);
            let stored = find(database, of)?.ok_or("the version was there a moment ago")?;
            Ok((true, Some(event.artifact(stored.artifact()))))
        })
    }

    /// All versions, in the order of their names.
    pub(crate) fn versions(&self) -> Result<Vec<Stored>, AnyError> {
        let database = self.lock();
        let mut all = database.prepare_cached("SELECT * FROM version ORDER BY package, version")?;
        let rows = all.query_map([], Stored::read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Changes something and tells of it, both or neither.
    fn change<T>(
        &self,
        change: impl FnOnce(&Connection) -> Result<(T, Option<EventBuilder>), AnyError>,
    ) -> Result<T, AnyError> {
        let mut database = self.lock();
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (answer, event) = change(&transaction)?;
        if let Some(event) = event {
            outbox::record_in(&transaction, &event.scope(scope()).build()?)?;
        }
        transaction.commit()?;
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that panicked was rolled back.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where everything happens: this registry has one tenant.
pub(crate) fn scope() -> Scope {
    "demo".parse().expect("it is a scope")
}

fn remove(database: &Connection, stored: &Stored) -> rusqlite::Result<EventBuilder> {
    let gone = "DELETE FROM version WHERE package = ?1 AND version = ?2";
    database.execute(gone, params![stored.of.package, stored.of.version])?;
    Ok(Event::builder(EventKind::ARTIFACT_DELETED).artifact(stored.artifact()))
}

fn find(database: &Connection, of: &Coordinates) -> rusqlite::Result<Option<Stored>> {
    let sql = "SELECT * FROM version WHERE package = ?1 AND version = ?2";
    database.query_row(sql, params![of.package, of.version], Stored::read).optional()
}
