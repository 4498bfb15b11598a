//! Keys and names from people who mean harm (S24), and those that only look so.

use http_body::Frame;

use super::*;

#[tokio::test]
async fn no_key_leads_out_of_its_bucket() {
    let house = House::new();
    house.put("/models/k", "x").await;
    std::fs::write(house.dir.path().join("secret"), "s").unwrap();
    let long = format!("/models/{}", "x".repeat(1025));
    let part = format!("/models/{}", "x".repeat(300));
    for path in [
        "/models/../secret",
        "/models/..%2f..%2fsecret",
        "/models/%2e%2e/%2e%2e/secret",
        "/models/a/../../../secret",
        "/models//k",
        "/models/a//k",
        "/models/./k",
        "/models/a%00b",
        "/models/a%0ab",
        "/models/..%5csecret",
        "/models/a/",
        "/models/x%231",
        "/models/%ff",
        &long,
        &part,
    ] {
        let put = house.put(path, "evil").await;
        assert_eq!(put.status.as_u16(), 400, "{path}: {put:?}");
        let got = house.call(&format!("GET {path}")).await;
        assert!(matches!(got.status.as_u16(), 400 | 404), "{path}: {got:?}");
        let copied = house.send("PUT /models/copy", &[("x-amz-copy-source", path)], whole("")).await;
        assert!(matches!(copied.status.as_u16(), 400 | 404), "{path}: {copied:?}");
        let deleted = house.call(&format!("DELETE {path}")).await;
        assert!(matches!(deleted.status.as_u16(), 204 | 400), "{path}: {deleted:?}");
    }
    assert_eq!(std::fs::read(house.dir.path().join("secret")).unwrap(), b"s");
    assert_eq!(house.call("GET /models?list-type=2").await.element("KeyCount"), "1");
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let house = House::new();
    for bucket in ["..", "Models", "ab", "a..b", "-ab", "%2e%2e", "a%2fb%2f", "bucket-metadata%00", "xn--a", "a_b_c"] {
        let put = house.put(&format!("/{bucket}/k"), "x").await;
        assert!(put.status.is_client_error(), "{bucket}: {put:?}");
    }
    let entries: Vec<_> =
        std::fs::read_dir(house.dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!house.dir.path().join("buckets").exists(), "{entries:?}");
    for id in ["..", "../../buckets", "%2e%2e%2f", "x"] {
        let told = house.put(&format!("/models/k?partNumber=1&uploadId={id}"), "x").await;
        assert_eq!(told.element("Code"), "NoSuchUpload", "{id}");
    }
}

#[tokio::test]
async fn a_key_that_clashes_with_a_folder_is_refused_until_the_folder_is_gone() {
    let house = House::new();
    house.put("/models/a/b", "x").await;
    let clash = house.put("/models/a", "y").await;
    assert_eq!((clash.status.as_u16(), clash.element("Code")), (400, "InvalidRequest"));
    assert_eq!(
        house.send("PUT /models/a", &[("if-none-match", "*")], whole("y")).await.element("Code"),
        "InvalidRequest"
    );
    assert_eq!(house.call("GET /models/a").await.element("Code"), "NoSuchKey");
    house.call("DELETE /models/a/b").await;
    assert_eq!(house.put("/models/a", "y").await.status.as_u16(), 200);
    assert_eq!(house.put("/models/a/b", "x").await.element("Code"), "InvalidRequest");
    assert_eq!(house.call("GET /models/a/b").await.element("Code"), "NoSuchKey");
}

#[tokio::test]
async fn documents_that_are_too_long_or_none_are_refused() {
    let house = House::new();
    house.put("/models/k", "x").await;
    let many = "<Object><Key>k</Key></Object>".repeat(1001);
    for body in ["", "<Delete>", "not xml", &format!("<Delete>{many}</Delete>"), &"x".repeat(5 << 20)] {
        let told = house.send("POST /models?delete", &[], whole(body.to_owned())).await;
        assert!(told.status.is_client_error(), "{told:?}");
    }
    assert_eq!(house.call("GET /models/k").await.text(), "x");
}

#[tokio::test]
async fn a_document_of_any_length_is_answered_in_s3s_words() {
    let house = House::new();
    let large = "x".repeat(7 << 20);
    for line in ["PUT /models", "POST /models?delete", "PUT /models/k?tagging", "POST /models/k?uploadId=1"] {
        let told = house.send(line, &[], whole(large.clone())).await;
        assert_eq!((told.status.as_u16(), told.element("Code")), (400, "MaxMessageLengthExceeded"), "{line}");
        assert_eq!(told.element("Message"), "Your request was too big.");
        let pieces = [Bytes::from(large.clone()), Bytes::from(large.clone())].map(|piece| Ok(Frame::data(piece)));
        let told = house.send(line, &[], StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync()).await;
        assert_eq!((told.status.as_u16(), told.element("Code")), (400, "MaxMessageLengthExceeded"), "{line} in pieces");
    }
    let host = [("host", "models.localhost")];
    assert_eq!(house.send("PUT /large", &host, whole(large.clone())).await.status.as_u16(), 200, "an object's bytes");
    assert_eq!(house.put("/models/large", &large).await.status.as_u16(), 200);
}

#[tokio::test]
async fn no_error_is_without_words() {
    let house = House::new();
    let form = [("content-type", "multipart/form-data; boundary=x")];
    for (line, headers, body, code, message) in [
        ("PUT /Models", &[][..], "", "InvalidBucketName", "The specified bucket is not valid."),
        ("POST /models?delete", &[], "<Delete>", "MalformedXML", "The XML you provided was not well-formed"),
        ("POST /models", &form[..], "--x--", "NotImplemented", "uploads by an HTML form"),
    ] {
        let told = house.send(line, headers, whole(body)).await;
        assert_eq!(told.element("Code"), code, "{told:?}");
        assert!(told.element("Message").starts_with(message), "{told:?}");
        assert_eq!(told.header("content-type"), "application/xml", "{told:?}");
    }
}
