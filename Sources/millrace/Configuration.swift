/// The settings in force as texts, each with where it came from: flag, environment, file, default, in this
/// order.
struct Configuration: Equatable, Sendable {
    struct Value: Equatable, Sendable {
        /// One, or more for a list; empty for a setting that has no default.
        let texts: [String]
        let origin: Origin
    }

    private var values: [Setting: Value] = [:]

    /// - Throws: ``ConfigurationError`` when a variable with the program's prefix is unknown.
    init(
        flags: [Setting: [String]] = [:],
        environment: [String: String] = [:],
        file: ConfigurationFile? = nil,
        machine: Machine
    ) throws(ConfigurationError) {
        try EnvironmentRules.check(environment)
        for setting in Setting.allCases {
            values[setting] =
                Self.given(setting, flags: flags)
                ?? Self.given(setting, environment: environment)
                ?? Self.given(setting, file: file)
                ?? Value(texts: setting.defaultText(on: machine).map { [$0] } ?? [], origin: .builtIn)
        }
    }

    private static func given(_ setting: Setting, flags: [Setting: [String]]) -> Value? {
        guard let texts = flags[setting], !texts.isEmpty else { return nil }
        return Value(texts: texts, origin: .flag)
    }

    /// A variable that is set to nothing counts as not set, as compose files leave it.
    private static func given(_ setting: Setting, environment: [String: String]) -> Value? {
        for name in setting.variables {
            guard let text = environment[name], !text.isEmpty else { continue }
            return Value(texts: split(text, setting), origin: .variable(name))
        }
        return nil
    }

    private static func given(_ setting: Setting, file: ConfigurationFile?) -> Value? {
        guard let file, let entry = file.entries[setting] else { return nil }
        return Value(texts: split(entry.value, setting), origin: .file(path: file.path, line: entry.line))
    }

    private static func split(_ text: String, _ setting: Setting) -> [String] {
        if !setting.isList { return [text] }
        return text.split(separator: ",", omittingEmptySubsequences: false).map { String($0.trimmed) }
    }

    subscript(setting: Setting) -> Value {
        values[setting] ?? Value(texts: [], origin: .builtIn)
    }

    /// For `--print-config`: a line a setting with its origin, secrets masked.
    var lines: [String] {
        let width = Setting.allCases.map(\.key.count).max() ?? 0
        return Setting.allCases.map { setting in
            let value = self[setting]
            let padding = String(repeating: " ", count: width - setting.key.count)
            let texts = value.texts.map { setting.isSecret ? SecretMask.mask(conninfo: $0) : $0 }
            let text = texts.isEmpty ? "none" : texts.joined(separator: ", ")
            return "\(setting.key)\(padding) = \(text)  (\(value.origin))"
        }
    }
}
