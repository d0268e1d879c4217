//! Rewrites a statement of a migration for a cluster. Pure: text in, text out.

/// The tables whose rows are spread over the shards, and the expression that chooses the shard of an
/// inserted row. Materialized views fill the others on the shard of the raw rows.
///
/// A batch is of one partition, and so goes to one shard: it is stored as a whole or not at all.
const SHARDED: [(&str, Option<&str>); 5] = [
    ("access_events", Some("cityHash64(topic) + toUInt32(partition)")),
    ("key_usage_minute", None),
    ("key_usage_hour", None),
    ("key_scope_day", None),
    ("source_usage_hour", None),
];

/// For so long a server remembers tokens at most. It forgets them by number before that, as a single
/// server does.
const TOKEN_SECONDS: u32 = 30 * 86_400;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS ";
const WINDOW: &str = "non_replicated_deduplication_window = ";

/// The servers that execute a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Place {
    EveryNode,
    /// Replication brings the effect to the others.
    OneNode,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Step {
    pub(in crate::store) sql: String,
    pub(in crate::store) place: Place,
}

impl Step {
    fn everywhere(sql: String) -> Self {
        Self { sql, place: Place::EveryNode }
    }
}

/// The table with the rows of one shard, or the table itself if every node has all rows.
pub(in crate::store) fn stored_as(table: &str) -> String {
    match SHARDED.iter().any(|(name, _)| *name == table) {
        true => format!("{table}_local"),
        false => table.to_owned(),
    }
}

/// Returns the steps that do on a cluster what `statement` does on a single server. Each is to be
/// executed on all its nodes before the next one: a replica cannot join a table that others have
/// altered since.
pub(in crate::store) fn rewrite(statement: &str, cluster: &str) -> Vec<Step> {
    let statement = without_comments(statement);
    if let Some(rest) = statement.strip_prefix(TABLE) {
        return create_table(statement, first_word(rest), cluster);
    }
    if let Some(rest) = statement.strip_prefix("ALTER TABLE ") {
        return alter_table(statement, first_word(rest));
    }
    if statement.starts_with("CREATE MATERIALIZED VIEW ") {
        return vec![Step::everywhere(materialized_view(statement))];
    }
    if statement.starts_with("INSERT ") {
        return vec![Step { sql: statement.to_owned(), place: Place::OneNode }];
    }
    vec![Step::everywhere(statement.to_owned())]
}

fn create_table(statement: &str, table: &str, cluster: &str) -> Vec<Step> {
    let stored = stored_as(table);
    let sql = with_replicated_window(&with_replicated_engine(statement, table, cluster));
    let named = sql.replacen(&format!("{TABLE}{table}"), &format!("{TABLE}{stored}"), 1);
    let mut steps = vec![Step::everywhere(named)];
    if let Some((_, key)) = SHARDED.iter().find(|(name, _)| *name == table) {
        let key = key.map(|key| format!(", {key}")).unwrap_or_default();
        steps.push(Step::everywhere(format!(
            "{TABLE}{table} AS {stored}\n\
             ENGINE = Distributed('{cluster}', currentDatabase(), '{stored}'{key})"
        )));
    }
    steps
}

/// `ENGINE = ReplacingMergeTree(time)` becomes `ENGINE = ReplicatedReplacingMergeTree('path',
/// 'replica', time)`. A table that every node has is one table of all shards, so that its replicas
/// need names that differ between shards.
fn with_replicated_engine(statement: &str, table: &str, cluster: &str) -> String {
    let Some((before, engine)) = statement.split_once("ENGINE = ") else {
        return statement.to_owned();
    };
    let is_sharded = stored_as(table) != table;
    let (shard, replica) =
        if is_sharded { ("{shard}", "{replica}") } else { ("all", "{shard}-{replica}") };
    let end = engine.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(engine.len());
    let (name, rest) = engine.split_at(end);
    let (arguments, rest) = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((arguments, rest)) => (format!(", {arguments}"), rest),
        None => (String::new(), rest),
    };
    let path = format!("/clickhouse/tables/{cluster}/{shard}/{{database}}/{{table}}");
    format!("{before}ENGINE = Replicated{name}('{path}', '{replica}'{arguments}){rest}")
}

/// A replicated table remembers tokens by default. One without a window gets none here either.
fn with_replicated_window(statement: &str) -> String {
    if statement.contains(WINDOW) {
        let replicated = format!(
            "replicated_deduplication_window_seconds = {TOKEN_SECONDS}, \
             replicated_deduplication_window = "
        );
        return statement.replace(WINDOW, &replicated);
    }
    let separator = if statement.contains("SETTINGS ") { ", " } else { "\nSETTINGS " };
    format!("{statement}{separator}replicated_deduplication_window = 0")
}

/// The distributed table has columns, and neither indices nor a TTL.
fn alter_table(statement: &str, table: &str) -> Vec<Step> {
    let stored = stored_as(table);
    let local = statement.replacen(table, &stored, 1);
    let mut steps = vec![Step::everywhere(local)];
    if stored != table && statement.contains(" COLUMN ") {
        steps.push(Step::everywhere(statement.to_owned()));
    }
    steps
}

/// A view reads and fills the tables of its own shard.
fn materialized_view(statement: &str) -> String {
    SHARDED
        .iter()
        .fold(format!("{statement}\n"), |sql, (table, _)| {
            let stored = stored_as(table);
            sql.replace(&format!(" TO {table} "), &format!(" TO {stored} "))
                .replace(&format!("FROM {table}\n"), &format!("FROM {stored} AS {table}\n"))
        })
        .trim_end()
        .to_owned()
}

/// Leaves out the lines of comment before the statement.
fn without_comments(statement: &str) -> &str {
    let mut rest = statement.trim_start();
    while rest.starts_with("--") {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
    }
    rest
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
