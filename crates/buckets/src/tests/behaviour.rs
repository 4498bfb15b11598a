//! What clients rely on.

use std::sync::atomic::Ordering;

use super::*;
use crate::ABANDONED_AFTER;

#[tokio::test]
async fn objects_are_plain_files_and_plain_files_are_objects() {
    let house = House::new();
    let headers = [("content-type", "text/csv"), ("x-amz-meta-who", "me"), ("x-amz-tagging", "a=1")];
    let put = house.send("PUT /models/a/b%20c.csv", &headers, whole("1,2")).await;
    assert_eq!((put.status.as_u16(), put.header("etag")), (200, "\"05cf281c050be3da4eecf3bc6e8aac1b\""));
    assert_eq!(std::fs::read(house.file("models/a/b c.csv")).unwrap(), b"1,2");
    let told = house.call("GET /models/a/b%20c.csv").await;
    assert_eq!((told.text(), told.header("content-type"), told.header("x-amz-meta-who")), ("1,2", "text/csv", "me"));
    assert_eq!(told.header("x-amz-tagging-count"), "1");

    std::fs::write(house.file("models/a/b c.csv"), "another room's").unwrap();
    let told = house.call("GET /models/a/b%20c.csv").await;
    assert_eq!((told.text(), told.header("content-type")), ("another room's", "binary/octet-stream"));
    assert!(told.header("etag").ends_with("-1\""), "no MD5 is claimed: {told:?}");
    assert!(!told.headers.contains_key("x-amz-meta-who"));
}

#[tokio::test]
async fn a_folder_is_an_object_without_bytes_where_it_was_made_one() {
    let house = House::new();
    let put = house.send("PUT /models/a/b/", &[("x-amz-meta-who", "me")], whole("")).await;
    assert_eq!((put.status.as_u16(), put.header("etag")), (200, "\"d41d8cd98f00b204e9800998ecf8427e\""));
    let told = house.call("HEAD /models/a/b/").await;
    assert_eq!((told.status.as_u16(), told.header("content-length"), told.header("x-amz-meta-who")), (200, "0", "me"));
    assert_eq!(house.call("GET /models/a/").await.element("Code"), "NoSuchKey", "nobody made that one an object");
    house.put("/models/a/b/c", "1").await;
    house.put("/models/a/c", "2").await;
    let keys = |text: &str| {
        let keys = text.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(keys(house.call("GET /models?list-type=2").await.text()), ["a/b/", "a/b/c", "a/c"]);
    let page = house.call("GET /models?list-type=2&prefix=a/&delimiter=/").await;
    assert_eq!((keys(page.text()), page.element("Prefix")), (vec!["a/c".to_owned()], "a/"));
    assert!(page.text().contains("<CommonPrefixes><Prefix>a/b/</Prefix></CommonPrefixes>"), "{}", page.text());

    house.call("DELETE /models/a/b/c").await;
    assert_eq!(house.call("HEAD /models/a/b/").await.status.as_u16(), 200, "it outlives what was in it");
    assert_eq!(house.call("DELETE /models/a/b/").await.status.as_u16(), 204);
    assert_eq!(keys(house.call("GET /models?list-type=2").await.text()), ["a/c"]);
    assert!(!house.file("models/a/b").exists());

    let told = house.put("/models/a/d/", "bytes").await;
    assert_eq!((told.status.as_u16(), told.element("Code")), (400, "InvalidArgument"));
    assert!(told.text().contains("holds no bytes"), "{}", told.text());
    assert_eq!(house.put("/models/a/c/", "").await.element("Code"), "InvalidRequest", "a file is there");
}

#[tokio::test]
async fn ranges_and_conditions_are_http_s() {
    let house = House::new();
    let e_tag = house.put("/models/k", "0123456789").await.header("etag").to_owned();
    for (range, status, text, content_range) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=5-99", 206, "56789", "bytes 5-9/10"),
    ] {
        let told = house.send("GET /models/k", &[("range", range)], whole("")).await;
        assert_eq!((told.status.as_u16(), told.text(), told.header("content-range")), (status, text, content_range));
    }
    let told = house.send("GET /models/k", &[("range", "bytes=10-")], whole("")).await;
    assert_eq!((told.status.as_u16(), told.element("Code")), (416, "InvalidRange"));
    let told = house.send("GET /models/k", &[("if-none-match", &e_tag)], whole("")).await;
    assert_eq!((told.status.as_u16(), told.header("etag")), (304, e_tag.as_str()));
    let told = house.send("GET /models/k", &[("if-match", "\"other\"")], whole("")).await;
    assert_eq!(told.status.as_u16(), 412);
}

#[tokio::test]
async fn of_many_that_create_one_key_one_succeeds() {
    let house = House::new();
    let create = |n: usize| {
        let house = &house;
        async move { house.send("PUT /models/k", &[("if-none-match", "*")], whole(n.to_string())).await.status.as_u16() }
    };
    let mut statuses = futures_util::future::join_all((0..8).map(create)).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    let e_tag = house.call("GET /models/k").await.header("etag").to_owned();
    let replaced = house.send("PUT /models/k", &[("if-match", &e_tag)], whole("new")).await;
    assert_eq!(replaced.status.as_u16(), 200);
    let late = house.send("PUT /models/k", &[("if-match", &e_tag)], whole("late")).await;
    assert_eq!((late.status.as_u16(), house.call("GET /models/k").await.text()), (412, "new"));
}

#[tokio::test]
async fn what_comes_broken_or_wrong_leaves_nothing() {
    let house = House::new();
    house.put("/models/k", "old").await;
    let cases = [
        (broken(b"half"), vec![], "IncompleteBody"),
        (altered(b"other"), vec![], "XAmzContentSHA256Mismatch"),
        (whole("x"), vec![("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], "BadDigest"),
        (whole("x"), vec![("x-amz-checksum-crc32", "AAAAAA==")], "BadDigest"),
        (
            whole("x"),
            vec![("x-amz-content-sha256", "0000000000000000000000000000000000000000000000000000000000000000")],
            "XAmzContentSHA256Mismatch",
        ),
        (
            whole("1\r\nx\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"),
            vec![("content-encoding", "aws-chunked"), ("x-amz-trailer", "x-amz-checksum-crc32")],
            "BadDigest",
        ),
        (
            whole("1\r\nx\r\n0\r\n\r\n"),
            vec![("content-encoding", "aws-chunked"), ("x-amz-trailer", "x-amz-checksum-crc32")],
            "InvalidRequest",
        ),
    ];
    for (body, headers, code) in cases {
        let told = house.send("PUT /models/k", &headers, body).await;
        assert_eq!((told.status.as_u16(), told.element("Code")), (400, code), "{headers:?}");
    }
    assert_eq!(house.call("GET /models/k").await.text(), "old");
    assert_eq!(std::fs::read_dir(house.file("models")).unwrap().count(), 1, "nothing staged is left");
}

#[tokio::test]
async fn buckets_come_into_being_on_first_use_and_go_when_empty() {
    let house = House::new();
    assert_eq!(house.call("HEAD /models").await.status.as_u16(), 404);
    assert_eq!(house.call("GET /models/k").await.element("Code"), "NoSuchBucket");
    assert_eq!(house.call("GET /models?list-type=2").await.element("Code"), "NoSuchBucket");
    assert!(house.call("GET /").await.text().contains("<Buckets></Buckets>"));
    house.put("/models/a/k", "x").await;
    assert_eq!(house.call("GET /").await.element("Name"), "models");
    assert_eq!(house.call("GET /models?location").await.text().matches("eu-west-1").count(), 1);
    assert_eq!(house.call("PUT /models").await.element("Code"), "BucketAlreadyOwnedByYou");
    assert_eq!(house.call("DELETE /models").await.element("Code"), "BucketNotEmpty");
    assert_eq!(house.call("DELETE /models/a/k").await.status.as_u16(), 204);
    assert_eq!(house.call("DELETE /models").await.status.as_u16(), 204);
    assert!(!house.file("models").exists());
    assert_eq!(house.call("PUT /models").await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_bucket_may_stand_before_the_name_of_the_server() {
    let house = House::new();
    let put = house.send("PUT /a/k", &[("host", "models.localhost:8080")], whole("x")).await;
    assert_eq!(put.status.as_u16(), 200);
    assert_eq!(house.call("GET /models/a/k").await.text(), "x");
    let listed = house.send("GET /?list-type=2", &[("host", "models.localhost")], whole("")).await;
    assert_eq!(listed.element("Key"), "a/k");
    let path = house.send("GET /models/a/k", &[("host", "localhost:8080")], whole("")).await;
    assert_eq!(path.text(), "x");
}

#[tokio::test]
async fn uploads_in_parts_become_one_object_and_completing_twice_answers_twice() {
    let house = House::new();
    let begun = house.send("POST /models/big?uploads", &[("content-type", "x/y")], whole("")).await;
    let id = begun.element("UploadId").to_owned();
    let first = "a".repeat(5 << 20);
    let one = house.put(&format!("/models/big?partNumber=1&uploadId={id}"), &first).await;
    let two = house.put(&format!("/models/big?partNumber=2&uploadId={id}"), "end").await;
    assert!(house.call("GET /models?list-type=2").await.text().contains("<KeyCount>0</KeyCount>"));
    assert_eq!(house.call("GET /models?uploads").await.element("UploadId"), id);
    let parts = house.call(&format!("GET /models/big?uploadId={id}&max-parts=1")).await;
    assert_eq!((parts.element("Size"), parts.element("NextPartNumberMarker")), ("5242880", "1"));
    let part = |number: u8, told: &Told| {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>", told.header("etag"))
    };
    let document = |parts: String| whole(format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"));
    let line = format!("POST /models/big?uploadId={id}");
    for (parts, code) in [
        (part(2, &two) + &part(1, &one), "InvalidPartOrder"),
        (part(3, &two), "InvalidPart"),
        (part(1, &two), "InvalidPart"),
    ] {
        assert_eq!(house.send(&line, &[], document(parts)).await.element("Code"), code);
    }
    for _ in 0..2 {
        let done = house.send(&line, &[], document(part(1, &one) + &part(2, &two))).await;
        assert!(done.element("ETag").contains("-2"), "{done:?}");
    }
    let told = house.call("GET /models/big").await;
    assert_eq!((told.body.len(), told.header("content-type")), ((5 << 20) + 3, "x/y"));
    let last = house.call("GET /models/big?partNumber=2").await;
    assert_eq!((last.text(), last.header("x-amz-mp-parts-count")), ("end", "2"));
    assert_eq!(house.call(&format!("DELETE /models/big?uploadId={id}")).await.element("Code"), "NoSuchUpload");
}

#[tokio::test]
async fn uploads_that_nobody_completes_are_removed_in_time() {
    let house = House::new();
    let id = house.call("POST /models/big?uploads").await.element("UploadId").to_owned();
    house.put(&format!("/models/big?partNumber=1&uploadId={id}"), "x").await;
    let uploads = crate::uploads::Uploads::new(crate::bucket::uploads_folder(house.dir.path()));
    let patience_us = i64::try_from(ABANDONED_AFTER.as_micros()).unwrap();
    let now = |more_us| Timestamp::from_unix_us(house.now_us.load(Ordering::Relaxed) + patience_us + more_us);
    assert_eq!(uploads.sweep(now(0)).unwrap(), 0);
    assert_eq!(uploads.sweep(now(1)).unwrap(), 1);
    assert_eq!(house.call(&format!("GET /models/big?uploadId={id}")).await.element("Code"), "NoSuchUpload");
}

#[tokio::test]
async fn copies_keep_or_replace_what_is_told() {
    let house = House::new();
    house.send("PUT /models/a", &[("content-type", "text/csv"), ("x-amz-meta-n", "1")], whole("1,2")).await;
    let copied = house.send("PUT /other/b%20", &[("x-amz-copy-source", "/models/a")], whole("")).await;
    assert!(copied.text().contains("CopyObjectResult"), "{copied:?}");
    let told = house.call("GET /other/b%20").await;
    assert_eq!((told.text(), told.header("content-type"), told.header("x-amz-meta-n")), ("1,2", "text/csv", "1"));
    let itself = [("x-amz-copy-source", "models/a")];
    assert_eq!(house.send("PUT /models/a", &itself, whole("")).await.element("Code"), "InvalidRequest");
    let replace = [itself[0], ("x-amz-metadata-directive", "REPLACE"), ("content-type", "x/y")];
    assert_eq!(house.send("PUT /models/a", &replace, whole("")).await.status.as_u16(), 200);
    let told = house.call("GET /models/a").await;
    assert_eq!((told.text(), told.header("content-type")), ("1,2", "x/y"));
}

#[tokio::test]
async fn what_is_not_there_is_refused_by_name() {
    let house = House::new();
    house.put("/models/k", "x").await;
    for line in ["GET /models?acl", "GET /models?versioning", "GET /models/k?torrent", "DELETE /models?policy"] {
        let told = house.call(line).await;
        assert_eq!((told.status.as_u16(), told.element("Code")), (501, "NotImplemented"), "{line}: {told:?}");
    }
    let key = [("x-amz-server-side-encryption-customer-algorithm", "AES256")];
    assert_eq!(house.send("PUT /models/k", &key, whole("x")).await.element("Code"), "NotImplemented");
    assert_eq!(
        house.send("PUT /models/k", &[("x-amz-acl", "public-read")], whole("x")).await.element("Code"),
        "AccessControlListNotSupported"
    );
    let form = [("content-type", "multipart/form-data; boundary=x")];
    assert_eq!(house.send("POST /models", &form, whole("")).await.element("Code"), "NotImplemented");
}
