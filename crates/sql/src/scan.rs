//! The plan's leaf: pieces of objects to batches, one stream for each group of pieces.
//!
//! Invariant: what a stream has in memory (a chunk, and the columns made of it) is asked of the question's memory first.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use tokio::sync::mpsc::Sender;

use crate::account::Account;
use crate::decoding::{Decoder, Form};
use crate::pieces::{Chunks, Framing, Object, Piece, records};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;
/// Bytes of a batch: it is cut early beyond it.
const BATCH_BYTES: u64 = 16 << 20;
/// Batches that wait for the next step of the plan.
const BATCHES_WAITING: usize = 2;

/// What `EXPLAIN` tells of how a table is read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) table: String,
    /// Objects that were listed, and those of them that are read.
    pub(crate) listed: usize,
    pub(crate) read: usize,
    /// What the listing was narrowed to.
    pub(crate) narrowed: String,
    pub(crate) needs_bodies: bool,
}

#[derive(Debug)]
pub(crate) struct Scan {
    told: Told,
    form: Arc<Form>,
    account: Arc<Account>,
    groups: Vec<Arc<[Piece]>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl Scan {
    pub(crate) fn new(
        told: Told,
        form: Arc<Form>,
        account: Arc<Account>,
        groups: Vec<Vec<Piece>>,
        schema: SchemaRef,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(groups.len().max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let groups = groups.into_iter().map(Into::into).collect();
        Self { told, form, account, groups, schema, properties: Arc::new(properties) }
    }
}

impl DisplayAs for Scan {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { table, listed, read, narrowed, needs_bodies } = &self.told;
        write!(f, "Scan: table={table}, objects={read} of {listed} listed")?;
        if !narrowed.is_empty() {
            write!(f, " ({narrowed})")?;
        }
        let bytes: u64 = self.groups.iter().flat_map(|group| group.iter()).map(|piece| piece.to - piece.from).sum();
        let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, ", bytes={bytes}, columns=[{}]", columns.join(", "))?;
        if matches!(*self.form, Form::Captured { .. }) {
            write!(f, ", bodies={}", if *needs_bodies { "decoded" } else { "skipped" })?;
        }
        Ok(())
    }
}

#[async_trait]
impl ExecutionPlan for Scan {
    fn name(&self) -> &'static str {
        "Scan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a scan has no children") }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut stream = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), BATCHES_WAITING);
        let Some(group) = self.groups.get(partition) else { return Ok(stream.build()) };
        let consumer = MemoryConsumer::new(format!("objects of {}", self.told.table));
        let mut reading = Reading {
            form: Arc::clone(&self.form),
            account: Arc::clone(&self.account),
            wanted: Arc::clone(&self.schema),
            memory: consumer.register(context.memory_pool()),
            batches: stream.tx(),
            current: None,
        };
        let group = Arc::clone(group);
        stream.spawn(async move { reading.run(&group).await });
        Ok(stream.build())
    }
}

/// Whoever asked has what it wants, or was told the error.
struct Over;

struct Reading {
    form: Arc<Form>,
    account: Arc<Account>,
    wanted: SchemaRef,
    memory: MemoryReservation,
    batches: Sender<Result<RecordBatch>>,
    current: Option<(Arc<Object>, Decoder)>,
}

impl Reading {
    async fn run(&mut self, pieces: &[Piece]) -> Result<()> {
        for piece in pieces {
            match self.piece(piece).await {
                Ok(()) => {}
                Err(Stop::Over) => return Ok(()),
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        match self.finish().await {
            Ok(()) | Err(Over) => Ok(()),
        }
    }

    async fn piece(&mut self, piece: &Piece) -> Result<(), Stop> {
        let framing = self.form.framing();
        let mut chunks = Chunks::open(piece.clone(), framing).await.map_err(failed)?;
        if chunks.is_first() {
            self.account.object();
        }
        self.account.bytes(piece.to - piece.from);
        self.turn_to(&piece.object).await.map_err(|Over| Stop::Over)?;
        let mut header = chunks.is_first() && self.form.has_header();
        while let Some(chunk) = chunks.next().await.map_err(failed)? {
            self.memory.try_resize(chunk.bytes.len()).map_err(Stop::Failed)?;
            let mut count = 0;
            for record in records(&chunk.bytes, framing) {
                if record.bytes.trim_ascii().is_empty() {
                    continue;
                }
                let (object, decoder) = self.current.as_mut().expect("our bug: reading begins with an object");
                if std::mem::take(&mut header) {
                    decoder.header(record.bytes);
                    continue;
                }
                count += 1;
                if let Err(reason) = decoder.push(object, record.bytes) {
                    self.account.bad(&object.found.address, chunk.at + record.at as u64, &reason);
                }
                if decoder.rows() >= BATCH_ROWS || decoder.size_bytes() >= BATCH_BYTES {
                    self.memory.try_resize(chunk.bytes.len() + decoder.size_bytes() as usize).map_err(Stop::Failed)?;
                    self.send().await.map_err(|Over| Stop::Over)?;
                }
            }
            self.account.records(count);
        }
        Ok(())
    }

    /// Makes the object the current one; rows of one that it does not go on from are sent first.
    async fn turn_to(&mut self, object: &Arc<Object>) -> Result<(), Over> {
        let goes_on = self.current.as_ref().is_some_and(|(last, _)| self.form.goes_on(last, object));
        // Another CSV file may have its columns in another order.
        let is_same = self.current.as_ref().is_some_and(|(last, _)| Arc::ptr_eq(last, object));
        if goes_on && (is_same || self.form.framing() == Framing::Lines) {
            self.current.as_mut().expect("our bug: there is one that goes on").0 = Arc::clone(object);
            return Ok(());
        }
        self.finish().await?;
        self.current = Some((Arc::clone(object), self.form.begin(object, &self.wanted)));
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Over> {
        self.send().await?;
        if let Some((_, decoder)) = self.current.take() {
            let unread = decoder.unread();
            self.account.unread(unread.rows, unread.first.as_deref());
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Over> {
        let Some(batch) = self.current.as_mut().and_then(|(_, decoder)| decoder.take()) else { return Ok(()) };
        self.batches.send(Ok(batch)).await.map_err(|_| Over)
    }
}

enum Stop {
    Over,
    Failed(DataFusionError),
}

fn failed(error: captura_archive::reader::ReadError) -> Stop {
    Stop::Failed(DataFusionError::External(Box::new(error)))
}
