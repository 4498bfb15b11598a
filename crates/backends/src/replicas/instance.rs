//! What runs one copy of a model, and what makes more of them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use captura_route::{Backend, Extras};

use crate::LoadError;

/// A boxed future.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One copy of a model: a process, a container, an existing server.
///
/// Dropping the last handle ends it by force; [`Instance::stop`] is the polite way.
pub trait Instance: Send + Sync + fmt::Debug {
    /// Its name for a person, and the name of its log.
    fn id(&self) -> &str;

    /// What answers calls. It says `Unavailable` only while no byte of an answer has come.
    fn backend(&self) -> &dyn Backend;

    /// Waits until it is dead, or so ill that it must be replaced, and says why. May be asked once.
    fn ended(&self) -> Pending<'_, String>;

    /// Ends it, and waits until it is gone. It has no calls any more; may be asked after its end too.
    fn stop(&self) -> Pending<'_, ()>;
}

/// Makes instances of one model.
pub trait InstanceFactory: Send + Sync + 'static {
    /// Starts one more and waits until it answers `/ping`. Dropping the future gives the start up and leaves nothing
    /// running.
    fn start(&self) -> Pending<'_, Result<Arc<dyn Instance>, LoadError>>;

    /// What the model takes of a call beside its payload. Calls of a session go back to the instance that opened it;
    /// whether it keeps one is its own affair.
    fn extras(&self) -> Extras {
        Extras { sessions: true, ..Extras::default() }
    }

    /// The content that the image of its instances names, as [`Backend::resolved_image`] tells it.
    fn resolved_image(&self) -> Option<&str> {
        None
    }
}
