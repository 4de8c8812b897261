import Postgres
import Reactor
import TestSupport
import Testing

@Suite struct `Row encoder` {
    @Test func `writes an empty payload as header and trailer`() {
        var encoder = RowEncoder(columns: 3, capacity: 0)

        let stream = encoder.finish()

        #expect(
            stream.bytes == Array("PGCOPY\n".utf8) + [0xFF, 13, 10, 0] + [0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
        )
    }

    @Test func `begins anew after finishing`() {
        var encoder = RowEncoder(columns: 1, capacity: 16)
        encoder.beginRow()
        encoder.append(bool: true)
        let first = encoder.finish()

        #expect(encoder.rows == 0)
        encoder.beginRow()
        encoder.append(bool: true)
        #expect(encoder.finish() == first)
    }

    @Test func `stops a row that is short of a field`() async {
        await #expect(processExitsWith: .failure) {
            var encoder = RowEncoder(columns: 2, capacity: 0)
            encoder.beginRow()
            encoder.appendNull()
            _ = encoder.finish()
        }
    }

    @Test func `is read back by PostgreSQL as the values given, for every type`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let table = """
                CREATE TABLE every (u uuid, t timestamptz, x text, j jsonb, b bytea, s smallint, i int,
                    l bigint, d double precision, o boolean)
                """
            var encoder = RowEncoder(columns: 10, capacity: 1_024)
            appendValues(&encoder)
            encoder.beginRow()
            for _ in 0..<10 { encoder.appendNull() }

            let results = try await connection.simple(
                "\(table); COPY every FROM STDIN (FORMAT binary); SELECT * FROM every",
                copies: [encoder.finish()],
                deadline: TestCluster.deadline
            )

            #expect(results.map(\.affected) == [0, 2, 2])
            #expect(
                results[2].rows == [
                    [
                        "01234567-89ab-cdef-fedc-ba9876543210", "2026-11-22 18:15:01.123456+00",
                        "zwölf 水 🚰\n\"",
                        #"{"a": [1, null, "ü"]}"#, #"\x00ff0a5c"#, "-32768", "-2147483648",
                        "-9223372036854775808",
                        "-0.1", "t",
                    ],
                    [String?](repeating: nil, count: 10),
                ]
            )
            await connection.close()
        }
    }

    private func appendValues(_ encoder: inout RowEncoder) {
        encoder.beginRow()
        encoder.append(uuid: 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210)
        encoder.append(timestamp: 1_795_371_301_123_456)
        let text = Array("zwölf 水 🚰\n\"".utf8)
        encoder.append(text: text.span)
        let json = Array(#"{"a":[1,null,"ü"]}"#.utf8)
        encoder.append(jsonb: json.span)
        let bytes: [UInt8] = [0, 0xFF, 0x0A, 0x5C]
        encoder.append(bytea: bytes.span)
        encoder.append(int16: .min)
        encoder.append(int32: .min)
        encoder.append(int64: .min)
        encoder.append(double: -0.1)
        encoder.append(bool: true)
    }

    @Test func `makes arrays that PostgreSQL reads back as the values given, nulls and nothing too`()
        async throws
    {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let types: [PostgresType] = [.uuid, .timestamptz, .text, .jsonb, .bytea, .int8, .int2]
            let names = types.map { "\($0)[]" }.joined(separator: ", ")
            let arrays = types.indices.map { "$\($0 + 1)" }.joined(separator: ", ")
            _ = try await connection.simple(
                "PREPARE echo (\(names), int8, bool) AS SELECT *, $8, $9 FROM unnest(\(arrays))",
                deadline: TestCluster.deadline
            )
            var encoder = RowEncoder(arraysOf: types, capacity: 64)
            for round in 0..<2 {
                encoder.beginRow()
                encoder.append(uuid: 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210)
                encoder.append(timestamp: 1_795_371_301_123_456)
                encoder.append(text: round == 0 ? "" : "zwölf 水 🚰")
                encoder.append(jsonb: Array(#"{"a":[1,null,"ü"]}"#.utf8).span)
                encoder.append(bytea: ([0, 0xFF] as [UInt8]).span)
                encoder.append(int64: .min)
                encoder.append(int16: .max)
            }
            encoder.beginRow()
            for _ in types { encoder.appendNull() }

            let flags = [BinaryValue(int64: -2), BinaryValue(bytes: nil)]
            let echo = try await connection.execute(
                "echo",
                encoder.finishArrays() + flags,
                deadline: TestCluster.deadline
            )

            func row(_ text: String) -> [String?] {
                [
                    "01234567-89ab-cdef-fedc-ba9876543210", "2026-11-22 18:15:01.123456+00", text,
                    #"{"a": [1, null, "ü"]}"#, #"\x00ff"#, "-9223372036854775808", "32767", "-2", nil,
                ]
            }
            let nulls = [String?](repeating: nil, count: 7) + ["-2", nil]
            #expect(echo.rows == [row(""), row("zwölf 水 🚰"), nulls])

            let nothing = try await connection.execute(
                "echo",
                encoder.finishArrays() + [BinaryValue(int64: 1), BinaryValue(bool: true)],
                deadline: TestCluster.deadline
            )
            #expect(nothing.rows.isEmpty)
            await connection.close()
        }
    }

    @Test func `keeps times before 2000, before 1970 and far away to the microsecond`() async throws {
        let times: [(Int64, String)] = [
            (0, "1970-01-01 00:00:00+00"),
            (-1, "1969-12-31 23:59:59.999999+00"),
            (946_684_799_999_999, "1999-12-31 23:59:59.999999+00"),
            (946_684_800_000_000, "2000-01-01 00:00:00+00"),
            (-62_135_596_800_000_000, "0001-01-01 00:00:00+00"),
            (253_402_300_799_999_999, "9999-12-31 23:59:59.999999+00"),
        ]
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            var encoder = RowEncoder(columns: 1, capacity: 256)
            for (microseconds, _) in times {
                encoder.beginRow()
                encoder.append(timestamp: microseconds)
            }

            let results = try await connection.simple(
                "CREATE TABLE times (t timestamptz); COPY times FROM STDIN (FORMAT binary); TABLE times",
                copies: [encoder.finish()],
                deadline: TestCluster.deadline
            )

            #expect(results[2].rows.map { $0[0] } == times.map(\.1))
            await connection.close()
        }
    }

    @Test func `has a time that PostgreSQL does not know refused, not stored as another`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            var encoder = RowEncoder(columns: 1, capacity: 256)
            encoder.beginRow()
            encoder.append(timestamp: .min)

            let error = await #expect(throws: PostgresError.self) {
                try await connection.simple(
                    "CREATE TABLE times (t timestamptz); COPY times FROM STDIN (FORMAT binary)",
                    copies: [encoder.finish()],
                    deadline: TestCluster.deadline
                )
            }

            #expect(error?.sqlState == "22008")
            await connection.close()
        }
    }
}
