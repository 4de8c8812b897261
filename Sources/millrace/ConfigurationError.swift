/// Where a value of the configuration came from.
enum Origin: Equatable, Sendable, CustomStringConvertible {
    case flag
    case variable(String)
    case file(path: String, line: Int)
    case builtIn

    var description: String {
        switch self {
        case .flag: "command line"
        case .variable(let name): name
        case .file(let path, let line): "\(path):\(line)"
        case .builtIn: "default"
        }
    }
}

/// Why the configuration cannot be used; the description names the culprit.
enum ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    case unknownVariable(String)
    case unreadableFile(path: String, reason: String)
    case malformedLine(path: String, line: Int)
    case unknownKey(String, path: String, line: Int)
    case repeatedKey(String, path: String, line: Int)
    /// `expected` says what would have been right; the value is left out where it may be a secret.
    case invalidValue(Setting, value: String, Origin, expected: String)

    var description: String {
        switch self {
        case .unknownVariable(let name):
            return "the variable \(name) is unknown"
        case .unreadableFile(let path, let reason):
            return "\(path): \(reason)"
        case .malformedLine(let path, let line):
            return "\(path):\(line): not of the form 'name = value'"
        case .unknownKey(let key, let path, let line):
            return "\(path):\(line): '\(key)' is unknown"
        case .repeatedKey(let key, let path, let line):
            return "\(path):\(line): '\(key)' is given twice"
        case .invalidValue(let setting, let value, let origin, let expected):
            let shown = setting.isSecret ? "its value" : "'\(value)'"
            let place =
                switch origin {
                case .flag, .builtIn: setting.flag
                case .variable(let name): name
                case .file: "\(origin): \(setting.key)"
                }
            return "\(place): \(shown) is not \(expected)"
        }
    }
}
