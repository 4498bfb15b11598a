//! A question and its answer: tables of what was named, one statement that only reads, batches as they come.
//!
//! Invariant: memory stays within what the question may have, or it ends with an error that says so; sorts, joins and
//! groupings go to temporary files first.

use std::sync::Arc;

use captura_archive::Stores;
use captura_archive::rendering::ColumnNames;
use captura_capture::record::Signature;
use captura_monitor::dataset::Naming;
use captura_table::Kind;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as Sql;
use futures_util::StreamExt as _;

use crate::account::{Account, Tally};
use crate::error::SqlError;
use crate::inference::Sample;
use crate::source::From;
use crate::tables::{CATALOG, SCHEMA, Tables};
use crate::trouble::explained;

/// Memory of a question unless told otherwise, bytes.
pub const MEMORY_BYTES: usize = 1 << 30;
/// What `SHOW TABLES` shows: not the tables about tables.
const SHOWN_TABLES: &str =
    "SELECT CASE table_schema WHEN 'public' THEN table_name ELSE table_schema || '.' || table_name END AS table_name
    FROM information_schema.tables WHERE table_schema <> 'information_schema' ORDER BY 1";
/// Temporary files of a question at most, bytes.
const SPILL_BYTES_MAX: u64 = 100 << 30;

/// What is asked, and of what.
#[derive(Debug, Clone)]
pub struct Question {
    /// One statement that reads.
    pub sql: String,
    /// What it may read.
    pub from: Vec<From>,
    /// Inputs and outputs of the models of captured lines, where they are known; else a sample tells.
    pub signature: Option<Signature>,
    /// What inputs and outputs are called that captured lines call otherwise, or not at all.
    pub naming: Arc<Naming>,
    /// How columns of inputs and outputs are named.
    pub names: ColumnNames,
    /// How much is looked at to find columns and types.
    pub sample: Sample,
    /// Threads that read and reckon.
    pub threads: usize,
    /// Memory of sorts, joins, groupings and what is being read, bytes.
    pub memory_bytes: usize,
}

/// An answer that comes batch by batch.
pub struct Answer {
    batches: SendableRecordBatchStream,
    account: Arc<Account>,
    sql: String,
    tables: Vec<String>,
}

impl Answer {
    /// Its columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.batches.schema()
    }

    /// The next batch, `None` after the last.
    ///
    /// # Errors
    /// When an object cannot be read, or the question needs more memory than it may have.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        let batch = self.batches.next().await?;
        Some(batch.map_err(|error| explained(&error, &self.sql, &self.tables)))
    }

    /// What was read so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.account.tally()
    }
}

/// Asks a question.
///
/// # Errors
/// When something is not there, the statement is none that reads, or names what there is not.
pub async fn ask(stores: &Stores, question: &Question) -> Result<Answer, SqlError> {
    let context = context(question)?;
    let account = Arc::new(Account::default());
    let statement = read_only(&context, &question.sql)?;
    let wants_rows = wants_rows(&context, &statement);
    let tables = Tables::open(&context, stores, question, &account, wants_rows).await?.into_names();
    let said = |error: datafusion::error::DataFusionError| explained(&error, &question.sql, &tables);
    let plan = context.state().statement_to_plan(statement).await.map_err(said)?;
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(&plan).map_err(said)?;
    let frame = context.execute_logical_plan(plan).await.map_err(said)?;
    let batches = frame.execute_stream().await.map_err(said)?;
    Ok(Answer { batches, account, sql: question.sql.clone(), tables })
}

fn context(question: &Question) -> Result<SessionContext, SqlError> {
    let mut config = SessionConfig::new()
        .with_target_partitions(question.threads.max(1))
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_information_schema(true);
    config.options_mut().sql_parser.collect_spans = true;
    config.options_mut().execution.parquet.pushdown_filters = true;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(question.memory_bytes)))
        .with_max_temp_directory_size(SPILL_BYTES_MAX)
        .build_arc();
    let runtime = runtime.map_err(|error| SqlError::Question(error.strip_backtrace()))?;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

/// Parses the statement.
///
/// # Errors
/// When it is no SQL, several statements, or one that does more than read.
fn read_only(context: &SessionContext, sql: &str) -> Result<Statement, SqlError> {
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).map_err(|error| match error {
        DataFusionError::NotImplemented(reason) if reason.contains("single SQL statement") => {
            SqlError::Question("there are several statements; ask one at a time".to_owned())
        }
        error => explained(&error, sql, &[]),
    })?;
    fn reads(statement: &Statement) -> bool {
        match statement {
            Statement::Statement(sql) => matches!(
                **sql,
                Sql::Query(_)
                    | Sql::Explain { .. }
                    | Sql::ExplainTable { .. }
                    | Sql::ShowTables { .. }
                    | Sql::ShowColumns { .. }
                    | Sql::ShowFunctions { .. }
            ),
            Statement::Explain(explain) => reads(&explain.statement),
            _ => false,
        }
    }
    if matches!(&statement, Statement::Statement(sql) if matches!(**sql, Sql::ShowTables { .. })) {
        return state.sql_to_statement(SHOWN_TABLES, &dialect).map_err(|error| explained(&error, sql, &[]));
    }
    if reads(&statement) {
        return Ok(statement);
    }
    let words: Vec<&str> = sql.split_whitespace().take(2).collect();
    Err(SqlError::ReadOnly { statement: words.join(" ") })
}

/// Whether a question wants the half of the table with inputs and outputs, whose columns a sample must tell.
fn wants_rows(context: &SessionContext, statement: &Statement) -> bool {
    let is_query = |statement: &Statement| match statement {
        Statement::Statement(sql) => matches!(**sql, Sql::Query(_) | Sql::Explain { .. }),
        Statement::Explain(_) => true,
        _ => false,
    };
    let named = context.state().resolve_table_references(statement).unwrap_or_default();
    let is_rows =
        |table: &TableReference| table.table() == Kind::Rows.as_str() || table.schema() == Some("information_schema");
    !is_query(statement) || named.iter().any(is_rows)
}
