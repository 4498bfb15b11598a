//! A table of lines: found again for each question, by what the question says of keys.

use std::sync::Arc;

use async_trait::async_trait;
use captura_archive::Stores;
use captura_archive::reader::{Selection, list_ending};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::account::Account;
use crate::decoding::Form;
use crate::pieces::{Object, cut};
use crate::pruning::{is_about_keys, prune, selection};
use crate::scan::{Scan, Told};

/// Lines at some addresses as a table.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) name: String,
    pub(crate) stores: Stores,
    pub(crate) addresses: Vec<String>,
    pub(crate) endings: &'static [&'static str],
    pub(crate) form: Arc<Form>,
    pub(crate) schema: SchemaRef,
    pub(crate) account: Arc<Account>,
}

/// The objects of the addresses in the order of these, each once.
pub(crate) async fn objects(
    stores: &Stores,
    addresses: &[String],
    selection: &Selection,
    endings: &[&str],
) -> Result<Vec<Arc<Object>>, captura_archive::reader::ReadError> {
    let mut all = Vec::new();
    for address in addresses {
        all.extend(list_ending(stores, address, selection, endings).await?);
    }
    all.sort_by(|a, b| a.address.cmp(&b.address));
    all.dedup_by(|a, b| a.address == b.address);
    Ok(all.into_iter().map(|found| Arc::new(Object::of(found))).collect())
}

#[async_trait]
impl TableProvider for Lines {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let is_captured = matches!(*self.form, Form::Captured { .. });
        let use_of = |filter: &&Expr| match is_captured && is_about_keys(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(use_of).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let filters: Vec<Expr> = filters.iter().filter(|filter| is_about_keys(filter)).cloned().collect();
        let selection = selection(&filters);
        let listed = objects(&self.stores, &self.addresses, &selection, self.endings).await;
        let listed = listed.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut told = Told { table: self.name.clone(), listed: listed.len(), ..Told::default() };
        told.narrowed = in_words(&selection);
        let wanted = match conjunction(filters) {
            Some(condition) => {
                let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
                let condition = state.create_physical_expr(unqualified(condition)?, &schema)?;
                prune(listed, condition, Arc::clone(&self.schema))?
            }
            None => listed,
        };
        told.read = wanted.len();
        let groups = cut(wanted, self.form.framing(), state.config().target_partitions());
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        told.needs_bodies = self.form.needs_bodies(&schema);
        Ok(Arc::new(Scan::new(told, Arc::clone(&self.form), Arc::clone(&self.account), groups, schema)))
    }
}

fn unqualified(condition: Expr) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TreeNode as _};
    let plain = condition.transform(|expr| match expr {
        Expr::Column(column) => Ok(Transformed::yes(Expr::Column(column.name.into()))),
        other => Ok(Transformed::no(other)),
    });
    plain.map(|plain| plain.data)
}

fn in_words(selection: &Selection) -> String {
    let mut words = Vec::new();
    words.extend(selection.endpoint.as_ref().map(|endpoint| format!("endpoint={endpoint}")));
    words.extend(selection.variant.as_ref().map(|variant| format!("variant={variant}")));
    words.extend(selection.window.as_ref().map(|window| format!("time={}..{}", window.start, window.end)));
    words.join(", ")
}
