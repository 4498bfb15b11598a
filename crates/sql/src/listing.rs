//! Parquet files as tables, by DataFusion's own reader: the halves of an invocation table, and any others.
//!
//! Files are filed by endpoint, date and hour of arrival, so bounds of `event_time` are handed on as bounds of `date`: whole
//! days are never opened. Within them DataFusion skips row groups by their statistics.
//!
//! Invariant: a file is left out only when the folder it is in, or its own statistics, exclude it.

use std::sync::Arc;

use async_trait::async_trait;
use captura_archive::Stores;
use captura_archive::stores::Place;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;

use crate::decoding::{DATE, ENDPOINT, EVENT_TIME, HOUR};
use crate::error::SqlError;
use crate::pruning::selection;

const DAY_US: i64 = 86_400_000_000;

/// A table of the Parquet files at an address; `half` is the folder of a half of an invocation table.
///
/// # Errors
/// When the files cannot be read or do not agree on their columns.
pub(crate) async fn parquet(
    context: &SessionContext,
    stores: &Stores,
    address: &str,
    half: Option<&str>,
) -> Result<Arc<dyn TableProvider>, SqlError> {
    let place = stores.place(address)?;
    let failed = |error: datafusion::error::DataFusionError| SqlError::Source {
        address: address.to_owned(),
        reason: error.strip_backtrace(),
    };
    // Where the address leads into the half, its folders are no columns of files below it any more.
    let folder = half.and_then(|half| format!("{half}/").strip_prefix(&place.base).map(str::to_owned));
    let url = registered(context, &place, folder.as_deref()).await.map_err(failed)?;
    // Texts of a table are those of captured lines, also in what their type is called.
    let format = ParquetFormat::default().with_force_view_types(false);
    let options = ListingOptions::new(Arc::new(format)).with_file_extension(".parquet");
    let state = context.state();
    let partitions = match folder {
        Some(_) => hive(),
        None => {
            let found = options.infer_partitions(&state, &url).await.map_err(failed)?;
            found.into_iter().map(|name| (name, DataType::Utf8)).collect()
        }
    };
    let options = options.with_table_partition_cols(partitions);
    let config = ListingTableConfig::new(url).with_listing_options(options);
    let config = config.infer_schema(&state).await.map_err(failed)?;
    let table = Arc::new(ListingTable::try_new(config).map_err(failed)?);
    Ok(if folder_is_hive(half, &place) { Arc::new(Timed(table)) } else { table })
}

fn folder_is_hive(half: Option<&str>, place: &Place) -> bool {
    half.is_some_and(|half| format!("{half}/").starts_with(&place.base))
}

/// The columns that the folders of an invocation table are.
fn hive() -> Vec<(String, DataType)> {
    [(ENDPOINT, DataType::Utf8), (DATE, DataType::Date32), (HOUR, DataType::Int64)]
        .map(|(name, of)| (name.to_owned(), of))
        .into()
}

/// Makes the place's store known to DataFusion under an address of its own.
async fn registered(context: &SessionContext, place: &Place, folder: Option<&str>) -> Result<ListingTableUrl> {
    use object_store::ObjectStoreExt as _;
    let number = place.base.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let url = ObjectStoreUrl::parse(format!("captura-{number:016x}://store"))?;
    context.runtime_env().register_object_store(url.as_ref(), Arc::clone(&place.store));
    let is_object = !place.path.as_ref().is_empty() && place.store.head(&place.path).await.is_ok();
    let path = folder.map_or_else(|| place.path.to_string(), |folder| folder.trim_end_matches('/').to_owned());
    let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    let end = if is_object || path.is_empty() { "" } else { "/" };
    ListingTableUrl::parse(format!("{}{path}{end}", url.as_str()))
}

/// Files by hour of arrival.
#[derive(Debug)]
struct Timed(Arc<ListingTable>);

#[async_trait]
impl TableProvider for Timed {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.0.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut filters = filters.to_vec();
        let about_time: Vec<Expr> = filters
            .iter()
            .filter(|filter| filter.column_refs().iter().any(|c| c.name == EVENT_TIME))
            .cloned()
            .collect();
        if let Some(window) = selection(&about_time).window {
            let day = |us: i64| lit(ScalarValue::Date32(i32::try_from(us.div_euclid(DAY_US)).ok()));
            filters.push(col(DATE).gt_eq(day(window.start.unix_us())));
            filters.push(col(DATE).lt_eq(day(window.end.unix_us())));
        }
        self.0.scan(state, projection, &filters, limit).await
    }
}
