//! The background tasks' lines of `/metrics`.

use std::fmt::Write as _;

use captura_tasks::Tasks;

/// How the tasks stand.
pub(crate) fn scrape(tasks: &Tasks, text: &mut String) {
    let figures = tasks.figures();
    let _ = write!(
        text,
        "# HELP captura_task_panics Panics of background tasks since the start; each is begun again.\n\
         # TYPE captura_task_panics counter\n"
    );
    for one in &figures {
        let _ = writeln!(text, "captura_task_panics_total{{task=\"{}\"}} {}", one.task, one.panics);
    }
    let _ = write!(
        text,
        "# HELP captura_task_up Whether all tasks of the name work; 0 while one pauses after a panic.\n\
         # TYPE captura_task_up gauge\n"
    );
    for one in &figures {
        let _ = writeln!(text, "captura_task_up{{task=\"{}\"}} {}", one.task, u8::from(one.pausing == 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_fell_is_counted_and_not_up_while_it_pauses() {
        let tasks = Tasks::default();
        let mut watch = tasks.watch("falls");
        let told = || {
            let mut text = String::new();
            scrape(&tasks, &mut text);
            text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(told(), "captura_task_panics_total{task=\"falls\"} 0\ncaptura_task_up{task=\"falls\"} 1");
        let mut falling = std::pin::pin!(watch.survive(async { panic!("falls") }));
        let is_over = std::future::poll_fn(|context| std::task::Poll::Ready(falling.as_mut().poll(context).is_ready()));
        assert!(!is_over.await);
        assert_eq!(told(), "captura_task_panics_total{task=\"falls\"} 1\ncaptura_task_up{task=\"falls\"} 0");
        assert_eq!(falling.await, None::<()>);
        assert_eq!(told(), "captura_task_panics_total{task=\"falls\"} 1\ncaptura_task_up{task=\"falls\"} 1");
    }
}
