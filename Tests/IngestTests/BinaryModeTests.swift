import Events
import HTTP
import TestSupport
import Testing

@testable import Ingest

@Suite struct `CloudEvents binary mode` {
    private static func structured(_ fields: String, _ body: String = "") throws -> String {
        let text = try BinaryMode.structured(try head(fields), Array(body.utf8), scanner: JSONScanner())
        return String(decoding: text, as: UTF8.self)
    }

    private static func head(_ fields: String) throws -> RequestHead {
        var parser = RequestParser(limits: HTTPLimits())
        var head = RequestHead()
        let bytes = Array("POST /v1/events HTTP/1.1\r\nHost: h\r\n\(fields)\r\n".utf8)
        _ = try parser.parse(bytes.span, into: &head)
        return head
    }

    @Test func `makes attributes of fields, whatever their case`() throws {
        let text = try Self.structured("CE-SpecVersion: 1.0\r\nce-id: a\r\nX-ce-id: b\r\nce-: c\r\n")
        #expect(text == #"{"specversion":"1.0","id":"a"}"#)
    }

    @Test(arguments: [
        ("plain", "plain"), ("Euro%20%E2%82%AC", "Euro €"), ("%7B%22a%22%3A5%7D", #"{\"a\":5}"#),
        ("%2541", "%41"), ("100%", "100%"), ("%4", "%4"), ("%zz", "%zz"), (#""quoted""#, "quoted"),
        (#""a \"b\" \\""#, #"a \"b\" \\"#), (#"""#, #"\""#), (#""a%20b""#, "a b"), ("a+b", "a+b"),
    ])
    func `reads a value out of its quotes and escapes`(field: String, value: String) throws {
        #expect(try Self.structured("ce-subject: \(field)\r\n") == #"{"subject":"\#(value)"}"#)
    }

    @Test(arguments: [
        ("application/json", #" {"a":[1]} "#, #""data": {"a":[1]} "#),
        ("application/problem+json; charset=utf-8", "7", #""data":7"#),
        ("text/json", "null", #""data":null"#),
        ("text/plain", "a \"b\"\n", #""data":"a \"b\"\n""#),
        ("text/csv; charset=UTF-8", "é", #""data":"é""#),
        ("text/plain; charset=iso-8859-1", "abc", #""data_base64":"YWJj""#),
        ("application/xml", "<a/>", #""data_base64":"PGEvPg==""#),
    ])
    func `makes data of the body as the type says`(type: String, body: String, data: String) throws {
        let text = try Self.structured("Content-Type: \(type)\r\nce-id: a\r\n", body)
        #expect(text == #"{"id":"a","datacontenttype":"\#(type)",\#(data)}"#)
    }

    @Test func `has bytes without a type and nothing without a body`() throws {
        #expect(try Self.structured("ce-id: a\r\n", "abc") == #"{"id":"a","data_base64":"YWJj"}"#)
        #expect(
            try Self.structured("ce-id: a\r\nContent-Type: application/json\r\n").contains("data\"") == false
        )
    }

    /// A body is one JSON text: what is behind it would be attributes.
    @Test(arguments: [(#"1,"type":"forged""#, 1), ("{", 1), (#"{"a":}"#, 5), (#"1} {"#, 1)])
    func `refuses data that is not the JSON it says`(body: String, offset: Int) throws {
        #expect(throws: BinaryMode.MalformedData(offset: offset)) {
            try Self.structured("Content-Type: application/json\r\nce-id: a\r\n", body)
        }
    }

    @Test(arguments: ["data", "data_base64", "datacontenttype"])
    func `has no field for what the body says`(name: String) throws {
        #expect(BinaryMode.misplacedField(in: try Self.head("ce-\(name): 1\r\n")) == name)
        #expect(BinaryMode.misplacedField(in: try Self.head("ce-type: t\r\n")) == nil)
    }
}
