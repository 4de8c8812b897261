import Logging
import Synchronization
import Testing

@testable import millrace

private final class Lines: Sendable {
    private let written = Mutex<[String]>([])

    var all: [String] { written.withLock { $0 } }

    func logger(_ format: LogFormat, level: Logger.Level = .info) -> Logger {
        Logger(label: "test") { label in
            LineLogHandler(
                label: label,
                format: format,
                level: level,
                now: { 1_767_323_045_123_456 },
                write: { bytes in self.written.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) }
                }
            )
        }
    }
}

@Suite struct `The log` {
    @Test func `has one JSON object a line, with flat and sorted fields`() {
        let lines = Lines()
        var logger = lines.logger(.json)
        logger[metadataKey: "node"] = "a"

        logger.warning(
            "two\nlines",
            metadata: ["b": ["x": "1", "y": ["2", "3"]], "node": "own", "level": "mine"]
        )

        #expect(
            lines.all == [
                #"{"ts":"2026-01-02T03:04:05.123456Z","level":"warning","msg":"two\nlines","label":"test","#
                    + #""b.x":"1","b.y":"2, 3","level_":"mine","node":"own"}"# + "\n"
            ]
        )
    }

    @Test func `has one line an entry for people, whatever the entry holds`() {
        let lines = Lines()
        lines.logger(.text).notice("fine\u{1B}[2J\r\n", metadata: ["a": "1", "b": "two words", "c": ""])
        #expect(
            lines.all == ["2026-01-02T03:04:05.123456Z NOTICE test: fine [2J   a=1 b=\"two words\" c=\"\"\n"]
        )
    }

    @Test func `holds no password`() {
        let lines = Lines()
        for format in LogFormat.allCases {
            lines.logger(format).error(
                "cannot reach postgresql://u:secret@h/d",
                metadata: [
                    "conninfo": "password=secret host=h", "password": "secret", "list": ["password=secret"],
                ]
            )
        }
        #expect(lines.all.count == 2)
        #expect(lines.all.allSatisfy { !$0.contains("secret") && $0.contains("***") })
    }

    @Test func `leaves out what is below its level`() {
        let lines = Lines()
        var logger = lines.logger(.text, level: .error)
        logger.info("no")
        logger.logLevel = .info
        logger.info("yes")
        #expect(lines.all.count == 1)
    }
}
