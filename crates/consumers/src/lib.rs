//! Who calls: a book of all consumers, with what they send and from where.
//!
//! Every call is booked when it is concluded, whether it leaves a record or not: those that the sample leaves out and those
//! that could not be captured too. The book is written to the disk every second, with the position in the journal up to
//! which it is complete. After a kill it takes the records that came later out of the journal, so that no captured call is
//! missing and none is counted twice; what is lost is the calls of the last second that left no record.
//!
//! Invariant: the calls of all consumers together are the concluded invocations of the ledger since the book began, but
//! for those: the difference can be read off. Memory is bounded, whoever calls himself whatever.
//! Refuses to: verify who calls, keep a body.

mod book;
mod consumers;
mod counts;
mod file;

pub use book::{Consumer, Total};
pub use consumers::{Consumers, Flushing};
pub use counts::Counts;
pub use file::BookError;
