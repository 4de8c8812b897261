import Events
import Glibc
import HTTP
import Logging
import Reactor

/// How the log is written.
enum LogFormat: String, CaseIterable, Equatable, Sendable {
    /// A JSON object a line, for programs.
    case json
    /// A line for people.
    case text
}

/// Writes each entry as one line with one write(2) to standard error, without what looks like a password.
///
/// One call a line, so that lines of several threads, and of processes that share the descriptor, do not mix.
/// Where the reader of a pipe is gone or slow the entry waits or is lost; there is nobody to tell.
struct LineLogHandler: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let format: LogFormat
    private let write: @Sendable ([UInt8]) -> Void
    private let now: @Sendable () -> Int64

    init(
        label: String,
        format: LogFormat,
        level: Logger.Level,
        now: @escaping @Sendable () -> Int64 = { WallClock.microseconds() },
        write: @escaping @Sendable ([UInt8]) -> Void = Self.standardError
    ) {
        self.label = label
        self.format = format
        self.now = now
        self.write = write
        logLevel = level
    }

    /// Makes this the log of the whole program; once.
    static func bootstrap(format: LogFormat, level: Logger.Level) {
        LoggingSystem.bootstrap { LineLogHandler(label: $0, format: format, level: level) }
    }

    static let standardError: @Sendable ([UInt8]) -> Void = { line in
        while Glibc.write(STDERR_FILENO, line, line.count) == -1, errno == EINTR {}
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let entry = LogEntry(
            microseconds: now(),
            level: event.level,
            label: label,
            message: SecretMask.mask(event.message.description),
            fields: fields(of: event)
        )
        write(format == .json ? entry.jsonLine() : entry.textLine())
    }

    /// The entry's own fields win over the provider's, those over the logger's; sorted, so that lines can be
    /// compared.
    private func fields(of event: LogEvent) -> [LogEntry.Field] {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        if let error = event.error { all["error"] = "\(error)" }
        var fields: [LogEntry.Field] = []
        for (name, value) in all.sorted(by: { $0.key < $1.key }) { Self.flatten(name, value, into: &fields) }
        return fields
    }

    /// A dictionary becomes a field a member, `outer.inner`; an array one field.
    private static func flatten(
        _ name: String,
        _ value: Logger.Metadata.Value,
        into fields: inout [LogEntry.Field]
    ) {
        switch value {
        case .string(let text): fields.append((name, masked(text, name)))
        case .stringConvertible(let value): fields.append((name, masked(value.description, name)))
        case .array(let values):
            let parts = values.map { masked($0.description, name) }
            fields.append((name, parts.joined(separator: ", ")))
        case .dictionary(let members):
            for (inner, value) in members.sorted(by: { $0.key < $1.key }) {
                flatten(name + "." + inner, value, into: &fields)
            }
        }
    }

    private static func masked(_ text: String, _ name: String) -> String {
        name.lowercased().hasSuffix("password") ? SecretMask.replacement : SecretMask.mask(text)
    }
}

/// What one line of the log says.
struct LogEntry {
    typealias Field = (name: String, value: String)

    let microseconds: Int64
    let level: Logger.Level
    let label: String
    let message: String
    let fields: [Field]

    /// Names that the line has already.
    private static let reserved: Set<String> = ["ts", "level", "msg", "label"]

    /// `{"ts":…,"level":…,"msg":…,"label":…,…}` and a line feed.
    func jsonLine() -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.member("ts", timeText)
        json.member("level", level.rawValue)
        json.member("msg", message)
        json.member("label", label)
        for (name, value) in fields {
            json.member(Self.reserved.contains(name) ? name + "_" : name, value)
        }
        json.endObject()
        json.lineFeed()
        return json.finish()
    }

    /// `2026-01-02T03:04:05.123456Z WARNING label: message name=value`.
    func textLine() -> [UInt8] {
        var line = "\(timeText) \(level.rawValue.uppercased()) \(label): \(Self.oneLine(message))"
        for (name, value) in fields {
            let isPlain =
                !value.isEmpty && !value.contains { $0 == " " || $0 == "\"" || $0 == "=" || $0.isNewline }
            line += " \(name)=" + (isPlain ? Self.oneLine(value) : Self.quoted(value))
        }
        return Array((line + "\n").utf8)
    }

    private var timeText: String { Timestamp.text(microseconds) }

    private static func quoted(_ text: String) -> String {
        var json = JSONWriter()
        json.string(text)
        return String(decoding: json.finish(), as: UTF8.self)
    }

    /// Control characters, which could move a terminal's cursor or fake a line, become spaces.
    private static func oneLine(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : $0 }
            )
        )
    }
}
