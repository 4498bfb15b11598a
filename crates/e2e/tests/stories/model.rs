//! The demo's model answers as the library that trained it does.

use captura_e2e::connection::Connection;
use captura_e2e::deployment::Deployment;
use captura_e2e::program;
use captura_e2e::server::Home;

fn rows(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(program::checkout().join("demo").join(file)).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn every_patient_of_the_demo_gets_the_prediction_of_xgboost() {
    let home = Home::default();
    let server = home.serve();
    Deployment::demo_model("diabetes").create(&server);
    let patients = rows("patients.csv");
    let expected: Vec<f32> =
        rows("expected.csv").iter().map(|row| row.split(',').next().unwrap().parse().unwrap()).collect();
    assert_eq!(patients.len(), 442);

    let mut connection = Connection::open(server.address()).unwrap();
    let mut ask = |body: &str| -> Vec<f32> {
        let headers = [("content-type", "text/csv"), ("accept", "text/csv")];
        let reply = connection.post("/endpoints/diabetes/invocations", &headers, body.as_bytes()).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply
            .text()
            .split(['\n', ','])
            .filter(|cell| !cell.is_empty())
            .map(|cell| cell.trim().parse().unwrap())
            .collect()
    };
    assert_eq!(ask(&patients.join("\n")), expected, "in one call");
    let one_by_one: Vec<f32> = patients.iter().flat_map(|row| ask(row)).collect();
    assert_eq!(one_by_one, expected, "in a call for each");
}
