//! The one thread that starts processes.
//!
//! A child that asks to die with its parent dies with the *thread* that made it, and threads of a runtime come and go.
//! This one stays as long as the process does.

use std::io;
use std::process::Command as Recipe;
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Starts that wait for the thread.
const QUEUE_MAX: usize = 256;

struct Order {
    recipe: Recipe,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Starts a process; it is killed when its handle is dropped.
pub(super) async fn spawn(recipe: Recipe) -> io::Result<Child> {
    let (reply, answer) = oneshot::channel();
    let order = Order { recipe, runtime: Handle::current(), reply };
    let full = |_| io::Error::other("too many processes are being started");
    spawner()?.try_send(order).map_err(full)?;
    answer.await.map_err(|_| io::Error::other("our bug: the thread that starts processes is gone"))?
}

fn spawner() -> io::Result<&'static SyncSender<Order>> {
    static SPAWNER: OnceLock<Option<SyncSender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, queue) = sync_channel::<Order>(QUEUE_MAX);
        let work = move || {
            for Order { recipe, runtime, reply } in queue {
                // Waiting for the child is the work of the runtime that asked for it.
                let _entered = runtime.enter();
                let mut command = Command::from(recipe);
                // A child that nobody waits for any more is killed by its handle's drop.
                drop(reply.send(command.kill_on_drop(true).spawn()));
            }
        };
        std::thread::Builder::new().name("spawner".into()).spawn(work).ok().map(|_| orders)
    });
    spawner.as_ref().ok_or_else(|| io::Error::other("the thread that starts processes could not be started"))
}
