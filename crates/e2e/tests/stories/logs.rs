//! CloudWatch Logs, through the AWS SDK; what instances say is read in the story of scaling.

use captura_e2e::program::said;
use captura_e2e::python;
use captura_e2e::server::Home;

#[test]
fn a_program_keeps_logs_of_its_own() {
    let home = Home::default();
    let server = home.serve();
    let Some(told) = python::tell(&server, "logs.py", &[]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}
