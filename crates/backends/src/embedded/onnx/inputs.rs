//! From a request's table to the tensors that a model takes.
//!
//! A model with one input takes the whole row. A model with several (what skl2onnx makes of a data frame: one `[N, 1]`
//! column each) takes named columns by name, and unnamed ones in the order of its inputs. The first dimension of every
//! input is the row; a model whose first dimension is fixed is run as often as its rows need.

use std::borrow::Cow;
use std::ops::Range;

use captura_route::{BackendError, Field, FieldType};
use ort::session::SessionInputValue;
use ort::value::{Outlet, TensorElementType};

use super::element::{field_type, shown, tensor_of, unsupported};
use super::tensor::tensor;
use crate::payload::{Cells, Refusal, Table};

/// Names that an error lists at most.
const NAMES_SHOWN: usize = 8;

/// What a model takes.
#[derive(Debug)]
pub(super) struct Inputs {
    inputs: Vec<Input>,
    /// Names of the columns of a single input, where they are known.
    columns: Option<Vec<Field>>,
}

/// One input of a model.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) field: Field,
    pub(super) element: TensorElementType,
    /// Dimensions of one row; `None` where they vary.
    row: Vec<Option<usize>>,
    /// The first dimension, where it is fixed.
    batch: Option<usize>,
    /// A single value without any dimension, not even that of rows.
    is_bare: bool,
}

/// The columns of a table that one input takes, and the dimensions of a row of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) columns: Range<usize>,
    pub(super) row: Vec<usize>,
}

impl Inputs {
    /// What a model takes; `columns` names the columns of a model with a single input.
    pub(super) fn of(outlets: &[Outlet], columns: Option<&[String]>) -> Result<Self, String> {
        let inputs = outlets.iter().map(Input::of).collect::<Result<Vec<_>, _>>()?;
        if inputs.is_empty() {
            return Err("it takes no inputs".into());
        }
        let Some(names) = columns else { return Ok(Self { inputs, columns: None }) };
        let [input] = inputs.as_slice() else {
            return Err(format!(
                "it has {} inputs with names of their own, so its columns cannot be named",
                inputs.len()
            ));
        };
        if let Some(width) = input.width()
            && width != names.len()
        {
            return Err(format!("it takes {width} columns, and its environment names {}", names.len()));
        }
        let field = |name: &String| Field { name: name.clone(), kind: input.field.kind, shape: Vec::new() };
        let columns = Some(names.iter().map(field).collect());
        Ok(Self { inputs, columns })
    }

    /// Names and types of what goes in: the columns where their names are known, else the inputs.
    pub(super) fn fields(&self) -> Vec<Field> {
        self.columns.clone().unwrap_or_else(|| self.inputs.iter().map(|input| input.field.clone()).collect())
    }

    /// What to keep of cells: text has to stay as it came where the model takes text.
    pub(super) fn cells(&self) -> Cells {
        match self.inputs.iter().any(|input| matches!(input.field.kind, FieldType::String | FieldType::Boolean)) {
            true => Cells::Verbatim,
            false => Cells::Numbers,
        }
    }

    /// Rows of one run, where the model fixes them.
    pub(super) fn batch(&self) -> Option<usize> {
        self.inputs.iter().find_map(|input| input.batch)
    }

    /// A table of zeros that suits the model, where its dimensions are known.
    pub(super) fn widths(&self) -> Option<Vec<usize>> {
        self.inputs.iter().map(Input::width).collect()
    }

    /// Puts named columns into the model's order, where the names are known here.
    pub(super) fn arrange(&self, table: Table) -> Result<Table, Refusal> {
        match &self.columns {
            Some(columns) if table.names().is_some() && !self.is_named_whole(&table) => table.arrange(columns),
            _ => Ok(table),
        }
    }

    /// Finds the columns of every input.
    pub(super) fn bind(&self, table: &Table) -> Result<Vec<Bound>, BackendError> {
        let mut bound = Vec::with_capacity(self.inputs.len());
        let ranges = match self.inputs.as_slice() {
            [_] if !self.is_named_whole(table) => std::iter::once(0..table.columns()).collect(),
            [..] if table.names().is_some() => self.by_name(table)?,
            [..] => self.by_position(table)?,
        };
        for (input, columns) in self.inputs.iter().zip(ranges) {
            let row = input.row_shape(&columns, table)?;
            if !matches!(input.field.kind, FieldType::String | FieldType::Boolean) {
                table.demand_numbers(columns.clone(), self.names_of(input))?;
            }
            bound.push(Bound { columns, row });
        }
        Ok(bound)
    }

    /// The tensors of some rows of a table.
    pub(super) fn tensors(
        &self,
        table: &Table,
        bound: &[Bound],
        rows: &Range<usize>,
    ) -> Result<Vec<(Cow<'_, str>, SessionInputValue<'static>)>, BackendError> {
        let tensors = self.inputs.iter().zip(bound).map(|(input, bound)| {
            let mut shape = if input.is_bare { vec![] } else { vec![rows.len()] };
            shape.extend(&bound.row);
            let names = self.names_of(input);
            let value = tensor(input.element, shape, &Cut { table, rows, columns: &bound.columns, names })?;
            Ok((Cow::Borrowed(input.field.name.as_str()), value))
        });
        tensors.collect()
    }

    /// Whether the body gives the single input under its own name.
    fn is_named_whole(&self, table: &Table) -> bool {
        matches!(self.inputs.as_slice(), [input] if table.named(&input.field.name).is_some())
    }

    fn names_of<'a>(&'a self, input: &'a Input) -> &'a [Field] {
        match &self.columns {
            Some(columns) => columns,
            // A name of a whole matrix names no column.
            None if input.row.iter().all(|length| *length == Some(1)) => std::slice::from_ref(&input.field),
            None => &[],
        }
    }

    fn by_name(&self, table: &Table) -> Result<Vec<Range<usize>>, BackendError> {
        let range =
            |input: &Input| table.named(&input.field.name).ok_or_else(|| missing(&input.field.name, table).into());
        self.inputs.iter().map(range).collect()
    }

    fn by_position(&self, table: &Table) -> Result<Vec<Range<usize>>, BackendError> {
        let names = || self.inputs.iter().map(|input| input.field.name.as_str()).collect::<Vec<_>>().join(", ");
        let Some(widths) = self.widths() else {
            return Err(BackendError::refused(format!("the model takes several inputs; name them: {}", names())));
        };
        let expected = widths.iter().sum();
        if table.columns() != expected {
            let hint = format!(": {}", names());
            return Err(Refusal::Width { found: table.columns(), expected, hint }.into());
        }
        let mut start = 0;
        let ranges = widths.into_iter().map(|width| {
            start += width;
            start - width..start
        });
        Ok(ranges.collect())
    }
}

impl Input {
    fn of(outlet: &Outlet) -> Result<Self, String> {
        let (element, dimensions) = tensor_of(outlet.dtype()).ok_or_else(|| unsupported("input", outlet))?;
        let kind = field_type(element).ok_or_else(|| unsupported("input", outlet))?;
        let is_bare = dimensions.is_empty();
        let (batch, row) = match dimensions.split_first() {
            Some((batch, row)) => (*batch, row.to_vec()),
            None => (Some(1), Vec::new()),
        };
        if batch == Some(0) || row.contains(&Some(0)) {
            return Err(format!("its input {:?} holds nothing: {}", outlet.name(), shown(&dimensions)));
        }
        let shape = if row == [Some(1)] { vec![] } else { row.iter().map(|l| l.map(|l| l as u64)).collect() };
        let field = Field { name: outlet.name().to_owned(), kind, shape };
        Ok(Self { field, element, row, batch, is_bare })
    }

    /// Cells of one row, where they are known.
    fn width(&self) -> Option<usize> {
        self.row.iter().copied().try_fold(1_usize, |product, length| product.checked_mul(length?))
    }

    /// Dimensions of one row that is made of these columns.
    fn row_shape(&self, columns: &Range<usize>, table: &Table) -> Result<Vec<usize>, BackendError> {
        let given = columns.len();
        if let Some(width) = self.width() {
            return match () {
                () if given == width => Ok(self.row.iter().flatten().copied().collect()),
                () if given == table.columns() => {
                    Err(table.demand_width(width).expect_err("our bug: widths differ").into())
                }
                () => Err(BackendError::refused(format!(
                    "column {:?} holds {given} values a row, but the model takes {width}",
                    self.field.name
                ))),
            };
        }
        if self.row.len() == 1 {
            return Ok(vec![given]);
        }
        let nested = table.row_shape();
        let suits = |(length, given): (&Option<usize>, &usize)| length.is_none_or(|length| length == *given);
        if given == table.columns() && nested.len() == self.row.len() && self.row.iter().zip(nested).all(suits) {
            return Ok(nested.to_vec());
        }
        let known: usize = self.row.iter().flatten().product();
        if nested.len() <= 1
            && self.row.iter().filter(|length| length.is_none()).count() == 1
            && given.is_multiple_of(known)
        {
            return Ok(self.row.iter().map(|length| length.unwrap_or(given / known)).collect());
        }
        let (shape, nested) = (shown(&self.row), shown(&nested.iter().copied().map(Some).collect::<Vec<_>>()));
        Err(BackendError::refused(format!(
            "input {:?} takes rows of shape {shape}, but the rows have the shape {nested}; send nested arrays",
            self.field.name
        )))
    }
}

/// The part of a table that one tensor is made of.
pub(super) struct Cut<'a> {
    pub(super) table: &'a Table,
    pub(super) rows: &'a Range<usize>,
    pub(super) columns: &'a Range<usize>,
    /// Names of these columns, where the model has any.
    pub(super) names: &'a [Field],
}

impl Cut<'_> {
    /// A refusal of one cell.
    pub(super) fn refusal(&self, row: usize, column: usize, reason: impl Into<String>) -> BackendError {
        let name = self.names.get(column - self.columns.start).map(|field| field.name.clone());
        let name = name.or_else(|| self.table.names()?.get(column).cloned());
        Refusal::Value { row: row + 1, column: column + 1, name, reason: reason.into() }.into()
    }

    /// The places of all cells, row by row.
    pub(super) fn cells(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.rows.clone().flat_map(|row| self.columns.clone().map(move |column| (row, column)))
    }
}

fn missing(name: &str, table: &Table) -> Refusal {
    let names = table.names().unwrap_or_default();
    let mut given: Vec<&str> = names.iter().map(String::as_str).take(NAMES_SHOWN).collect();
    if names.len() > NAMES_SHOWN {
        given.push("…");
    }
    Refusal::MissingColumn { name: name.to_owned(), given: given.join(", ") }
}
