//! `captura serve`: runs the server until it is told to stop.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, note};
use crate::config::Config;
use crate::serve::{DataDirTaken, Running};
use crate::units::address;

/// Run the server
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Configuration file [default: captura.toml, where there is one]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where catalog, journal and local buckets live [default: ./captura-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Address and port; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_parser = address)]
    listen: Option<SocketAddr>,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        log_to_stderr("info,object_store=warn,s3s=off");
        #[cfg(feature = "sabotage")]
        crate::config::sabotage()?;
        let mut config = Config::read(self.config.as_deref())?;
        if let Some(data_dir) = self.data_dir {
            config.server.data_dir = data_dir;
        }
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(serve(config));
        // Everything that must last is closed; a model that is still loading is not waited for.
        runtime.shutdown_timeout(LEFTOVERS_MAX);
        outcome
    }
}

/// Time that work without a result, such as loading a model, gets after everything is closed.
const LEFTOVERS_MAX: Duration = Duration::from_secs(2);
/// SIGXFSZ has this number on every Unix that captura is built for; its default is to kill the process when a file would
/// grow past `ulimit -f`. With a handler the write fails instead, and is counted like a full disk.
const FILE_SIZE_LIMIT_SIGNAL: i32 = 25;

/// The log goes to stderr; `RUST_LOG` changes what it holds.
pub(super) fn log_to_stderr(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let color = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A line that cannot be written, such as when the log's disk is full, is lost; telling so on the same stderr would panic.
    lines.with_ansi(color).with_target(false).log_internal_errors(false).init();
}

async fn serve(config: Config) -> anyhow::Result<Outcome> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let _file_size_limit = signal(SignalKind::from_raw(FILE_SIZE_LIMIT_SIGNAL))?;
    let running = match Running::start(config).await {
        Ok(running) => running,
        Err(error) => match error.downcast::<DataDirTaken>() {
            Ok(taken) => {
                note(&format!("error: {taken}"));
                return Ok(Outcome::CannotTell);
            }
            Err(error) => return Err(error),
        },
    };
    // Whoever started this server waits for exactly this line.
    let mut stdout = std::io::stdout();
    writeln!(stdout, "captura listening on {}://{}", running.scheme, running.address)?;
    stdout.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    running.stop().await?;
    tracing::info!("stopped cleanly");
    Ok(Outcome::Fine)
}
