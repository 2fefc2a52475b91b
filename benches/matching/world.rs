//! The registries of a workload, and the rules of the triggers that watch them.
//!
//! A rule, a repository and all else is a function of the seed and its number: nothing is kept, and
//! the triggers of a smaller workload are the first ones of a larger.

use super::random::Random;
use super::rule::{Field, KINDS, Rule, Test, kind};

const SEED: u64 = 0xa27e_fac7;

const FIRST: [&str; 40] = [
    "payments",
    "orders",
    "catalog",
    "search",
    "billing",
    "identity",
    "checkout",
    "shipping",
    "inventory",
    "pricing",
    "ledger",
    "fraud",
    "reports",
    "metrics",
    "logging",
    "tracing",
    "gateway",
    "session",
    "profile",
    "media",
    "image",
    "video",
    "chat",
    "mail",
    "notify",
    "schedule",
    "workflow",
    "policy",
    "audit",
    "backup",
    "restore",
    "export",
    "import",
    "sync",
    "mirror",
    "cache",
    "queue",
    "stream",
    "archive",
    "ingest",
];
const SECOND: [&str; 40] = [
    "api",
    "worker",
    "web",
    "proxy",
    "agent",
    "operator",
    "console",
    "batch",
    "cron",
    "sidecar",
    "router",
    "store",
    "index",
    "loader",
    "parser",
    "runner",
    "builder",
    "signer",
    "scanner",
    "writer",
    "reader",
    "broker",
    "bridge",
    "adapter",
    "client",
    "server",
    "daemon",
    "monitor",
    "planner",
    "resolver",
    "migrator",
    "collector",
    "exporter",
    "importer",
    "shipper",
    "keeper",
    "watcher",
    "driver",
    "plugin",
    "toolkit",
];

/// One of 14,400 names: 40 by 40 pairs of words, and a number of one digit.
fn name(random: &mut Random) -> [String; 3] {
    let number = 1 + random.below(9);
    [random.pick(&FIRST).to_owned(), random.pick(&SECOND).to_owned(), number.to_string()]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Many registries of a hundred triggers each.
    Registries,
    /// The same, where one trigger in a thousand has nothing exact to hold on to.
    Loose,
    /// All triggers watch one registry.
    Giant,
    /// As the first, with the tests that every rules engine has: exact and prefix.
    Plain,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    workload: Workload,
    /// How many registries events come from.
    pub(crate) registries: usize,
    pub(crate) repositories: usize,
    teams: usize,
    majors: usize,
    minors: usize,
    branches: usize,
}

impl World {
    pub(crate) fn new(workload: Workload, triggers: usize) -> Self {
        let registries = (triggers / 100).max(10);
        let many = Self {
            workload,
            registries,
            repositories: 50,
            teams: 8,
            majors: 3,
            minors: 4,
            branches: 12,
        };
        let giant = Self {
            registries: 1,
            repositories: 8_000,
            teams: 2_000,
            majors: 60,
            minors: 100,
            branches: 6_400,
            ..many
        };
        if workload == Workload::Giant { giant } else { many }
    }

    /// The numbers of so many triggers. Fewer than a hundred stand in registries of their own.
    pub(crate) fn numbers(triggers: usize) -> impl Iterator<Item = usize> {
        let step = if triggers < 1_000 { 100 } else { 1 };
        (0..triggers).map(move |n| n * step)
    }

    pub(crate) fn registry(registry: usize) -> String {
        format!("registry-{registry}.example")
    }

    /// One of the repositories; some are watched, and used, far more than others, but for those of
    /// the one registry, where an event would match too many.
    pub(crate) fn watched(&self, random: &mut Random) -> usize {
        if self.workload == Workload::Giant {
            return random.below(self.repositories);
        }
        let most = 1 + random.below(self.repositories);
        random.below(most)
    }

    /// The kind of an event: the frequent ones are wanted more often too.
    pub(crate) fn kind(&self, random: &mut Random) -> usize {
        if self.workload == Workload::Giant { random.below(KINDS.len()) } else { kind(random) }
    }

    /// One kind or two.
    fn kinds(&self, random: &mut Random) -> Vec<usize> {
        let mut kinds = vec![self.kind(random)];
        if random.percent(60) {
            kinds.push(self.kind(random));
            kinds.dedup();
        }
        kinds
    }

    fn repository_parts(registry: usize, repository: usize, teams: usize) -> [String; 4] {
        let mut random = Random::new(SEED ^ 1, registry * 10_007 + repository);
        let [first, second, number] = name(&mut random);
        [format!("team-{}", repository % teams), first, second, number]
    }

    pub(crate) fn repository(&self, registry: usize, repository: usize) -> String {
        let [team, first, second, number] =
            Self::repository_parts(registry, repository, self.teams);
        format!("{team}/{first}-{second}-{number}")
    }

    pub(crate) fn component(&self, registry: usize, repository: usize) -> String {
        let [_, first, second, number] = Self::repository_parts(registry, repository, self.teams);
        format!("{first}-{second}-{number}")
    }

    /// What the tags of a branch begin with.
    pub(crate) fn branch(&self, random: &mut Random) -> String {
        let n = random.below(self.branches);
        format!("{}-{}-{}", FIRST[n % 40], SECOND[n / 40 % 40], n / 1_600)
    }

    pub(crate) fn version(&self, random: &mut Random) -> [usize; 3] {
        [random.below(self.majors), random.below(self.minors), random.below(50)]
    }

    /// Whether a trigger has nothing exact to hold on to.
    pub(crate) fn is_loose(&self, n: usize) -> bool {
        self.workload == Workload::Loose && n % 1_000 == 999
    }

    pub(crate) fn rule(&self, n: usize) -> Rule {
        let mut random = Random::new(SEED ^ 2, n);
        if self.is_loose(n) {
            return Rule { kinds: Vec::new(), tests: vec![self.loose(&mut random)] };
        }
        let registry = if self.workload == Workload::Giant { 0 } else { n / 100 };
        let mut tests = vec![(Field::Registry, Test::Exact(Self::registry(registry)))];
        let repository = self.watched(&mut random);
        let class = random.below(100);
        if self.workload == Workload::Plain {
            tests.push(self.plain(&mut random, class, registry, repository));
            return Rule { kinds: self.kinds(&mut random), tests };
        }
        let whole = Test::Exact(self.repository(registry, repository));
        let mut any_kind = false;
        match class {
            0..40 => tests.push((Field::Repository, whole)),
            40..60 => tests.push((Field::Repository, self.glob(&mut random, registry, repository))),
            60..75 => {
                tests.push((Field::Tags, self.tag(&mut random)));
                any_kind = random.percent(50);
            }
            75..85 => {
                tests.extend([
                    (Field::Repository, whole),
                    (Field::Version, self.semver(&mut random)),
                ]);
                any_kind = random.percent(50);
            }
            85..95 => tests.extend([(Field::Repository, whole), Self::refusal(&mut random)]),
            _ => {
                tests.push(self.inner(&mut random, registry, repository));
                any_kind = random.percent(50);
            }
        }
        let kinds = if any_kind { Vec::new() } else { self.kinds(&mut random) };
        Rule { kinds, tests }
    }

    fn glob(&self, random: &mut Random, registry: usize, repository: usize) -> Test {
        let [team, first, second, _] = Self::repository_parts(registry, repository, self.teams);
        Test::Glob(match random.below(8) {
            0 | 1 => format!("{team}/**"),
            2..=5 => format!("{team}/{first}-*"),
            6 => format!("{team}/*-{second}-?"),
            _ => format!("*/{first}-{second}-?"),
        })
    }

    fn tag(&self, random: &mut Random) -> Test {
        let [major, minor, _] = self.version(random);
        let branch = self.branch(random);
        match random.below(6) {
            0 | 1 => Test::Prefix(format!("v{major}.{minor}.")),
            2 => Test::Prefix(format!("{branch}-")),
            3 => Test::Wildcard(format!("v{major}.{minor}.*-rc*")),
            4 => Test::Wildcard(format!("{branch}-*")),
            _ => Test::Wildcard(format!("*{branch}-*")),
        }
    }

    fn semver(&self, random: &mut Random) -> Test {
        let [major, minor, patch] = self.version(random);
        Test::Semver(match random.below(4) {
            0 => format!("^{major}.{minor}"),
            1 => format!("~{major}.{minor}"),
            2 => format!(">={major}.{minor}.{patch}, <{}", major + 1),
            _ => format!(">={major}.{minor}"),
        })
    }

    fn refusal(random: &mut Random) -> (Field, Test) {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        if random.percent(50) {
            (Field::Tags, Test::AnythingBut(texts(&["latest", "main", "nightly"])))
        } else {
            (Field::Actor, Test::AnythingBut(texts(&["renovate", "replicator"])))
        }
    }

    fn inner(&self, random: &mut Random, registry: usize, repository: usize) -> (Field, Test) {
        let [_, first, second, number] = Self::repository_parts(registry, repository, self.teams);
        match random.below(5) {
            0 => (Field::Repository, Test::Regex(format!("^[a-z0-9-]+/{first}-{second}-[0-9]+$"))),
            1 => (Field::Repository, Test::Regex(format!("/{first}-{second}-(1|2|3|{number})$"))),
            2 | 3 => (Field::Repository, Test::Contains(format!("{first}-{second}-{number}"))),
            _ => (Field::Label, Test::Contains(format!("{first}-{second}"))),
        }
    }

    fn loose(&self, random: &mut Random) -> (Field, Test) {
        let [first, second, number] = name(random);
        let team = random.below(self.teams);
        let [major, minor, patch] = self.version(random);
        match random.below(10) {
            0 => (Field::Repository, Test::Prefix(format!("team-{team}/{first}-{second}-"))),
            1 => (Field::Repository, Test::Suffix(format!("/{first}-{second}-{number}"))),
            2 => (Field::Repository, Test::Wildcard(format!("*/{first}-{second}-*"))),
            3 => (Field::Repository, Test::Glob(format!("*/{first}-{second}-?"))),
            4 | 5 => (Field::Repository, Test::Contains(format!("/{first}-{second}-"))),
            6 => (Field::Repository, Test::Regex(format!("(^|/){first}-{second}-[0-9]$"))),
            7 => (Field::Tags, Test::Prefix(format!("v{major}.{minor}.{patch}-rc"))),
            8 => (Field::Tags, Test::Suffix(format!("v{major}.{minor}.{patch}"))),
            _ => (Field::Tags, Test::Wildcard(format!("*{major}.{minor}.{patch}-rc*"))),
        }
    }

    fn plain(
        &self,
        random: &mut Random,
        class: usize,
        registry: usize,
        repository: usize,
    ) -> (Field, Test) {
        let [team, first, _, _] = Self::repository_parts(registry, repository, self.teams);
        let [major, minor, _] = self.version(random);
        match class {
            0..70 => (Field::Repository, Test::Exact(self.repository(registry, repository))),
            70..85 => (Field::Repository, Test::Prefix(format!("{team}/{first}-"))),
            _ => (Field::Tags, Test::Prefix(format!("v{major}.{minor}."))),
        }
    }
}
