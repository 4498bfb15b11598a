//! One question and one answer in every protocol.

use std::io::Write as _;

use captura_names::Timestamp;

use super::super::output::Output;
use super::super::shapes::{GetMetricStatistics, PutMetricAlarm, PutMetricData};
use super::*;

const FORM: &[u8] = b"Action=PutMetricAlarm&Version=2010-08-01&AlarmName=a+b&Threshold=1.5&EvaluationPeriods=2&\
    ActionsEnabled=true&Dimensions.member.1.Name=EndpointName&Dimensions.member.1.Value=e%2F1&\
    Dimensions.member.2.Name=VariantName&Dimensions.member.2.Value=v&AlarmActions=&\
    Metrics.member.1.Id=m1&Metrics.member.1.MetricStat.Period=60&Metrics.member.1.MetricStat.Stat=Sum&\
    Metrics.member.1.MetricStat.Metric.MetricName=M";
const JSON: &str = r#"{"AlarmName":"a b","Threshold":1.5,"EvaluationPeriods":2,"ActionsEnabled":true,"AlarmActions":[],
    "Dimensions":[{"Name":"EndpointName","Value":"e/1"},{"Name":"VariantName","Value":"v"}],
    "Metrics":[{"Id":"m1","MetricStat":{"Period":60,"Stat":"Sum","Metric":{"MetricName":"M"}}}]}"#;

fn json(target: &'static str, body: &'static str) -> Request<'static> {
    Request { path: "/", target: Some(target), body: body.as_bytes(), ..Request::default() }
}

fn read(request: &Request<'_>) -> Result<Call, Fault> {
    Protocol::of(request).read(request)
}

#[test]
fn a_form_and_json_mean_the_same() {
    let form = Request { path: "/", body: FORM, ..Request::default() };
    let form: PutMetricAlarm = read(&form).unwrap().input().unwrap();
    let request = json("GraniteServiceVersion20100801.PutMetricAlarm", JSON);
    let json: PutMetricAlarm = read(&request).unwrap().input().unwrap();
    assert_eq!(form, json);
    assert_eq!(json.dimensions[0].value, "e/1");
}

#[test]
fn a_form_may_stand_in_the_query_of_the_uri() {
    let query = "Action=GetMetricStatistics&Namespace=N&MetricName=M&StartTime=2026-01-01T00%3A00%3A00Z&EndTime=1767229200\
        &Period=60&Statistics.member.1=Sum&Statistics.member.10=Minimum&Statistics.member.2=Maximum";
    let call = read(&Request { path: "/", query, ..Request::default() }).unwrap();
    let input: GetMetricStatistics = call.input().unwrap();
    assert_eq!(input.statistics, ["Sum", "Maximum", "Minimum"]);
    assert_eq!(input.end_time.unix_us() - input.start_time.unix_us(), 3_600_000_000);
}

#[test]
fn cbor_names_its_operation_in_the_path() {
    let body = b"\xa2\x69Namespace\x61N\x6aMetricData\x81\xa3\x6aMetricName\x61M\x65Value\xf9\x3c\x00\x69Timestamp\xc1\x1a\x69\x55\xb9\x00";
    let path = "/service/GraniteServiceVersion20100801/operation/PutMetricData";
    let input: PutMetricData = read(&Request { path, body, ..Request::default() }).unwrap().input().unwrap();
    assert_eq!(input.metric_data[0].value, Some(1.0));
    assert_eq!(input.metric_data[0].timestamp, Some(Timestamp::from_unix_seconds(f64::from(0x6955_b900))));
}

#[test]
fn a_gzipped_body_is_read_within_its_limit() {
    let gzip = |body: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    let body = gzip(br#"{"Namespace":"N"}"#);
    let mut request = json("GraniteServiceVersion20100801.PutMetricData", "");
    request = Request { content_encoding: Some("gzip"), body: &body, ..request };
    assert_eq!(read(&request).unwrap().input::<PutMetricData>().unwrap().namespace, "N");
    let bomb = gzip(&vec![b' '; DECOMPRESSED_MAX_BYTES as usize + 1]);
    assert!(bomb.len() < 100_000);
    assert!(read(&Request { body: &bomb, ..request }).unwrap_err().message.contains("larger than"));
    assert!(read(&Request { body: b"{}", ..request }).unwrap_err().message.contains("not gzip"));
    assert!(read(&Request { content_encoding: Some("br"), ..request }).is_err());
}

#[test]
fn answers_are_written_in_the_protocol_of_the_request() {
    let moment = Timestamp::from_unix_us(1_767_225_600_250_000);
    let output = || {
        vec![
            ("Label", Output::text("a<b>&\"c\"")),
            (
                "Datapoints",
                Output::List(vec![Output::Structure(vec![
                    ("Timestamp", Output::Time(moment)),
                    ("Sum", Output::Double(3.0)),
                    ("ExtendedStatistics", Output::Map(vec![("p99".into(), Output::Double(1.5))])),
                ])]),
            ),
        ]
    };
    let json = Protocol::Json.write(Operation::GetMetricStatistics, output(), "id");
    assert_eq!(
        json.body,
        r#"{"Label":"a<b>&\"c\"","Datapoints":[{"Timestamp":1767225600.25,"Sum":3.0,"ExtendedStatistics":{"p99":1.5}}]}"#
    );
    let xml = Protocol::Query.write(Operation::GetMetricStatistics, output(), "id");
    assert_eq!(
        xml.body,
        "<GetMetricStatisticsResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\"><GetMetricStatisticsResult>\
         <Label>a&lt;b&gt;&amp;&quot;c&quot;</Label><Datapoints><member><Timestamp>2026-01-01T00:00:00.250Z</Timestamp>\
         <Sum>3.0</Sum><ExtendedStatistics><entry><key>p99</key><value>1.5</value></entry></ExtendedStatistics></member>\
         </Datapoints></GetMetricStatisticsResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata>\
         </GetMetricStatisticsResponse>"
    );
    let cbor = Protocol::Cbor.write(Operation::PutMetricData, Vec::new(), "id");
    assert!(cbor.body.is_empty() && cbor.headers.contains(&("smithy-protocol", "rpc-v2-cbor".to_owned())));
    assert_eq!(Protocol::Json.write(Operation::PutMetricData, Vec::new(), "id").body, "{}");
    let empty = Protocol::Query.write(Operation::PutMetricData, Vec::new(), "id").body;
    assert!(!String::from_utf8_lossy(&empty).contains("PutMetricDataResult"), "{empty:?}");
}

#[test]
fn errors_carry_the_code_of_the_model_and_the_one_of_the_query_protocol() {
    let fault = Fault::missing("Threshold");
    let json = Protocol::Json.write_fault(&fault, "id");
    let text = r#"{"__type":"com.amazonaws.cloudwatch#MissingRequiredParameterException","message":"The parameter Threshold is required."}"#;
    assert_eq!((json.status, &*json.body), (400, text.as_bytes()));
    assert!(json.headers.contains(&("x-amzn-query-error", "MissingParameter;Sender".to_owned())));
    let xml = Protocol::Query.write_fault(&fault, "id");
    assert!(String::from_utf8_lossy(&xml.body).contains("<Type>Sender</Type><Code>MissingParameter</Code>"));
}

#[test]
fn what_is_not_known_is_said_in_every_protocol() {
    let path = "/service/GraniteServiceVersion20100801/operation/PutDashboard";
    for request in [
        json("GraniteServiceVersion20100801.PutDashboard", "{}"),
        Request { path, ..Request::default() },
        Request { path: "/", body: b"Action=PutDashboard", ..Request::default() },
        Request { path: "/", ..Request::default() },
        Request { path: "/service/DescribeAlarms", body: b"Action=DescribeAlarms", ..Request::default() },
    ] {
        assert_eq!(read(&request).unwrap_err().code, Code::UnknownOperationException, "{request:?}");
    }
}

#[test]
fn constraints_of_the_model_hold_in_every_protocol() {
    let many = read(&json("GraniteServiceVersion20100801.SetAlarmState", r#"{"AlarmName":"","StateValue":"ok"}"#));
    let many = many.unwrap_err();
    assert_eq!(many.code, Code::ValidationError);
    assert!(many.message.starts_with("3 validation errors detected"), "{many}");
    let form =
        read(&Request { path: "/", body: b"Action=SetAlarmState&AlarmName=&StateValue=ok", ..Request::default() });
    assert_eq!(form.unwrap_err(), many);
    for body in
        [&b"Action=DescribeAlarms&MaxRecords=many"[..], b"Action=DescribeAlarms&A=1&A.B=2", b"Action=%2", b"Action=%ff"]
    {
        let fault = read(&Request { path: "/", body, ..Request::default() }).unwrap_err();
        assert_eq!(fault.code, Code::SerializationException, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_request_with_two_actions_is_neither() {
    let request =
        Request { path: "/", query: "Action=ListMetrics", body: b"%41ction=DeleteAlarms", ..Request::default() };
    assert!(read(&request).unwrap_err().message.contains("two actions"));
}

#[test]
fn requests_of_other_services_are_not_ours() {
    assert!(is_ours(Some("monitoring"), None, "/"));
    assert!(is_ours(None, Some("GraniteServiceVersion20100801.ListMetrics"), "/"));
    assert!(is_ours(None, None, "/service/GraniteServiceVersion20100801/operation/ListMetrics"));
    assert!(!is_ours(Some("sts"), None, "/"));
    assert!(!is_ours(Some("monitoring"), Some("SageMaker.ListModels"), "/"));
    assert!(!is_ours(None, None, "/"));
}
